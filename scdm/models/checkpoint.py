"""Model files: safetensors whose header says everything needed to use the weights.

Header key "scdm" holds JSON: {"version", "config": ModelConfig, "palette": class table, "provenance": {...}}.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .. import assets
from ..devices import name_of
from ..files import config as configuration
from ..files.atomic import written_whole
from ..files.kinds import what_is
from ..files.untrusted import brief, file_at, meant, parsed, shown
from ..layouts.palette import Palette
from ..networks import UNet
from .model import Model, ModelConfig

HEADER = "scdm"
VERSION = 1


@dataclass(frozen=True)
class Header:
    """What a model file says of itself."""

    config: ModelConfig
    palette: Palette
    provenance: dict[str, Any]
    version: int = VERSION

    def to_json(self) -> str:
        content = {
            "version": self.version,
            "config": configuration.to_dict(self.config),
            "palette": self.palette.to_dict(),
            "provenance": self.provenance,
        }
        return json.dumps(content, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Header:
        """ValueError says which part is missing, unknown or impossible."""
        try:
            content = parsed(text, "JSON")
        except ValueError as error:
            raise ValueError(f"its header is {error}") from error
        if not isinstance(content, dict):
            raise ValueError(f"its header must be a mapping, not {shown(content)}")
        if content.get("version", VERSION) != VERSION:  # first: what else a later version holds is not known here
            raise ValueError(
                f"its format version is {shown(content['version'])}, this program reads {VERSION}: update scdm"
            )
        if set(content) != {"version", "config", "palette", "provenance"}:
            raise ValueError("its header must hold exactly version, config, palette and provenance")
        if not isinstance(content["config"], dict) or not isinstance(content["provenance"], dict):
            raise ValueError("config and provenance in its header must be mappings")
        config = configuration.from_dict(ModelConfig, content["config"], "config.")
        palette = Palette.from_dict(content["palette"])
        if palette.num_classes != config.network.num_classes:
            raise ValueError(f"its palette has {palette.num_classes} classes, its network {config.network.num_classes}")
        return cls(config, palette, content["provenance"])


def save(path: str | Path, model: Model, dtype: torch.dtype | None = None) -> None:
    """Writes the model, whole or not at all; with the `dtype` torch.float16 in half the space.

    ValueError names a tensor whose values are no numbers, or none in that dtype (float16 ends at 65504). OSError names the
    file and says why it cannot be written; what was there before is kept.
    """
    header = Header(model.config, model.palette, model.provenance)
    tensors = {
        name: tensor.detach().to("cpu", dtype or tensor.dtype).contiguous()
        for name, tensor in model.network.state_dict().items()
    }
    if broken := not_finite(tensors):
        kind = name_of(tensors[broken].dtype)
        raise ValueError(f"{path} is not written, because {broken} holds values that are no numbers in {kind}")
    write_tensors(path, tensors, {HEADER: header.to_json()})


def write_tensors(path: str | Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """A safetensors file, whole or not at all. OSError names it and says why it cannot be written."""
    with written_whole(path, durable=True) as beside:
        try:
            save_file(tensors, beside, metadata)
        except SafetensorError as error:
            if (number := re.search(r"os error (\d+)", str(error))) is None:
                raise OSError(f"{path} cannot be written: {brief(str(error))}") from error
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def read_header(path: str | Path) -> Header:
    """What the file says of itself, without its weights. ValueError names the file and what is wrong with it."""
    with _opened(path) as file:
        return _header(file, path)


def load(path: str | Path, device: torch.device | str = "cpu", operations: Any = nn) -> Model:
    """The model in a file, float32, ready to sample. ValueError names the file and what is wrong with it.

    The header is checked against the tensors' shapes before any memory is taken for the network.
    """
    with _opened(path) as file:
        header = _header(file, path)
        try:
            with torch.device("meta"):
                network = UNet(header.config.network, operations)
        except ValueError as error:
            raise ValueError(f"{path} cannot be used: {error}") from error
        stored = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        found = {name: tuple(tensor.get_shape()) for name, tensor in stored.items()}
        if differences := shape_differences(network, found):
            raise ValueError(f"{path} does not hold the network that its header describes: {differences}")
        kinds = {tensor.get_dtype() for tensor in stored.values()}
        if not kinds <= {"F16", "BF16", "F32", "F64"}:
            raise ValueError(
                f"{path} holds weights of kind {', '.join(sorted(kinds))}: only floating-point ones will do"
            )
        try:
            # Copied, so that the model does not hang on the file, which may be written again.
            weights = {name: file.get_tensor(name).to(torch.float32, copy=True) for name in stored}
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged: {brief(str(error))}") from error
    if broken := not_finite(weights):
        raise ValueError(f"{path} is damaged, or its training went wrong: {broken} holds values that are no numbers")
    network.load_state_dict(weights, assign=True)
    network.eval().requires_grad_(False)
    return Model(header.config, header.palette, network, header.provenance).to(device)


def is_model(path: str | Path) -> bool:
    """Whether this is a model file, whatever its header says; False for checkpoints of other programs and any other file."""
    try:
        with _opened(path) as file:
            return HEADER in (file.metadata() or {})
    except ValueError:
        return False


@contextmanager
def model_file(name: str | Path) -> Iterator[Path]:
    """The file of an embedded model, or the one that `name` is the path of. ValueError if it is neither."""
    known = assets.embedded_models()
    if str(name) in known:
        with resources.as_file(assets.folder() / f"{name}{assets.SUFFIX}") as path:
            yield path
    elif Path(name).exists():
        yield Path(name)
    else:
        hint = (
            meant(str(name), known) or f"give a file, or the name of an embedded model ({', '.join(known) or 'none'})"
        )
        raise ValueError(f"there is no model {shown(str(name))}: {hint}")


def shape_differences(network: nn.Module, found: Mapping[str, tuple[int, ...]], most: int = 3) -> str:
    """What keeps tensors of the shapes `found` from being the network's weights, the first few in words; "" if nothing."""
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    wrong = [
        name for name in (*expected, *sorted(found.keys() - expected.keys())) if expected.get(name) != found.get(name)
    ]
    told = [
        f"{brief(name)} is {shown(found[name]) if name in found else 'missing'}, expected {expected.get(name, 'none')}"
        for name in wrong[:most]
    ]
    return "; ".join(told) + (f"; and {len(wrong) - most} more" if len(wrong) > most else "")


def not_finite(weights: Mapping[str, Tensor]) -> str | None:
    """The first of these tensors that holds infinities, or values that are no numbers."""
    return next((name for name, weight in weights.items() if not weight.isfinite().all()), None)


def _opened(path: str | Path) -> Any:
    try:
        return safe_open(file_at(path), framework="pt")
    except (SafetensorError, OSError) as error:
        if kind := what_is(path):
            raise ValueError(f"{path} is not a safetensors file, or is incomplete; it looks like {kind}") from error
        raise ValueError(
            f"{path} is not a safetensors file, or is incomplete ({brief(str(error))}): download it again, or convert "
            "a .pt file with 'scdm convert'"
        ) from error


def _header(file: Any, path: str | Path) -> Header:
    text = (file.metadata() or {}).get(HEADER)
    if text is None:
        raise ValueError(
            f"{path} is a checkpoint of another program: it has no {HEADER!r} header ('scdm convert' may read it)"
        )
    try:
        return Header.from_json(text)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be used: {error}") from error
