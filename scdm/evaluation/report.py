"""What an evaluation found, for programs (JSON), beside the published numbers (Markdown), and to look at (a sheet)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from .. import assets
from ..files.config import flat
from ..files.contact_sheet import UNPAINTED_GREY, contact_sheet
from ..files.images import to_levels
from ..files.untrusted import LONGEST, brief
from ..layouts.labels import LabelMap
from ..layouts.palette import Palette
from ..metrics import SegmentationScore
from .intervals import Interval
from .tables import NEEDED_BY_LATEX, Row, latex_table, markdown_table
from .words import strength

LEAST_SIDE = 128  # pixels of a picture on a sheet
REAL = "_of_real_images"
PUBLISHED = ", published"
THIS_MODEL, REAL_IMAGES = "this model", "real images"  # what rows are called that have no --name
OVER_LAYOUTS = "In brackets: 95 % intervals over the layouts (bootstrap, 1000 resamples)."


Result = dict[str, Any]


def result(
    model: str,
    settings: Mapping[str, Any],
    palette: Palette,
    conditions: Mapping[str, str],
    metrics: Mapping[str, float],
    score: SegmentationScore | None,
    intervals: Mapping[str, Interval] | None = None,
    name: str | None = None,
    count: int | None = None,
    real_images: str | None = None,
) -> Result:
    """What is written as JSON.

    settings: all that decided about the images. conditions: what was measured, in words. score: has the IoU of classes.
    intervals: of metrics, over layouts. name: of the method in tables. count: of the layouts. real_images: what tells
    these from all others, by their pixels.
    """
    iou = [] if score is None else score.compute().iou.tolist()
    return {
        "model": model,
        **({} if name is None else {"name": name}),
        "data": palette.name,
        "layouts": settings["layouts"]["kind"],
        **({} if count is None else {"count": count}),
        **({} if real_images is None else {"real_images": real_images}),
        "settings": settings,
        "conditions": conditions,
        "metrics": metrics,
        **({"intervals": {metric: list(ends) for metric, ends in intervals.items()}} if intervals else {}),
        "iou": {name: None if math.isnan(share) else share for name, share in zip(palette.names, iou, strict=False)},
    }


def markdown(found: Result) -> str:
    """One evaluation, beside what is published about the data set."""
    rows = rows_of(found)
    lines = [*(f"- {name}: {value}" for name, value in found["conditions"].items()), "", *markdown_table(rows)]
    for note in _notes(rows):
        lines += ["", f"*{note}*"]
    if found["iou"]:
        shares = ((name, share) for name, share in found["iou"].items() if share is not None)
        lines += [
            "",
            "| class | IoU % |",
            "| --- | --- |",
            *(f"| {name} | {100 * share:.1f} |" for name, share in shares),
        ]
    return "\n".join(lines) + "\n"


def latex(found: Result) -> str:
    """The same table for a paper, with what it needs and means as comments."""
    rows = rows_of(found)
    conditions = (brief(f"{name}: {value}", LONGEST) for name, value in found["conditions"].items())
    comments = [f"% {note}" for note in (*conditions, *_notes(rows))]
    return "\n".join([NEEDED_BY_LATEX, *latex_table(rows), *comments]) + "\n"


def _notes(rows: Sequence[Row]) -> list[str]:
    notes = [OVER_LAYOUTS] if any(row.intervals for row in rows) else []
    if any(PUBLISHED in row.method for row in rows):
        notes.append(f"Published: {_published()['note']}")
    return notes


def rows_of(found: Result) -> list[Row]:
    """What is published of these layouts, the method, and what the evaluator makes of the real images."""
    name, layouts = found.get("name") or THIS_MODEL, found["layouts"]
    given = ", ".join([layouts, *strength(flat(found["settings"])).values()])
    own = Row(name, given, found["metrics"], intervals_of(found), settings_of(found))
    rows = [*published(found["data"], layouts), own]
    real = {name.removesuffix(REAL): value for name, value in found["metrics"].items() if name.endswith(REAL)}
    return [*rows, Row(REAL_IMAGES, "", real)] if real else rows


def settings_of(found: Result) -> dict[str, Any]:
    """For programs: each by its whole name."""
    count = {"images": found["count"]} if "count" in found else {}
    return {"data": found["data"], "file": found["model"], **count, **flat(found["settings"])}


def intervals_of(found: Result) -> dict[str, Interval]:
    """By metric; none in files of earlier versions."""
    return {name: (low, high) for name, (low, high) in found.get("intervals", {}).items()}


def published(data: str, layouts: str | None = None) -> list[Row]:
    """What the papers say about a data set, of one kind of layouts or of all."""
    return [
        Row(
            f"{row['method']}{PUBLISHED}",
            row["layouts"],
            {name: row[name] / (100 if name == "miou" else 1) for name in ("fid", "lpips", "miou") if name in row},
        )
        for row in _published()["results"]
        if row["data"] == data and layouts in (None, row["layouts"])
    ]


def sheet(palette: Palette, clean: LabelMap, given: LabelMap, samples: Sequence[Tensor], real: Tensor) -> np.ndarray:
    """uint8 (H, W, 3): a row for each layout: as it is, as the model saw it, its samples, the real image."""
    columns = [palette.to_image(clean, UNPAINTED_GREY)]
    if not bool((clean.ids == given.ids).all()):
        columns.append(palette.to_image(given, UNPAINTED_GREY))
    columns += [to_levels(images) for images in (*samples, real)]
    return contact_sheet(list(zip(*columns, strict=True)), LEAST_SIDE)


def _published() -> Any:
    return json.loads((assets.folder() / "published.json").read_text(encoding="utf-8"))
