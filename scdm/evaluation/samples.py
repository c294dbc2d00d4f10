"""The images of an evaluation, in a folder that knows how they were made: what is there is not made again.

Or those that another program made of the same layouts (`GivenImages`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from torch import Tensor
from tqdm.auto import tqdm

from ..datasets import Batch, Example, Validation, loader
from ..files import config
from ..files.atomic import made_folder, write_text, written_whole
from ..files.config import flat
from ..files.images import encoded, from_levels, picture_size, read_image, to_levels
from ..files.parsing import parsed
from ..files.untrusted import brief, content_of, sha256_of
from ..models.model import Model
from ..pipeline import GenerateOptions, generate
from .fingerprint import fingerprint

SETTINGS = "settings.json"
DIGESTS = "digests"  # the folder that says what was made, in lines as sha256sum writes them
FOUND = "found.txt"  # in it: what was there when it was begun, of versions that wrote down no digests
MADE_OF = ".layouts"  # suffix of the files in it of lines "digest of a layout, line of its image"
READ = 16  # layouts at a time
SHEET = "sheet.png"  # our own, beside the settings
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")  # of images and layouts from elsewhere
MOST_MISSING = 3  # images in a message


class Images(Protocol):
    """The images that are measured."""

    def read(self, sample: int, indices: Sequence[int]) -> Tensor:
        """Sample number `sample` of these layouts: (B, 3, H, W) in [-1, 1]."""


class Chunk(NamedTuple):
    """Samples number `sample` of the layouts `start` to `stop` - 1, made at a time."""

    sample: int
    start: int
    stop: int


class Samples:
    """FOLDER/SAMPLE/NAME.png. Sample k of layout i has the seed `options.seed` + k 2^32 + i, however the work is shared.

    FOLDER/digests has the digests of every image that was made and of its layout: each process writes to files of its own,
    and all are read. Digests are written before their image, so whatever ends the process, no image is without them.

    layouts: what the images are made of, read by `workers` processes. settings: all else that decides about the images.
    ValueError if the folder holds images made with other settings, or images of which it is not known how they were made.
    """

    def __init__(self, folder: str | Path, layouts: Validation, settings: Mapping[str, Any], workers: int = 0) -> None:
        self.folder, self.layouts, self.settings, self.workers = Path(folder), layouts, settings, workers
        self._layouts: dict[int, str] = {}  # digests by place
        self._digests: dict[tuple[Path, int, int, int], str] = {}  # of images, by what changes with their content
        require_same(self.folder, self.settings)
        if not (self.folder / SETTINGS).is_file() and (found := next(self._images(), None)):
            raise ValueError(
                f"{self.folder} holds images ({found.relative_to(self.folder)}) but no {SETTINGS}, so it is not known what "
                "made them: choose another folder, or measure them as another program's (--images FOLDER --name NAME)"
            )
        require_no_pictures(self.folder, self.names)

    @property
    def names(self) -> Sequence[str]:
        return self.layouts.names

    def claim(self) -> str:
        """Writes the settings down. One process does it, before any makes images.

        In a folder of an earlier version, which has no digests of images or none of layouts, what is there is taken as it
        is, and known from then on. Returns a sentence that says so, or "".
        """
        if claim(self.folder, self.settings):
            shutil.rmtree(self.folder / DIGESTS, ignore_errors=True)  # of what is gone, and was made otherwise
        folder = made_folder(self.folder / DIGESTS)
        there = {path: self._line(path, self._digest(path)) for path in self._images()}
        begun = (folder / FOUND).is_file()
        if not begun:
            write_text(folder / FOUND, "".join(f"{line}\n" for line in there.values()))
        made, recorded = self._recorded(".txt"), {line.partition(" ")[2] for line in self._recorded(MADE_OF)}
        without = {path: line for path, line in there.items() if line in made and line not in recorded}
        if without:
            lines = self._made_of(without).values()
            write_text(folder / f"{uuid.uuid4().hex}{MADE_OF}", "".join(f"{line}\n" for line in lines))
        if there and not begun:
            taken = f"its {len(there)} images are taken as they are"
        elif without:
            taken = f"{len(without)} of its images are taken to be of the layouts that there are now"
        else:
            return ""
        return f"{self.folder} is of an earlier version, which recorded less: {taken}"

    def path(self, sample: int, index: int) -> Path:
        return self.folder / str(sample) / f"{self.names[index]}.png"

    def missing(self, samples: int, images: int, batch: int) -> list[Chunk]:
        """What is left to do of `samples` samples of the first `images` layouts, at most `batch` at a time.

        ValueError if one that is there is not what was made, or was made of another layout. Others may be making images
        meanwhile: digests are read after the images, as each is written before its image.
        """
        chunks: list[Chunk] = []
        there: dict[Path, str] = {}  # the line of each
        for sample in range(samples):
            for index in range(images):
                path = self.path(sample, index)
                if path.is_file():
                    there[path] = self._line(path, self._digest(path))
                    continue
                last = chunks[-1] if chunks else None
                if last and last.sample == sample and last.stop == index and last.stop - last.start < batch:
                    chunks[-1] = last._replace(stop=index + 1)
                else:
                    chunks.append(Chunk(sample, index, index + 1))
        if there and (self.folder / DIGESTS / FOUND).is_file():  # else `claim` has not looked at what was there before
            self._require_made(there)
            self._require_same_layouts(there)
        return chunks

    def make(self, model: Model, options: GenerateOptions, chunks: Sequence[Chunk]) -> Iterator[int]:
        """Makes the images of `chunks` and gives the number of each chunk when it is written."""
        if not chunks:
            return
        places = [list(range(chunk.start, chunk.stop)) for chunk in chunks]
        batch: Batch
        with self._recording() as record:
            for chunk, batch in zip(chunks, loader(self.layouts, places, self.workers), strict=True):
                seed = (options.seed + (chunk.sample << 32) + chunk.start) % 2**64
                images = generate(model, batch.labels(model.palette.num_classes), replace(options, seed=seed))
                edges = [None] * len(images) if batch.edges is None else batch.edges
                of = (fingerprint(*layout).hex() for layout in zip(batch.ids, edges, strict=True))
                for index, levels, layout in zip(range(chunk.start, chunk.stop), to_levels(images), of, strict=True):
                    path, content = self.path(chunk.sample, index), encoded(levels)
                    made_folder(path.parent)
                    record(path, content, layout)
                    with written_whole(path) as beside:
                        beside.write_bytes(content)
                yield chunk.stop - chunk.start

    def read(self, sample: int, indices: Sequence[int]) -> Tensor:
        """(B, 3, H, W) in [-1, 1]."""
        return _read(self.path(sample, i) for i in indices)

    def _images(self) -> Iterator[Path]:
        return self.folder.glob("[0-9]*/**/*.png")

    @contextmanager
    def _recording(self) -> Iterator[Callable[[Path, bytes, str], None]]:
        """Writes down what a process is about to make, and of which layout, in files that no other process has."""
        own = made_folder(self.folder / DIGESTS) / uuid.uuid4().hex
        with (
            own.with_suffix(".txt").open("x", encoding="utf-8") as made,
            own.with_suffix(MADE_OF).open("x", encoding="utf-8") as made_of,
        ):

            def record(path: Path, content: bytes, layout: str) -> None:
                line = self._line(path, hashlib.sha256(content).hexdigest())
                for file, written in ((made_of, f"{layout} {line}"), (made, line)):
                    file.write(f"{written}\n")
                    file.flush()

            yield record

    def _recorded(self, suffix: str) -> set[str]:
        """The lines of all files of this suffix, whoever wrote them."""
        paths = (self.folder / DIGESTS).glob(f"*{suffix}")
        return {line for path in paths for line in path.read_text(encoding="utf-8", errors="replace").split("\n")}

    def _require_made(self, there: Mapping[Path, str]) -> None:
        made = self._recorded(".txt")
        if foreign := [str(path) for path, line in there.items() if line not in made]:
            what = "is not the image" if len(foreign) == 1 else "are not the images"
            raise ValueError(
                f"{_listed(foreign)} {what} that the model made: delete what is not its, and it is made again, or measure "
                "such images as another program's, from another folder (--images FOLDER --name NAME)"
            )

    def _require_same_layouts(self, there: Mapping[Path, str]) -> None:
        lines, made_of = self._made_of(there), self._recorded(MADE_OF)
        if foreign := [str(path) for path, line in lines.items() if line not in made_of]:
            what = "was made of another layout" if len(foreign) == 1 else "were made of other layouts"
            raise ValueError(
                f"{_listed(foreign)} {what} than is read now under its name: choose another folder, or delete what is of "
                "old layouts, and it is made again"
            )

    def _made_of(self, images: Mapping[Path, str]) -> dict[Path, str]:
        """What a file of the suffix `MADE_OF` would say, were these images, given with their lines, of today's layouts."""
        number = {name: index for index, name in enumerate(self.names)}
        names = {
            path: path.relative_to(self.folder).as_posix().partition("/")[2].removesuffix(".png") for path in images
        }
        self._read_layouts({number[name] for name in names.values() if name in number})
        return {path: f"{self._layouts.get(number.get(names[path], -1), '')} {line}" for path, line in images.items()}

    def _read_layouts(self, places: set[int]) -> None:
        """Fills `_layouts`, of which each is read once."""
        new = sorted(places - self._layouts.keys())
        if not new:
            return
        shares = [new[start : start + READ] for start in range(0, len(new), READ)]
        found = loader(self.layouts, shares, self.workers, _layout_digests)
        for share, digests in zip(shares, tqdm(found, desc="layouts", unit="batch", leave=False), strict=True):
            self._layouts |= dict(zip(share, digests, strict=True))

    def _digest(self, path: Path) -> str:
        """Of an image as it is; `claim` and `missing` ask for the same ones."""
        about = path.stat()
        key = path, about.st_mtime_ns, about.st_size, about.st_ino
        if key not in self._digests:
            self._digests[key] = sha256_of(path)
        return self._digests[key]

    def _line(self, path: Path, digest: str) -> str:
        name = path.relative_to(self.folder).as_posix().replace("\n", "\\n")  # names may hold anything, a line no break
        return f"{digest}  {name}"


