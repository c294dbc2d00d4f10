"""Published checkpoints -> models: the weights of SDM and SCDM, and those of sparse layouts.

Such files hold little but weights. The network is read from their shapes (`networks.published`), the classes are known
by the number of label channels, and what leaves no trace is assumed (`Assumptions`) and noted in the provenance.

Training programs wrap weights: in prefixes of their names (`module.`, `_orig_mod.`, `model.`), and in tables beside those of
the optimizer. A network is found by the names of its weights, wherever it is; of several, one is to be chosen.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..devices import device_called, dtype_called
from ..diffusion.label_diffusion import shipped_rates
from ..files.kinds import what_is
from ..files.tensors import opened, tensors_in
from ..files.untrusted import brief, file_at, naming, sha256_of, shown
from ..layouts.labels import require_same_classes
from ..layouts.palette import Palette
from ..networks import UNetConfig, build
from ..networks.published import PUBLISHED, from_shapes
from . import checkpoint
from .assumptions import AS_PUBLISHED, Assumptions
from .model import Model, ModelConfig

SCDM = ("ade20k", "coco_stuff", "celebamask_hq")  # what it was released for; the others are SDM's or sparse layouts'
SIZES = {"cityscapes": (256, 512)}  # of training images where they are not 256x256
PROCESS = ("noise_schedule", "steps", "prediction")
SPARSE_STEPS = 1024
SPARSE_GUIDANCE = 1.5

ZIP = b"PK\x03\x04"  # how files of torch.save begin
WEIGHTS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
LANDMARK = "time_embed.0.weight"  # a weight of every network of SDM's kind: what comes before it is a prefix
DEEPEST = 4  # tables within each other that are looked through
OPTIMIZER = {"state", "param_groups"}  # the entries of the state of a torch optimizer


def convert(path: str | Path, told: Assumptions = AS_PUBLISHED, operations: Any = nn) -> Model:
    """The model in a published .pt or .safetensors file, ready to sample or to `checkpoint.save`.

    No code in the file is run. ValueError names the file and says what is wrong with it, or what must be told of it.
    """
    path = file_at(path)
    with naming(path):
        source = _read(path, told.entry)
        config, palette = _meaning(source, told)
        network = build(config.network, source.weights, operations=operations, copy=True)
    provenance = {"source": path.name, "sha256": sha256_of(path), **_provenance(config, palette, told, source)}
    return Model(config, palette, network, provenance)


def load(
    name: str | Path,
    device: torch.device | str = "cpu",
    operations: Any = nn,
    told: Assumptions = AS_PUBLISHED,
    *,
    dtype: str | torch.dtype | None = None,
    compile: bool = False,
) -> Model:
    """Whatever can be loaded: an embedded model by its name, a model file, or a published file, converted on the fly; files
    also at addresses that fsspec reads, such as s3://bucket/model.safetensors (`scdm[remote]`).

    dtype: of the weights, whatever the file has: "float32" (None), "bfloat16" or "float16"; `Model.to` changes it.
    compile: compiles the network (`Model.compiled`).
    ValueError for what is no model, and for devices and types that cannot be had.
    """
    dtype, device = dtype_called(dtype), device_called(device)
    with checkpoint.model_file(name) as path:
        published = path.is_file() and not checkpoint.is_model(path)
        model = convert(path, told, operations) if published else checkpoint.load(path, operations=operations)
    model = model.to(device, dtype)
    return model.compiled() if compile else model


def landscapes() -> Palette:
    """The 16 classes of the sparse-layout models, whose names were not published with the weights."""
    unlabelled = 15
    palette = Palette(
        name="landscapes",
        names=(*(f"class {i}" for i in range(unlabelled)), "unlabelled"),
        colors=(None,) * (unlabelled + 1),
        unlabelled=unlabelled,
        note="The names of these classes are not known: they are numbered, in colours of our own. 15 is unlabelled.",
    )
    return replace(palette.golden_angle(), name=palette.name)


class _Source(NamedTuple):
    """time_scale: of a model of sparse layouts (1 = not distilled); None if nothing says that it is one.

    entry: where in the file the weights are, if not at its top. others: tensors beside them, that are of no use.
    """

    weights: dict[str, Tensor]
    time_scale: int | None
    name: str
    entry: str = ""
    others: int = 0


def _meaning(source: _Source, told: Assumptions) -> tuple[ModelConfig, Palette]:
    shapes = {name: tuple(tensor.shape) for name, tensor in source.weights.items()}
    network = from_shapes(
        shapes,
        head_channels=told.head_channels,
        heads=told.heads,
        heads_up=told.heads_up,
        qkv_order=told.qkv_order,
    )
    channels = network.label_channels
    known = _known_as(network)
    palette = told.palette or _published_palette(known, channels)
    if channels != palette.num_classes + 1:  # one of borders
        require_same_classes(f"palette {palette.name}", palette.num_classes, "the network", channels)
    network = replace(network, num_classes=palette.num_classes, edges=channels > palette.num_classes)
    size = told.size or SIZES.get(palette.name, (256, 256))
    kind = told.label_diffusion or ("classwise" if palette.name in SCDM else "none")
    rates = told.class_rates
    if kind == "classwise" and rates is None:
        rates = shipped_rates(palette.name)
    sparse = _is_sparse(source, network)
    process: dict[str, Any] = {"noise_schedule": "cosine", "steps": SPARSE_STEPS, "prediction": "v"} if sparse else {}
    process |= {name: value for name in PROCESS if (value := getattr(told, name)) is not None}
    if sparse and process["steps"] == SPARSE_STEPS:
        time_scale = source.time_scale or _time_scale_in(source.name)
        process["distilled_steps"] = None if time_scale == 1 else f"ddim{SPARSE_STEPS // time_scale}"
    return ModelConfig(network, size, label_diffusion=kind, class_rates=rates, **process), palette


def _is_sparse(source: _Source, network: UNetConfig) -> bool:
    return source.time_scale is not None or _known_as(network) == "landscapes"


def _known_as(network: UNetConfig) -> str | None:
    """The published model whose label channels these are; 16 are landscapes only if no variance is learned."""
    for name, published in PUBLISHED.items():
        if published.label_channels == network.label_channels and (name != "landscapes" or not network.learn_sigma):
            return name
    return None


def _published_palette(name: str | None, channels: int) -> Palette:
    if name is None:
        known = ", ".join(f"{network.label_channels} ({name})" for name, network in PUBLISHED.items())
        others = f"no published model does: they have {known}. Give the palette that it was trained with"
        raise ValueError(f"the network reads {channels} label channels, and {others}")
    return landscapes() if name == "landscapes" else Palette.named(name)


def _provenance(config: ModelConfig, palette: Palette, told: Assumptions, source: _Source) -> dict[str, Any]:
    """The program that the weights are of, and what was taken for granted."""
    network: Any = config.network
    sparse = _is_sparse(source, network)
    in_effect = {
        "palette": palette.name,
        "label_diffusion": config.label_diffusion,
        "size": list(config.size),
        "head_channels": network.head_channels,
        "qkv_order": network.qkv_order,
    }
    assumed = {name: value for name, value in in_effect.items() if getattr(told, name) == getattr(AS_PUBLISHED, name)}
    if network.head_channels is None and told.heads_up is None:
        assumed["heads_up"] = f"{network.heads}, as heads"
    if process := _assumed_process(config, told):
        assumed["process"] = process
    if sparse and source.time_scale is None:
        assumed["distilled to"] = f"{config.distilled_steps or 'no few steps'}, by the file's name"
    provenance = {"form": "sparse layouts" if sparse else "SDM or SCDM", "assumed": assumed}
    if source.entry:
        provenance["entry"] = source.entry
    if source.others:
        provenance["left out"] = f"{source.others} tensors beside the network's"
    return {**provenance, "guidance": SPARSE_GUIDANCE} if sparse else provenance


def _assumed_process(config: ModelConfig, told: Assumptions) -> str:
    """What of the process nobody has told, in words."""
    if all(getattr(told, name) is None for name in PROCESS):
        return f"{config.steps} {config.noise_schedule} steps, {config.prediction}"
    return ", ".join(
        f"{name.replace('_', ' ')} {getattr(config, name)}" for name in PROCESS if getattr(told, name) is None
    )


def _read(path: Path, entry: str | None) -> _Source:
    """The weights in the file, not yet in memory, and what else it says."""
    content = _read_torch(path) if _start(path) == ZIP else _read_safetensors(path)
    time_scale = None
    if "G" in content:
        time_scale = _checked_time_scale(content.get("n_timesteps"), content.get("time_scale"))
        content = content["G"] if isinstance(content["G"], Mapping) else {}
    if _is_of_optimizer(content):
        raise ValueError(f"this is the state of an optimizer, without the network: {_beside(path)}")
    found = _chosen(content, entry)
    if not isinstance(found.table, Mapping) or not found.table:
        raise ValueError("it holds no table of named tensors")
    own = {name: value for name, value in found.table.items() if str(name).startswith(found.prefix)}
    weights = _checked_weights(own, path.stat().st_size)
    weights = {name.removeprefix(found.prefix): weight for name, weight in weights.items()}
    others = len(found.table) - len(own)  # networks of a loss, counters
    return _Source(weights, time_scale, path.stem, found.name, others)


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(ZIP))


def _is_of_optimizer(content: Mapping[str, Any]) -> bool:
    """Whether it is the state of an optimizer, or holds one and no weights."""
    parts = content.values()
    holds = any(isinstance(part, Mapping) and part.keys() >= OPTIMIZER for part in parts)
    weights = any(isinstance(part, Tensor) or _is_table(part) for part in parts) or bool(_networks(content))
    return content.keys() >= OPTIMIZER or (holds and not weights)


def _beside(path: Path) -> str:
    """Advice: files of weights of the same step that lie beside a file of an optimizer, averages first."""
    number = re.search(r"\d+(?=\D*$)", path.stem)
    with suppress(OSError):
        others = sorted(file.name for file in path.parent.iterdir() if file.suffix == path.suffix and file != path)
        same = [name for name in others if number and number[0] in name and not name.lower().startswith("opt")]
        if same:
            same.sort(key=lambda name: "ema" not in name.lower())
            return f"give {' or '.join(map(brief, same[:3]))}, which lies beside it"
    step = number[0] if number else "010000"
    return f"give the weights of the same step, such as ema_0.9999_{brief(step)}.pt or model{brief(step)}.pt"


class _Network(NamedTuple):
    """Where a network lies: in the table at `path`, its names beginning with `prefix`."""

    path: tuple[str, ...]
    prefix: str
    table: Any

    @property
    def name(self) -> str:
        wrappings = [part for part in self.prefix.split(".") if part and part not in ("module", "_orig_mod")]
        return ".".join([*self.path, *wrappings])


def _chosen(content: Mapping[str, Any], entry: str | None) -> _Network:
    """The one network in a checkpoint, or the one that `entry` names.

    Without any, what looks most like a table of weights, for the complaint about it.
    """
    found = networks = _networks(content)
    averages = [one for one in networks if "ema" in one.name.lower()]
    if entry is not None:
        found = [one for one in networks if entry == one.name]
        found = found or [one for one in networks if entry in one.name.split(".")]
        found = found or (averages if entry == "ema" else [])
    if len(found) > 1 or (entry is not None and not found):
        names = ", ".join(brief(one.name) or "the network at its top" for one in (found or networks)[:20])
        best = f"; {shown(averages[0].name)} is usually the best" if len(averages) == 1 else ""
        wanted = "" if entry is None else f", but not one that {shown(entry)} is meant by alone"
        choice = f"choose one by its name ('scdm convert --entry NAME'){best}"
        raise ValueError(f"it holds {names or 'no network at all'}{wanted}: {choice}")
    if found:
        return found[0]
    tables = [value for value in content.values() if _is_table(value)]
    return _Network((), "", content.get("state_dict", tables[0] if len(tables) == 1 else content))


def _networks(content: Mapping[str, Any], path: tuple[str, ...] = ()) -> list[_Network]:
    """All networks of SDM's kind in nested tables."""
    if len(path) > DEEPEST:
        return []
    found = [
        _Network(path, name.removesuffix(LANDMARK), content)
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, Tensor) and re.search(rf"(^|\.){re.escape(LANDMARK)}$", name)
    ]
    for name, value in content.items():
        if isinstance(name, str) and isinstance(value, Mapping) and not value.keys() >= OPTIMIZER:
            found += _networks(value, (*path, name))
    return found


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(part, Tensor) for part in value.values())


