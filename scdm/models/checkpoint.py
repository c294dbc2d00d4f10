"""Model files: safetensors whose header says everything needed to use the weights.

Header key "scdm" holds JSON: {"version", "config": ModelConfig, "palette": class table, "provenance": {...}}, and of models
that estimate how rough a layout is "roughness": RoughnessEstimator. Where there is an upsampler, "upsampler" holds its own
header, and its tensors have that name before theirs; or it names one that comes with the package, for models that share it.
Weights are floating-point numbers, or 8-bit integers with scales (`eight_bits`).
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from .. import assets
from ..devices import device_called, name_of
from ..files import config as configuration
from ..files.addresses import fetched, is_address
from ..files.atomic import written_whole
from ..files.parsing import parsed
from ..files.tensors import opened
from ..files.untrusted import brief, file_at, meant, naming, shown
from ..layouts.labels import require_same_classes
from ..layouts.palette import Palette
from ..layouts.roughness import RoughnessEstimator
from ..networks import build
from ..networks.weights import not_finite
from .eight_bits import packed, unpacked
from .model import Model, ModelConfig

HEADER = "scdm"
VERSION = 1
UPSAMPLER = "upsampler."  # before the names of its tensors


@dataclass(frozen=True)
class Header:
    """What a model file says of itself."""

    config: ModelConfig
    palette: Palette
    provenance: dict[str, Any]
    version: int = VERSION
    roughness: RoughnessEstimator | None = None
    upsampler: Header | None = None
    shared: str | None = None  # the name of the upsampler's file among the assets

    @classmethod
    def of(cls, model: Model) -> Header:
        upsampler = None if model.upsampler is None else cls.of(model.upsampler)
        return cls(model.config, model.palette, model.provenance, roughness=model.roughness, upsampler=upsampler)

    def to_json(self) -> str:
        return json.dumps(self._content(), ensure_ascii=False)

    def _content(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "config": configuration.to_dict(self.config),
            "palette": self.palette.to_dict(),
            "provenance": self.provenance,
            **({} if self.roughness is None else {"roughness": configuration.to_dict(self.roughness)}),
            **({} if self.upsampler is None else {"upsampler": self.shared or self.upsampler._content()}),
        }

    @classmethod
    def from_json(cls, text: str) -> Header:
        """ValueError says which part is missing, unknown or impossible."""
        return cls._of_content(parsed(text, "JSON"))

    @classmethod
    def _of_content(cls, content: Any) -> Header:
        if not isinstance(content, dict):
            raise ValueError(f"its header must be a mapping, not {shown(content)}")
        version = content.get("version", VERSION)
        if version != VERSION:  # first: what else a later version holds is not known here
            raise ValueError(f"its format version is {shown(version)}, this program reads {VERSION}: update scdm")
        parts = configuration.from_dict(_Parts, content, "its header's ")
        config = configuration.from_dict(ModelConfig, parts.config, "config.")
        palette = Palette.from_dict(parts.palette)
        require_same_classes("its palette", palette.num_classes, "its network", config.network.num_classes)
        shared, upsampler = None, None
        if isinstance(parts.upsampler, str):
            shared, upsampler = parts.upsampler, _shared_header(parts.upsampler)
        elif parts.upsampler is not None:
            upsampler = cls._of_content(parts.upsampler)
        if upsampler is not None:
            is_one = upsampler.config.upsamples is not None and upsampler.upsampler is None
            if not is_one or config.upsamples is not None:
                raise ValueError("what its header calls an upsampler is none, or is of one")
            upsampler.palette.require_same(palette, "its upsampler", "its network")
        return cls(config, palette, parts.provenance, roughness=parts.roughness, upsampler=upsampler, shared=shared)


@dataclass(frozen=True)
class _Parts:
    """A header as it is stored."""

    version: int
    config: dict[str, Any]
    palette: Any
    provenance: dict[str, Any]
    roughness: RoughnessEstimator | None = None
    upsampler: dict[str, Any] | str | None = None


def save(path: str | Path, model: Model, dtype: torch.dtype | None = None, shared: str | None = None) -> None:
    """Writes the model, whole or not at all; with the `dtype` torch.float16 in half the space, with torch.int8 in a quarter.

    shared: the name of its upsampler among those that come with the package, which the file then names instead.
    ValueError names a tensor with NaN or infinite values in that dtype (float16 ends at 65504), or an upsampler that is not
    the one of that name. OSError names the file and says why it cannot be written; what was there before is kept.
    """
    if shared is not None:
        with naming(f"{path} is not written"):
            _require_shared(model, shared)
    held = weights(model if shared is None else replace(model, upsampler=None), dtype)
    tensors = {name: tensor.contiguous() for name, tensor in held.items()}
    if broken := not_finite(tensors):
        raise ValueError(f"{path} is not written: {broken} is NaN or infinite in {name_of(tensors[broken].dtype)}")
    write_tensors(path, tensors, {HEADER: replace(Header.of(model), shared=shared).to_json()})


def weights(model: Model, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """All tensors of a model, by their names in files, as they are or as `save` stores them in `dtype`."""
    own = {name: tensor.detach().cpu() for name, tensor in model.network.state_dict().items()}
    if dtype == torch.int8:
        own = packed(own, model.network.EXACT)
    elif dtype is not None:
        own = {name: tensor.to(dtype) for name, tensor in own.items()}
    if model.upsampler is None:
        return own
    return own | {UPSAMPLER + name: tensor for name, tensor in weights(model.upsampler, dtype).items()}


def write_tensors(path: str | Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """A safetensors file, whole or not at all. OSError names it and says why it cannot be written."""
    with written_whole(path, durable=True) as beside:
        try:
            save_file(tensors, beside, metadata)
        except SafetensorError as error:
            number = re.search(r"os error (\d+)", str(error))
            reason = (int(number[1]), os.strerror(int(number[1]))) if number else (None, brief(str(error)))
            raise OSError(*reason, str(path)) from error


def read_header(path: str | Path) -> Header:
    """The file's header, without its weights. ValueError names the file and what is wrong with it."""
    path = file_at(path)
    with naming(path), opened(path) as file:
        return _header(file)


