"""scdm inspect: what a model file says of itself, or which classes a layout shows."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from .. import assets
from ..files import config as configuration
from ..files.kinds import looks_like_a_picture, what_is
from ..files.untrusted import brief, shown
from ..layouts.contents import contents_of_ids
from ..layouts.reading import read_ids
from ..start import importing
from .common import chosen_palette, class_shares, note, print_json
from .terminal import say

if TYPE_CHECKING:
    from ..models.checkpoint import Header
    from ..models.model import ModelConfig


def run(arguments: Namespace) -> None:
    path = Path(arguments.file)
    if assets.is_embedded(arguments.file):
        if former := assets.renamed(arguments.file):
            note(former)
        _inspect_model(arguments)
    elif looks_like_a_picture(path) or path.suffix.lower() in Image.registered_extensions():
        _inspect_layout(arguments)
    elif path.is_file() and (kind := what_is(path)):
        raise ValueError(f"{path} is neither a layout nor a model, but {kind}")
    else:
        _inspect_model(arguments)


def _inspect_layout(arguments: Namespace) -> None:
    palette = chosen_palette(arguments.palette)
    ids = read_ids(arguments.file, palette, arguments.tolerance, note, values=arguments.values)
    classes = class_shares(contents_of_ids(ids, palette), palette)
    height, width = ids.shape
    if arguments.json:
        size = [width, height]
        return print_json({"file": arguments.file, "size": size, "palette": palette.name, "classes": classes})
    _print_table([("layout", arguments.file), ("size", f"{width}x{height}"), ("palette", palette.name)])
    say("")
    say("  share   id  class")
    for found in classes:
        class_id = "" if found["id"] is None else found["id"]
        say(f"{found['share']:7.2%} {class_id:>4}  {found['name']}")


def _inspect_model(arguments: Namespace) -> None:
    with importing():
        from ..models import checkpoint
    with checkpoint.model_file(arguments.file) as path:
        header = checkpoint.read_header(path)
        weights = {"bytes": path.stat().st_size, **_weights(path)}
    if arguments.json:
        return print_json({"file": arguments.file, **weights, "version": header.version, **_content(header)})
    _print_table(_model_rows(arguments.file, header, weights))
    _print_classes(header)


def _content(header: Header) -> dict[str, Any]:
    return {
        "config": configuration.to_dict(header.config),
        "palette": header.palette.to_dict(),
        "provenance": header.provenance,
        "upsampler": None if header.upsampler is None else _content(header.upsampler),
    }


def _weights(path: Path) -> dict[str, Any]:
    """How many numbers the file holds, and of which types, without reading them."""
    from ..files.tensors import opened  # late: it imports torch
    from ..models.eight_bits import scales

    with opened(path) as file:
        held = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        tensors = [held[name] for name in held.keys() - scales(held)]
        return {
            "parameters": sum(math.prod(tensor.get_shape()) for tensor in tensors),
            "types": sorted({tensor.get_dtype() for tensor in tensors}),
        }


def _model_rows(name: str, header: Header, weights: dict[str, Any]) -> list[tuple[str, str]]:
    network, config = header.config.network, header.config
    return [
        ("model", name),
        (
            "file",
            f"{weights['bytes'] / 1e6:.1f} MB, {weights['parameters']:,} parameters ({', '.join(weights['types'])})",
        ),
        ("trained at", f"{config.taught}{f', in windows of {config.window}' if config.window else ''}"),
        *_upsampler_rows(header),
        ("classes", f"{network.num_classes}{' and instance borders' if network.edges else ''}, {header.palette.name}"),
        *network.summary(),
        ("process", _process(config)),
        ("label diffusion", _label_diffusion(config)),
        *_roughness_row(header),
        *((brief(key), _plain(value)) for key, value in header.provenance.items() if value not in (None, "")),
    ]


def _upsampler_rows(header: Header) -> list[tuple[str, str]]:
    if header.config.upsamples is not None:
        return [("upsampler", f"of small images of {header.config.upsamples} pixels, for another model")]
    if header.upsampler is None:
        return []
    network, config = header.upsampler.config.network, header.upsampler.config
    parts = "; ".join(value for _, value in network.summary())
    return [("upsampler", f"of small images of {config.upsamples} pixels, {_process(config)}: {parts}")]


def _roughness_row(header: Header) -> list[tuple[str, str]]:
    if not header.config.network.roughness:
        return []
    auto = "auto leaves it unknown" if header.roughness is None else "auto estimates it"
    return [("roughness", f"read of layouts, {auto}")]


def _label_diffusion(config: ModelConfig) -> str:
    resolution = "" if config.label_resolution is None else f", as at {config.label_resolution} pixels"
    counting = "" if config.label_counting == "visits" else ", by original steps"
    return f"{config.label_diffusion}{resolution}{counting}"


def _process(config: ModelConfig) -> str:
    learned = ", variance learned" if config.network.learn_sigma else ""
    distilled = "" if config.distilled_steps is None else f", distilled to {config.distilled_steps}"
    if config.distilled_guidance is not None:
        distilled += f" with guidance {config.distilled_guidance:g}"
    shift = "" if config.noise_shift == 1 else f", shifted by {config.noise_shift:g}"
    return f"{config.steps} {config.noise_schedule} steps{shift}{distilled}, predicts {config.prediction}{learned}"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return brief(
            ", ".join(f"{key} {item if isinstance(item, str) else shown(item)}" for key, item in value.items())
        )
    return brief(value if isinstance(value, str) else shown(value))


def _print_table(rows: Iterable[tuple[str, str]]) -> None:
    for name, value in rows:
        say(f"{name:<16} {value}")


def _print_classes(header: Header) -> None:
    rates = header.config.class_rates
    say("")
    say(f"  id  colour   {'   rate  ' if rates else ''}class")
    for i, (name, color) in enumerate(zip(header.palette.names, header.palette.colors, strict=True)):
        code = "-" if color is None else "#{:02x}{:02x}{:02x}".format(*color)
        rate = f"{rates[i]:7.4g}  " if rates else ""
        say(f"{i:4}  {code:<8} {rate}{name}")