def _layout_digests(examples: Sequence[Example]) -> list[str]:
    """Of each layout, with its borders of instances; workers do it, so that no images travel."""
    return [fingerprint(example.ids, example.edges).hex() for example in examples]


class GivenImages:
    """Images that another program made: FOLDER/NAME.png, or FOLDER/NUMBER/NAME.png of several samples of a layout.

    names: of the layouts, without suffix; an image may be called by all of it or by its last part. size: (height, width).
    ValueError if one of the first `images` is missing or has another size, or if it is not clear which image is whose.
    """

    def __init__(
        self, folder: str | Path, names: Sequence[str], samples: int, images: int, size: tuple[int, int]
    ) -> None:
        self.folder, self.names, self.samples = Path(folder), names, samples
        if not self.folder.is_dir():
            raise ValueError(f"there is no folder {self.folder} of images")
        self.paths: dict[tuple[int, int], Path] = {}
        for sample in range(samples):
            folders = [self.folder / str(sample), *([self.folder] if samples == 1 else [])]
            self.paths |= {(sample, i): path for i, path in pictures_of(folders, names[:images]).items()}
        if missing := [(k, i) for k in range(samples) for i in range(images) if (k, i) not in self.paths]:
            self._refuse(missing)
        for path in self.paths.values():
            _require_size(path, size)

    @property
    def digest(self) -> str:
        """What tells these images from any others."""
        parts = [sha256_of(self.paths[key]) for key in sorted(self.paths)]
        return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]

    @property
    def remark(self) -> str:
        """A sentence if the first of them is stored as no photograph is, or ""."""
        first = next(iter(self.paths.values()), None)
        if first is None or read_image(first).mode in ("RGB", "RGBA"):
            return ""
        return f"{first} is grey or has a colour table, as label maps are stored: is it an image?"

    def read(self, sample: int, indices: Sequence[int]) -> Tensor:
        return _read(self.paths[sample, i] for i in indices)

    def _refuse(self, missing: Sequence[tuple[int, int]]) -> None:
        names = [f"{sample}/{self.names[i]}" if self.samples > 1 else self.names[i] for sample, i in missing]
        raise ValueError(
            f"{self.folder} has no image {_listed(names)}: images are called like the layouts, with a suffix such as .png, "
            "or take fewer with --limit"
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_MISSING} more" if len(names) > MOST_MISSING else ""
    return ", ".join(brief(name) for name in names[:MOST_MISSING]) + more


