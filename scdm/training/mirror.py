"""A copy of a run's folder at an address that fsspec reads: s3://bucket/run, gs://..., file:///... , so that a run goes on
when the machine that it ran on is lost.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..files.addresses import served
from ..files.atomic import made_folder, written_whole
from ..files.untrusted import naming
from .config import MODEL
from .posthoc import FOLDER
from .states import NAME


class Mirror:
    """The states, models, snapshots and sheets of the run in `folder`, at `address`.

    ValueError if fsspec, or the package for this kind of address, is not installed, or if the address cannot be read.
    """

    def __init__(self, folder: str | Path, address: str) -> None:
        self.folder, self.address = Path(folder), address
        with naming("mirror"):
            self.files, self.root = served(address)

    def newest(self) -> int:
        """The step of the newest state at the address, 0 if there is none."""
        return max(_states(self._there()), default=0)

    def fetch(self) -> bool:
        """Brings the newest state and the models here, if there is no state here. Returns whether it did.

        A state comes last, so that a copy that was cut short is made again.
        """
        if any(NAME.fullmatch(path.name) for path in self.folder.glob("*.pt")):
            return False
        there = self._there()
        states = _states(there)
        if not states:
            return False
        wanted = [name for name in there if name.endswith(".safetensors")] + [states[max(states)]]
        for name in wanted:
            path = self.folder / name
            made_folder(path.parent)
            with written_whole(path) as beside:
                self.files.get_file(f"{self.root}/{name}", str(beside))
        return True

    def push(self) -> None:
        """Copies what is new here, each file whole or not at all, and removes the states that are no longer here.

        OSError if the address cannot be written.
        """
        there = self._there()
        here = {path.relative_to(self.folder).as_posix(): path for path in self._here()}
        for name, path in here.items():
            if there.get(name) != path.stat().st_size or name.endswith(MODEL):  # which is written anew
                self._put(path, name)
        for name in there.keys() - here.keys():
            if NAME.fullmatch(name):
                self.files.rm_file(f"{self.root}/{name}")

    def _here(self) -> list[Path]:
        models = [*self.folder.glob("*.safetensors"), *(self.folder / FOLDER).glob("*.safetensors")]
        states = [path for path in self.folder.glob("*.pt") if NAME.fullmatch(path.name)]
        return [*models, *self.folder.glob("samples-*.png"), *states]  # a state after the models that belong to it

    def _there(self) -> dict[str, int]:
        """The sizes of the files at the address, by their names in it."""
        try:
            found: dict[str, Any] = self.files.find(self.root, detail=True)
        except FileNotFoundError:
            return {}
        names = {path[len(self.root) :].lstrip("/"): int(info["size"]) for path, info in found.items()}
        return {name: size for name, size in names.items() if ".." not in name.split("/")}

    def _put(self, path: Path, name: str) -> None:
        part = f"{self.root}/.part-{uuid.uuid4().hex}"
        self.files.makedirs(f"{self.root}/{name}".rsplit("/", 1)[0], exist_ok=True)
        try:
            self.files.put_file(str(path), part)
            self.files.mv(part, f"{self.root}/{name}")
        except BaseException:
            if self.files.exists(part):
                self.files.rm_file(part)
            raise


def _states(names: Iterable[str]) -> dict[int, str]:
    """Those that are states, by step."""
    return {int(found[1]): name for name in names if (found := NAME.fullmatch(name))}
