"""scdm sample: images from layouts."""

from __future__ import annotations

import math
import re
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from .. import assets
from ..devices import AUTO, device_called, fast_dtype
from ..diffusion.samplers import Step, sampler_options
from ..files.contact_sheet import UNPAINTED_GREY, contact_sheet, overview
from ..files.images import MAX_PIXELS, from_levels, picture_format, read_image, to_levels, write_image
from ..files.levels import Remark, mask_strength, photograph
from ..files.untrusted import naming
from ..layouts.contents import contents
from ..layouts.fitting import fitted
from ..layouts.instances import bordered, read_instances, require_one_size
from ..layouts.labels import LabelMap
from ..layouts.palette import Palette
from ..layouts.reading import read_layout
from ..models import conversion
from ..models.model import Model
from ..pipeline import GenerateOptions, generate
from ..pipeline.composition import with_roughness
from ..pipeline.options import every_option
from .common import check_output, chosen_palette, class_shares, note, print_json, writing
from .flags import flag_of
from .terminal import say


@dataclass(frozen=True)
class Picture:
    """One image to make: the file it goes to, its layout (a place in the list of layouts) and its seed."""

    path: Path
    layout: int
    seed: int


def run(arguments: Namespace) -> None:
    started = time.monotonic()
    notes: list[str] = []

    def remark(sentence: str) -> None:
        notes.append(sentence)
        if not arguments.quiet:
            note(sentence)

    if former := assets.renamed(arguments.model):
        remark(former)
    options = _options(arguments)
    pictures = _pictures(arguments.output, arguments.layouts, _seeds(options.seed, arguments.count))
    instances = _instance_files(arguments)
    _check_files(arguments, instances, pictures)
    device = device_called(arguments.device)
    dtype = fast_dtype(device) if options.precision == AUTO else options.precision
    model = conversion.load(arguments.model, device, dtype=dtype, compile=arguments.compile)
    model.require_images()  # before anything is said of its sizes
    _check_sampler(arguments, options.for_model(model).sampler)
    palette = _palette(arguments.palette, model)
    _check_instances(instances, model, remark)
    layouts = [
        _layout(path, map_, palette, arguments, model, remark)
        for path, map_ in zip(arguments.layouts, instances, strict=True)
    ]
    remarks = [model.config.taught.remark((labels.height, labels.width)) for labels in layouts]
    for far in dict.fromkeys(filter(None, remarks)):  # once, however many layouts have that size
        remark(f"{far} (--size)")
    layouts = [with_roughness(model, labels, options) for labels in layouts]
    estimates = [
        f"{path} {roughness:.2f}"
        for path, labels in zip(arguments.layouts, layouts, strict=True)
        if options.roughness == "auto" and (roughness := _roughness(labels)) is not None
    ]
    if estimates:  # in one line, however many layouts there are
        remark(f"estimated roughness: {', '.join(estimates)}; --roughness sets another")
    image, mask = _source(arguments, layouts, remark)

    silent = arguments.quiet or arguments.json
    rows = [[palette.to_image(labels, UNPAINTED_GREY)[0]] for labels in layouts] if arguments.sheet else []
    with tqdm(unit="step", disable=True if silent else None) as bar:  # None: where standard error is no terminal
        for picture in pictures:
            own = replace(options, seed=picture.seed)
            on_step = _advance(bar, len(pictures))
            made = to_levels(generate(model, layouts[picture.layout], own, image=image, mask=mask, on_step=on_step))[0]
            with writing(picture.path):
                write_image(picture.path, made)
            if arguments.sheet:
                rows[picture.layout].append(made)
            if not silent:
                with tqdm.external_write_mode():
                    say(str(picture.path))
    if arguments.sheet:
        with writing(arguments.sheet):
            write_image(arguments.sheet, _sheet(arguments, rows))
    if arguments.json:
        report = _report(arguments, options, model, palette, layouts, instances, pictures)
        print_json({**report, "notes": notes, "seconds": round(time.monotonic() - started, 2)})