def pictures_of(folders: Sequence[Path], names: Sequence[str]) -> dict[int, Path]:
    """The pictures in the folders by the places of their names, of those that have one: called `name`, or by its last part
    alone, whatever their suffix. ValueError if it is not clear which is whose."""
    found: dict[int, Path] = {}
    of: dict[Path, str] = {}
    for place, name in enumerate(names):
        called = dict.fromkeys((name, name.rsplit("/", 1)[-1]))
        places = (folder / f"{one}{suffix}" for folder in folders for one in called for suffix in SUFFIXES)
        paths = [path for path in places if path.is_file()]
        if len(paths) > 1:
            raise ValueError(f"both {paths[0]} and {paths[1]} may be the one of {brief(name)}: remove one of them")
        for path in paths:
            if (other := of.setdefault(path, name)) != name:
                raise ValueError(
                    f"{path} may be the one of {brief(other)} and of {brief(name)}: use folders, like these names do"
                )
            found[place] = path
    return found


def _read(paths: Iterable[Path]) -> Tensor:
    return from_levels(np.stack([np.array(read_image(path).convert("RGB")) for path in paths]))


def _require_size(path: Path, size: tuple[int, int]) -> None:
    found = picture_size(path)  # of its header alone; `read` finds what is damaged
    if found != size:
        raise ValueError(
            f"{path} is {found[1]}x{found[0]}, the real images are {size[1]}x{size[0]}: resize one of them "
            f"(--set data.size=[{found[0]},{found[1]}])"
        )