def load(path: str | Path, device: torch.device | str = "cpu", operations: Any = nn) -> Model:
    """The model in a file, float32, ready to sample. ValueError names the file and what is wrong with it.

    The header is checked against the tensors' shapes before any memory is taken for the network.
    """
    path = file_at(path)
    with naming(path), opened(path) as file:
        return _built(_header(file), _tensors(file), device_called(device), operations)


def _built(header: Header, stored: dict[str, Tensor], device: torch.device, operations: Any) -> Model:
    """Without an upsampler in the header, all tensors are to be the network's."""
    detail: dict[str, Tensor] = {}
    if header.shared is not None:
        with _shared(header.shared) as path, opened(path) as file:
            detail = _tensors(file)
    elif header.upsampler is not None:
        theirs = [name for name in stored if name.startswith(UPSAMPLER)]
        detail = {name.removeprefix(UPSAMPLER): stored.pop(name) for name in theirs}
    network = build(header.config.network, stored, device, operations=operations, copy=True)
    upsampler = None if header.upsampler is None else _built(header.upsampler, detail, device, operations)
    return Model(header.config, header.palette, network, header.provenance, header.roughness, upsampler)


def _tensors(file: Any) -> dict[str, Tensor]:
    return unpacked({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118


def is_model(path: str | Path) -> bool:
    """Whether this is a model file, whatever its header says; False for checkpoints of other programs and any other file."""
    try:
        with opened(file_at(path)) as file:
            return HEADER in (file.metadata() or {})
    except ValueError:
        return False


@contextmanager
def model_file(name: str | Path) -> Iterator[Path]:
    """The file of an embedded model, or the one that `name` is the path or the address of. ValueError if it is neither.

    What is at an address (`files.addresses`) is there as a copy for as long as the block.

    FutureWarning for a former name of an embedded model.
    """
    known = assets.embedded_models()
    if assets.is_embedded(str(name)):
        if remark := assets.renamed(str(name)):
            warnings.warn(remark, FutureWarning, stacklevel=4)  # of those who called `load`
        with resources.as_file(assets.folder() / f"{assets.current(str(name))}{assets.SUFFIX}") as path:
            yield path
    elif is_address(str(name)):
        with fetched(str(name)) as path:
            yield path
    elif Path(name).exists():
        yield Path(name)
    else:
        hint = (
            meant(str(name), known) or f"give a file, or the name of an embedded model ({', '.join(known) or 'none'})"
        )
        raise ValueError(f"there is no model {shown(str(name))}: {hint}")


@contextmanager
def _shared(name: str) -> Iterator[Path]:
    """The file of an upsampler that comes with the package. ValueError if there is none of that name."""
    if name not in assets.upsamplers():
        raise ValueError(f"its upsampler {shown(name)} does not come with this version of scdm: update it")
    with resources.as_file(assets.folder() / assets.UPSAMPLERS / f"{name}{assets.SUFFIX}") as path:
        yield path


def _require_shared(model: Model, name: str) -> None:
    """ValueError unless the model's upsampler is the one that comes with the package by that name."""
    with _shared(name) as path:
        if model.upsampler is None or load(path).digest() != model.upsampler.digest():
            raise ValueError(f"the model's upsampler is not {name} of the package: join {path}, or store its weights")


def _shared_header(name: str) -> Header:
    with _shared(name) as path:
        return read_header(path)


def _header(file: Any) -> Header:
    text = (file.metadata() or {}).get(HEADER)
    if text is None:
        raise ValueError(f"a checkpoint of another program, without a {HEADER!r} header: 'scdm convert' may read it")
    return Header.from_json(text)
