"""Measure the class rates of a data set: python training/estimate_class_rates.py --config CONFIG [--model FILE]

Reads every label map of the training split, works out each class's coverage and rarity (defined in
scdm/datasets/statistics.py), and writes the rates that follow into the configuration, as label_diffusion.rates, and into a
model file if one is given. A configuration's comments stay as they are.
The counts are kept in the run's folder: the same command goes on where it was stopped, and other settings count
nothing again.
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("estimate_class_rates")  # before the imports that take seconds

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from safetensors.torch import load_file
from tqdm.auto import tqdm

from scdm.cli.flags import add_flags
from scdm.datasets import ClassStatistics, DataSet, open_dataset
from scdm.datasets.examples import ENDLESS
from scdm.datasets.parallel import mapped
from scdm.diffusion.label_diffusion import estimate_rates
from scdm.files.arguments import Parser
from scdm.files.atomic import made_folder, write_text, written_whole
from scdm.files.config import flat, load, require_same, to_dict
from scdm.files.options import check, declared
from scdm.files.parsing import parsed
from scdm.files.untrusted import brief, content_of
from scdm.layouts.palette import Palette
from scdm.models.checkpoint import HEADER, read_header, write_tensors
from scdm.training.command import ending
from scdm.training.config import TrainConfig

SAVE_EVERY = 1000  # images
OF_ENDLESS = 2000  # images of an endless data set that are counted
LINE = 95  # characters of a line of rates


@ending("estimate_class_rates", "without --dry-run the same command goes on")
def main(argv: list[str] | None = None) -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("--config", required=True, type=Path, help="YAML file of the run; its rates are replaced")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="data.root=/data/ade20k")
    parser.add_argument("--model", type=Path, help="model file whose rates are replaced as well")
    parser.add_argument("--dry-run", action="store_true", help="print the rates and change nothing")
    add_flags(parser, declared(estimate_rates).values())
    arguments = parser.parse_args(argv)
    settings = {name: getattr(arguments, name) for name in declared(estimate_rates) if hasattr(arguments, name)}
    check(settings, declared(estimate_rates))  # before all layouts are read
    config = load(TrainConfig, arguments.config, arguments.set)
    data = open_dataset(config.data)
    if not arguments.dry_run:
        require_classwise(config, arguments.model, data.palette)
    statistics = measured(data, config, keep=not arguments.dry_run)
    rates = statistics.rates(data.palette.unlabelled, **settings)
    print(table(statistics, rates, data.palette))
    if not arguments.dry_run:
        write(arguments.config, arguments.model, rates, data.palette, statistics.images)
    return 0


def require_classwise(config: TrainConfig, model: Path | None, palette: Palette) -> None:
    """ValueError if the configuration or the model has no use for class rates of these classes."""
    require_kind(config.label_diffusion.kind)
    if model is None:
        return
    header = read_header(model)
    header.palette.require_same(palette, str(model), "the data set")
    if header.config.label_diffusion != "classwise":
        raise ValueError(
            f"{model} was trained with {header.config.label_diffusion} label diffusion: it has no class rates"
        )


def require_kind(kind: str) -> None:
    if kind != "classwise":
        raise ValueError(f"class rates are for class-wise label diffusion, but label_diffusion.kind is {kind}")


class Counted(NamedTuple):
    """What has been read so far: images, of which broken ones are not in the statistics."""

    read: int
    statistics: ClassStatistics


def measured(data: DataSet, config: TrainConfig, keep: bool) -> ClassStatistics:
    """Statistics of all images, continued from those that the run's folder holds. keep: save them there."""
    images = OF_ENDLESS if len(data) == ENDLESS else len(data)
    file = Path(config.run) / "class_statistics.json"
    if keep:
        made_folder(file.parent)
    of = {"data": {key: value for key, value in to_dict(config.data).items() if key != "workers"}, "images": images}
    read, statistics = resumed(file, of, data.palette.num_classes)
    counted = mapped(partial(count, data), range(read, images), config.data.workers)
    for one in tqdm(counted, total=images, initial=read, unit="image"):
        read, statistics = read + 1, statistics + one
        if keep and (read % SAVE_EVERY == 0 or read == images):
            save(file, of, Counted(read, statistics))
    return statistics


def count(data: DataSet, index: int) -> ClassStatistics:
    try:
        return ClassStatistics.of(data.layout(index), data.palette.num_classes)
    except ValueError as error:
        print(f"left out: {error}", file=sys.stderr)
        return ClassStatistics.none(data.palette.num_classes)


def save(file: Path, of: dict[str, Any], counted: Counted) -> None:
    read, statistics = counted
    content = {
        "of": of,
        "read": read,
        "images": statistics.images,
        "coverage": statistics.coverage.tolist(),
        "present": statistics.present.tolist(),
    }
    write_text(file, json.dumps(content))