def claim(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Writes down how the files of a folder are made; returns whether that replaces settings of which nothing is left.
    ValueError if others are there already."""
    require_same(folder, settings)
    path, text = made_folder(folder) / SETTINGS, json.dumps(settings, indent=1)
    replaces = path.is_file() and content_of(path) != text.encode() and _is_nothing_made(folder)
    write_text(path, text)
    return replaces


def require_same(folder: Path, settings: Mapping[str, Any]) -> None:
    """ValueError if the files of a folder were made with other settings. Settings of nothing do not bind."""
    path = folder / SETTINGS
    if not path.is_file() or _is_nothing_made(folder):
        return
    try:
        before = flat(parsed(content_of(path), "JSON"))
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error}): choose another folder") from error
    now = flat(json.loads(json.dumps(settings)))  # as it will be read
    config.require_same(f"what {folder} holds", before, now, "Choose another folder")


def _is_nothing_made(folder: Path) -> bool:
    """Whether no file is in a folder but those that say how others are to be made, or that they were."""
    made = (path for path in folder.iterdir() if path.name not in (SETTINGS, DIGESTS))
    return not any(path.is_file() or any(inner.is_file() for inner in path.rglob("*")) for path in made)


def require_no_pictures(folder: Path, names: Sequence[str]) -> None:
    """ValueError if a folder for a result has pictures directly in it: it would be an evaluation's and someone's images.

    names: of the layouts. Where an evaluation is already, what is not called like one is nobody's image (plots, the sheet).
    """
    if not folder.is_dir():
        return
    pictures = (path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES and path.is_file())
    if (folder / SETTINGS).is_file():
        images = {name.rsplit("/", 1)[-1] for name in names}
        pictures = (path for path in pictures if path.stem in images and path.name != SHEET)
    if found := next(pictures, None):
        raise ValueError(
            f"{folder} has pictures in it ({brief(found.name)}), and what is measured goes into a folder of its own: choose "
            "another folder for --out, or move them away"
        )
