"""Several evaluations side by side: quality against guidance, steps, and what was done to the layouts."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files.atomic import written_whole
from ..files.parsing import parsed
from ..files.untrusted import LONGEST, brief, content_of
from ..metrics.optional import library
from .report import Result, columns, published, table

AXES = {  # of plots: name -> the setting that it shows
    "guidance": "options.guidance",
    "steps": "options.steps",
    "layouts": "layouts.kind",
    "label_noise": "options.label_noise",
}


LONGEST_NAME = 80  # characters of a model's name in a table and a plot
MOST = 1e15  # of a metric or a setting; beyond, plots overflow


def read_result(path: str | Path) -> Result:
    """A result.json. ValueError if it is none."""
    try:
        Path(path).stat()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    content = content_of(path)
    try:
        found = parsed(content, "JSON")
        _require_result(found)
        comparison([found])  # whether all is there that is shown
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path} is not the result of an evaluation (result.json): {brief(str(error))}") from error
    return dict(found)


def _require_result(found: Any) -> None:
    """An error if what is compared is of another kind than `report.result` writes."""
    names = [found["model"], found["data"], found["layouts"]]
    settings = [_value(found, setting) for setting in AXES.values()]
    numbers = [value for value in settings if not isinstance(value, str)] + [*found["metrics"].values()]
    words = [*names, *found["metrics"], *(value for value in settings if isinstance(value, str))]
    if not all(isinstance(word, str) and len(word) <= LONGEST for word in words):
        raise ValueError(f"its names are no texts of up to {LONGEST} characters")
    if any(type(number) not in (int, float) or abs(number) > MOST for number in numbers):
        raise ValueError("a value is not a number, or beyond what is ever measured")


def comparison(results: Sequence[Result]) -> str:
    """A Markdown table of all results for each data set, published ones first."""
    lines: list[str] = []
    for data in dict.fromkeys(found["data"] for found in results):
        own = [(label(found), found["layouts"], found["metrics"]) for found in results if found["data"] == data]
        lines += [f"## {data}", "", *table([*published(data), *own]), ""]
    return "\n".join(lines)


def plots(results: Sequence[Result], folder: str | Path) -> list[Path]:
    """Writes FOLDER/AXIS.png for every axis on which results differ that have all else in common; returns these files."""
    written = []
    for axis, setting in AXES.items():
        lines = [line for line in _lines(results, setting) if len({_value(found, setting) for found in line}) > 1]
        if lines:
            path = Path(folder) / f"{axis}.png"
            figure = _figure(lines, axis, setting)
            with written_whole(path) as beside:
                figure.savefig(beside, format="png", dpi=120)
            written.append(path)
    return written


def label(found: Result, without: str = "") -> str:
    """The model, runs/camvid/model.safetensors being called camvid, and how it was sampled, but for one setting."""
    path, options = Path(found["model"]), found["settings"]["options"]
    name = path.parent.name if path.stem == "model" and path.parent.name else path.stem
    settings = {"options.guidance": f"guidance {options['guidance']:g}", "options.steps": f"{options['steps']} steps"}
    return ", ".join([brief(name, LONGEST_NAME), *(words for setting, words in settings.items() if setting != without)])


def _lines(results: Sequence[Result], setting: str) -> list[list[Result]]:
    """Results that differ in nothing but the setting, in its order; those on which nothing was measured are left out."""
    lines: dict[str, list[Result]] = defaultdict(list)
    for found in results:
        settings = json.loads(json.dumps(found["settings"]))  # a copy
        section, key = setting.split(".")
        settings[section].pop(key)
        if setting == "layouts.kind":  # whose other settings belong to the kind
            settings[section] = {}
        if columns([found["metrics"]]):
            lines[json.dumps([found["data"], settings], sort_keys=True)].append(found)
    return [sorted(line, key=lambda found: _order(_value(found, setting))) for line in lines.values()]


def _figure(lines: Sequence[Sequence[Result]], axis: str, setting: str) -> Any:
    """A panel for each metric, a line for each group of results."""
    figures = library("matplotlib.figure", "a plot")
    shown = columns(found["metrics"] for line in lines for found in line)
    figure = figures.Figure(figsize=(4 * len(shown), 3.5), layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    in_words = any(isinstance(_value(found, setting), str) for line in lines for found in line)  # "ddim50" among counts
    for panel, (name, column) in zip(panels, shown.items(), strict=True):
        for line in lines:
            points = [found for found in line if name in found["metrics"]]
            values = [str(value) if in_words else value for value in (_value(found, setting) for found in points)]
            heights = [column.factor * found["metrics"][name] for found in points]
            panel.plot(values, heights, marker="o", label=label(line[0], without=setting).replace("$", r"\$"))
        panel.set(xlabel=axis.replace("_", " "), ylabel=column.heading)
        panel.grid(alpha=0.3)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", fontsize="small")
    return figure


def _value(found: Result, setting: str) -> Any:
    section, key = setting.split(".")
    return found["settings"][section][key]


def _order(value: Any) -> tuple[bool, Any]:
    """Numbers first, in their order; clean layouts before corrupted ones, as in the alphabet."""
    return isinstance(value, str), value