def resumed(file: Path, of: dict[str, Any], num_classes: int) -> Counted:
    if not file.is_file():
        return Counted(0, ClassStatistics.none(num_classes))
    try:
        saved = parsed(content_of(file), "JSON")
        statistics = ClassStatistics(saved["images"], np.array(saved["coverage"]), np.array(saved["present"]))
        read, counts = int(saved["read"]), flat(saved["of"])
        statistics += ClassStatistics.none(num_classes)  # ValueError for another number of classes
        if not _possible(read, statistics):
            raise ValueError("its counts are impossible")
    except (ValueError, KeyError, TypeError, OverflowError, AttributeError) as error:
        raise ValueError(f"{file} is damaged ({brief(str(error))}): remove it to count again") from error
    require_same(str(file), counts, flat(of), "Remove it to count again")
    return Counted(read, statistics)


def _possible(read: int, statistics: ClassStatistics) -> bool:
    images, coverage, present = statistics.images, statistics.coverage, statistics.present
    numbers = type(images) is int and coverage.dtype.kind in "if" and present.dtype.kind in "if"
    # Comparisons with NaN are false.
    return (
        numbers
        and 0 <= images <= read
        and bool(((coverage >= 0) & (coverage < np.inf) & (present >= 0) & (present <= images)).all())
    )


def table(statistics: ClassStatistics, rates: tuple[float, ...], palette: Palette) -> str:
    """A line for each class, the one of most pixels first."""
    lines = [f"{'class':>24} {'of pixels':>10} {'of images':>10} {'rate':>10}"]
    for i in np.argsort(-statistics.coverage, kind="stable"):
        pixels, images = statistics.coverage[i] / statistics.images, statistics.present[i] / statistics.images
        lines.append(f"{palette.names[i]:>24} {pixels:>10.4%} {images:>10.2%} {rates[i]:>10.4g}")
    return "\n".join(lines)


def write(config: Path, model: Path | None, rates: tuple[float, ...], palette: Palette, images: int) -> None:
    """Both files get the rates, or none: the model is written in whole before the configuration is replaced."""
    if model is None:
        return write_config(config, rates)
    with written_whole(model) as beside:
        write_model(model, beside, rates, palette, images)
        write_config(config, rates)


def write_config(path: Path, rates: tuple[float, ...]) -> None:
    """ValueError, and the file stays as it is, where its YAML is out of the ordinary."""
    old = path.read_text(encoding="utf-8")
    new = with_rates(old, rates)
    wanted = parsed(old, "YAML")
    wanted["label_diffusion"] = {**wanted.get("label_diffusion", {}), "rates": parsed(_list(rates, 0), "YAML")}
    try:
        as_wanted = parsed(new, "YAML") == wanted
    except ValueError:
        as_wanted = False
    if not as_wanted:
        raise ValueError(f"{path} cannot be changed: set label_diffusion.rates by hand, to {_list(rates, 4)}")
    write_text(path, new)


def with_rates(text: str, rates: tuple[float, ...]) -> str:
    """A configuration in YAML with other class rates; nothing else changes, comments neither."""
    _, section = _entry(yaml.compose(text), "label_diffusion")
    if section is None:
        return f"{text.rstrip()}\nlabel_diffusion:\n  rates: {_list(rates, 4)}\n"
    _, kind = _entry(section, "kind")
    if kind is not None:
        require_kind(kind.value)
    key, old = _entry(section, "rates")
    if key is not None:
        return f"{text[: key.end_mark.index]}: {_list(rates, key.start_mark.column + 2)}{text[_end(old) :]}"
    first = section.value[0][0].start_mark if section.value else None
    place = first.index if first else section.start_mark.index + 1  # behind the brace of {}
    column = first.column if first else 0
    between = "\n" + " " * column if not section.flow_style else ", " if first else ""
    return f"{text[:place]}rates: {_list(rates, column + 2)}{between}{text[place:]}"


def _entry(mapping: Any, name: str) -> tuple[Any, Any]:
    """The nodes of a key and its value."""
    return next(((key, value) for key, value in mapping.value if key.value == name), (None, None))


def _end(node: Any) -> int:
    """Where a value ends: a block of lines with its last item, not where the next key begins."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        node = node.value[-1]
    return node.end_mark.index


def _list(rates: tuple[float, ...], column: int) -> str:
    """The rates as a list in brackets, on lines indented by `column`."""
    lines = [""]
    for rate in rates:
        number = f"{rate:.6g}"
        if len(lines[-1]) + len(number) > LINE - column:
            lines.append("")
        lines[-1] += f"{number}, "
    return "[" + ("\n" + " " * column).join(line.rstrip() for line in lines).rstrip(",") + "]"


def write_model(path: Path, to: Path, rates: tuple[float, ...], palette: Palette, images: int) -> None:
    """The model at `path` with other class rates; its weights stay as they are."""
    header = read_header(path)
    provenance = {**header.provenance, "class_rates": f"measured on {images} layouts of {palette.name}"}
    header = replace(header, config=replace(header.config, class_rates=rates), provenance=provenance)
    write_tensors(to, load_file(path), {HEADER: header.to_json()})


if __name__ == "__main__":
    sys.exit(perform(main))
