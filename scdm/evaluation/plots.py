"""Several evaluations side by side: quality against guidance, steps, and what was done to the layouts."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files.atomic import written_whole
from ..metrics.optional import library
from .comparison import AXES, label, value_of
from .report import Result
from .tables import columns


def plots(results: Sequence[Result], folder: str | Path) -> list[Path]:
    """Writes FOLDER/AXIS.png for every axis on which results differ that have all else in common; returns these files.

    MissingPackage without matplotlib.
    """
    written = []
    for axis, setting in AXES.items():
        lines = [line for line in _lines(results, setting) if len({value_of(found, setting) for found in line}) > 1]
        if lines:
            path = Path(folder) / f"{axis}.png"
            figure = _figure(lines, axis, setting)
            with written_whole(path) as beside:
                figure.savefig(beside, format="png", dpi=120)
            written.append(path)
    return written


def _lines(results: Sequence[Result], setting: str) -> list[list[Result]]:
    """Results that differ in nothing but the setting, in its order; those on which nothing was measured are left out."""
    lines: dict[str, list[Result]] = defaultdict(list)
    for found in results:
        settings = json.loads(json.dumps(found["settings"]))  # a copy
        section, key = setting.split(".")
        if section not in settings:
            continue
        settings[section].pop(key)
        if setting == "layouts.kind":  # whose other settings belong to the kind
            settings[section] = {}
        if columns([found["metrics"]]):
            lines[json.dumps([found["data"], settings], sort_keys=True)].append(found)
    return [sorted(line, key=lambda found: _order(value_of(found, setting))) for line in lines.values()]


def _figure(lines: Sequence[Sequence[Result]], axis: str, setting: str) -> Any:
    """A panel for each metric, a line for each group of results."""
    figures = library("matplotlib.figure", "a plot")
    shown = columns(found["metrics"] for line in lines for found in line)
    figure = figures.Figure(figsize=(4 * len(shown), 3.5), layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    in_words = any(
        isinstance(value_of(found, setting), str) for line in lines for found in line
    )  # "ddim50" among counts
    for panel, (name, column) in zip(panels, shown.items(), strict=True):
        for line in lines:
            points = [found for found in line if name in found["metrics"]]
            values = [str(value) if in_words else value for value in (value_of(found, setting) for found in points)]
            heights = [column.factor * found["metrics"][name] for found in points]
            panel.plot(values, heights, marker="o", label=label(line[0], without=setting).replace("$", r"\$"))
        panel.set(xlabel=axis.replace("_", " "), ylabel=column.heading)
        panel.grid(alpha=0.3)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", fontsize="small")
    return figure


def _order(value: Any) -> tuple[bool, Any]:
    """Numbers first, in their order; clean layouts before corrupted ones, as in the alphabet."""
    return isinstance(value, str), value