def _read_torch(path: Path) -> Mapping[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            plain = all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        content = tensors_in(path, mmap=True) if plain else None
    except Exception as error:  # damaged files make zipfile and torch raise almost anything
        raise ValueError(_fault(path, error)) from error
    if not isinstance(content, Mapping):
        found = (
            f"holds a {type(content).__name__}" if plain else f"is {what_is(path) or 'a zip archive'}: unpack it first"
        )
        raise ValueError(f"a checkpoint is a table of named tensors that PyTorch wrote, and this {found}")
    return content


def _fault(path: Path, error: Exception) -> str:
    """Why a checkpoint of PyTorch cannot be read."""
    if isinstance(error, pickle.UnpicklingError):
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        detail = f", namely {brief(foreign[1])}" if foreign else ""
        return (
            f"refused, because it holds more than tensors and numbers{detail}, which may run code: where it comes from, "
            "save the table of weights alone (torch.save(network.state_dict(), ...))"
        )
    if isinstance(error, zipfile.BadZipFile | NotImplementedError):
        return f"the file is incomplete or damaged ({error}): download it again"
    return f"this is no checkpoint of PyTorch, or a damaged one ({what_is(path) or brief(str(error))})"


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    with opened(path) as file:
        if checkpoint.HEADER in (file.metadata() or {}):
            raise ValueError("this is a model file already, and needs no conversion")
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _checked_weights(content: Mapping[Any, Any], file_size: int) -> dict[str, Tensor]:
    """Plain tensors by name."""
    if any(str(name).startswith("model.diffusion_model.") for name in content):
        raise ValueError("this is a model of Stable Diffusion's kind, or one that ComfyUI saved: SCDM reads neither")
    for name, value in content.items():
        plain = isinstance(value, Tensor) and value.layout == torch.strided and not value.is_nested
        if not isinstance(name, str) or not plain or value.device.type != "cpu" or value.dtype not in WEIGHTS:
            raise ValueError(f"a table of weights holds named tensors of numbers, but its entry {shown(name)} is none")
    # Views can claim any size of a few stored bytes.
    if sum(tensor.numel() * tensor.element_size() for tensor in content.values()) > file_size:
        raise ValueError("its tensors claim to be larger than the file")
    return {name: tensor.detach() for name, tensor in content.items()}


def _checked_time_scale(n_timesteps: Any, time_scale: Any) -> int:
    """`time_scale`, where it and the number of steps belong to a process of 1024 steps, whole or distilled."""
    strides = [n for n in range(1, SPARSE_STEPS + 1) if SPARSE_STEPS % n == 0]
    numbers = isinstance(n_timesteps, int | float) and isinstance(time_scale, int | float)
    if not numbers or time_scale not in strides or n_timesteps not in (SPARSE_STEPS, SPARSE_STEPS // time_scale):
        found = f"n_timesteps {shown(n_timesteps)} and time_scale {shown(time_scale)}"
        rule = f"a process of {SPARSE_STEPS} steps and a time scale that divides it"
        raise ValueError(f"models of sparse layouts have {rule}; the checkpoint, or its file's name, gives {found}")
    return int(time_scale)


def _time_scale_in(name: str) -> int:
    """The time scale at the end of a file's name, 1 if there is none."""
    found = re.search(r"_(\d{1,9})$", name)
    return _checked_time_scale(SPARSE_STEPS, int(found[1])) if found else 1