def _sheet(arguments: Namespace, rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    if arguments.sheet_width is None:
        return contact_sheet(rows)
    names = [path.stem.replace("_", " ") for path in arguments.layouts]
    return overview(list(zip(names, rows, strict=True)), arguments.sheet_width)


def _options(arguments: Namespace) -> GenerateOptions:
    settings = every_option()
    given = {name: getattr(arguments, name) for name in ("preset", *settings) if hasattr(arguments, name)}
    for name in given.keys() & settings.keys():
        if (needs := settings[name].option.needs) and getattr(arguments, needs) is None:
            raise ValueError(f"{flag_of(name)} has no effect without the {needs}: give the {needs} with --{needs}")
    options = GenerateOptions.of(given)
    options.require_use(arguments.image is not None, arguments.mask is not None)
    if arguments.sheet_width is not None and arguments.sheet is None:
        raise ValueError("--sheet-width has no effect without a sheet: give its file with --sheet")
    return options


def _check_sampler(arguments: Namespace, sampler: str | None) -> None:
    for name, setting in sampler_options().items():
        if hasattr(arguments, name) and sampler not in setting.owners:
            raise ValueError(f"{flag_of(name)} belongs to --sampler {' or '.join(setting.owners)}, not to {sampler}")


def _seeds(first: int, count: int) -> list[int]:
    return [(first + i) % 2**64 for i in range(count)]


def _pictures(output: str, layouts: Sequence[Path], seeds: Sequence[int]) -> list[Picture]:
    """What OUT means, see `scdm sample --help`."""
    pattern = output
    if Path(output).is_dir() or output.endswith(("/", "\\")):
        pattern = str(Path(output) / "{layout}.png")
    if len(seeds) > 1 and "{seed}" not in pattern:
        path = Path(pattern)
        pattern = str(path.with_name(f"{path.stem}_{{seed}}{path.suffix}"))
    if unknown := set(re.findall(r"{[^{}]*}", Path(pattern).name)) - {"{layout}", "{seed}"}:
        raise ValueError(f"{output}: {{layout}} and {{seed}} stand for something in a name, {min(unknown)} does not")
    if len(layouts) > 1 and "{layout}" not in pattern:
        raise ValueError(
            f"{len(layouts)} layouts cannot all be written to {output}: give a folder that exists, or a name with {{layout}}"
        )
    pictures = [
        Picture(Path(pattern.replace("{seed}", str(seed)).replace("{layout}", layout.stem)), place, seed)
        for place, layout in enumerate(layouts)
        for seed in seeds
    ]
    written: dict[Path, int] = {}
    for picture in pictures:
        other = layouts[written.setdefault(picture.path, picture.layout)]
        if other is not layouts[picture.layout]:
            raise ValueError(
                f"{other} and {layouts[picture.layout]} would both become {picture.path}: sample them apart"
            )
    return pictures


def _instance_files(arguments: Namespace) -> list[Path | None]:
    """The instance map of each layout, if there are any."""
    given, layouts = arguments.instances, arguments.layouts
    if not given:
        return [None] * len(layouts)
    if len(given) == 1 and "{layout}" in given[0]:
        return [Path(given[0].replace("{layout}", layout.stem)) for layout in layouts]
    if len(given) != len(layouts):
        raise ValueError(
            f"{len(layouts)} layouts need as many instance maps, not {len(given)}: give --instances once for each layout, "
            "in their order, or a name with {layout}"
        )
    return [Path(path) for path in given]


def _check_instances(instances: Sequence[Path | None], model: Model, remark: Remark) -> None:
    if model.config.network.edges and instances[0] is None:
        remark(
            "the model reads borders of instances, and they are taken between classes, so things of one class that touch "
            "are one: --instances tells them apart"
        )
    if not model.config.network.edges and instances[0] is not None:
        raise ValueError("the model reads no borders of instances: leave --instances out, or choose a model that does")


def _check_files(arguments: Namespace, instances: Sequence[Path | None], pictures: Sequence[Picture]) -> None:
    """Nothing that could be known now is left to fail after the work is done."""
    palette = None if arguments.palette is None else Path(arguments.palette)
    given = (*arguments.layouts, *instances, arguments.image, arguments.mask, Path(arguments.model), palette)
    inputs = [path for path in given if path is not None]
    outputs = [picture.path for picture in pictures]
    if arguments.sheet and arguments.sheet.resolve() in [path.resolve() for path in outputs]:
        raise ValueError(f"{arguments.sheet} would be both an image and the sheet: give the sheet another name")
    for path in outputs if arguments.sheet is None else [*outputs, arguments.sheet]:
        check_output(path, inputs)
        picture_format(path)


def _palette(choice: str | None, model: Model) -> Palette:
    if choice is None:
        return model.palette
    palette = chosen_palette(choice)
    if palette.num_classes != model.palette.num_classes:
        raise ValueError(
            f"palette {palette.name} has {palette.num_classes} classes, the model {model.palette.num_classes} "
            f"({model.palette.name}): choose a palette of the model's classes, or a model of the palette's"
        )
    return palette


def _layout(
    path: Path,
    instances: Path | None,
    palette: Palette,
    arguments: Namespace,
    model: Model,
    remark: Remark,
) -> LabelMap:
    labels = read_layout(
        path, palette, arguments.tolerance, lambda sentence: remark(f"{path}: {sentence}"), values=arguments.values
    )
    things = None if instances is None else read_instances(instances)
    if things:
        with naming(f"{instances}, for {path}"):
            require_one_size(labels, things)
    if arguments.size:
        width, height = arguments.size
        if width * height > MAX_PIXELS:
            raise ValueError(f"--size {width}x{height} is more than {MAX_PIXELS // 2**20} megapixels: ask for less")
        labels = labels.reduced(height, width)
    if things:
        things = fitted(things, labels.height, labels.width)
        labels = bordered(labels, things, lambda sentence: remark(f"{instances}: {sentence}"))
    if labels.unpainted.all():
        remark(f"{path}: nothing is painted, so the model is free to make anything")
    return labels


def _source(arguments: Namespace, layouts: Sequence[LabelMap], remark: Remark) -> tuple[Tensor | None, Tensor | None]:
    """The image (1, 3, H, W) in [-1, 1] and the mask (1, 1, H, W) in [0, 1] that were given, of the layouts' size."""
    image = mask = None
    if arguments.image is not None:
        image = from_levels(np.array(_read("image", arguments, layouts, photograph, remark))[None])
    if arguments.mask is not None:
        mask = torch.from_numpy(_read("mask", arguments, layouts, mask_strength, remark))[None, None]
    return image, mask


def _read(
    name: str,
    arguments: Namespace,
    layouts: Sequence[LabelMap],
    meaning: Callable[[Image.Image, Remark], Any],
    remark: Remark,
) -> Any:
    path = getattr(arguments, name)
    image = read_image(path)
    turned = image.info.get("scdm_orientation")
    for layout, labels in zip(arguments.layouts, layouts, strict=True):
        if image.size != (labels.width, labels.height):
            how = f" when it is turned as it says (EXIF orientation {turned})" if turned else ""
            raise ValueError(
                f"the {name} {path} is {image.width}x{image.height}{how}, "
                f"the layout {layout} {labels.width}x{labels.height}: they must have the same size"
            )
    if turned:
        remark(f"{path}: turned as the file says (EXIF orientation {turned})")
    with naming(path):
        return meaning(image, lambda sentence: remark(f"{path}: {sentence}"))


def _roughness(labels: LabelMap) -> float | None:
    """Of one layout, as the model reads it; None if it is unknown, or not read."""
    roughness = None if labels.roughness is None else labels.roughness.item()
    return None if roughness is None or math.isnan(roughness) else roughness


def _advance(bar: tqdm, pictures: int) -> Callable[[Step, int], None]:
    def advance(step: Step, steps: int) -> None:
        bar.total = pictures * steps
        bar.update()

    return advance


def _report(
    arguments: Namespace,
    options: GenerateOptions,
    model: Model,
    palette: Palette,
    layouts: Sequence[LabelMap],
    instances: Sequence[Path | None],
    pictures: Sequence[Picture],
) -> dict[str, Any]:
    return {
        "model": arguments.model,
        "palette": palette.name,
        "device": str(model.device),
        "options": options.for_model(model).record(),
        "layouts": [
            {
                "file": str(path),
                **({} if map_ is None else {"instances": str(map_)}),
                "size": [labels.width, labels.height],
                **({} if (roughness := _roughness(labels)) is None else {"roughness": round(roughness, 3)}),
                "classes": class_shares(contents(labels, palette), palette),
            }
            for path, labels, map_ in zip(arguments.layouts, layouts, instances, strict=True)
        ],
        "images": [
            {"file": str(picture.path), "layout": str(arguments.layouts[picture.layout]), "seed": picture.seed}
            for picture in pictures
        ],
    }
