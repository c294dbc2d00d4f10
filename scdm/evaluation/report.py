"""What an evaluation found, for programs (JSON), beside the published numbers (Markdown), and to look at (a sheet)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from .. import assets
from ..files.contact_sheet import UNPAINTED_GREY, contact_sheet
from ..files.images import to_levels
from ..layouts.labels import LabelMap
from ..layouts.palette import Palette
from ..metrics import SegmentationScore

LEAST_SIDE = 128  # pixels of a picture on a sheet
REAL = "_of_real_images"


class Column(NamedTuple):
    """How a metric is shown: under which heading, in which format, and how many times its size."""

    heading: str
    form: str
    factor: float = 1


COLUMNS = {
    "fid": Column("FID ↓", ".2f"),
    "kid": Column("KID x 1000 ↓", ".2f", 1000),
    "fid_clean": Column("FID, clean ↓", ".2f"),
    "kid_clean": Column("KID x 1000, clean ↓", ".2f", 1000),
    "lpips": Column("LPIPS ↑", ".3f"),
    "miou": Column("mIoU % ↑", ".1f", 100),
    "pixel_accuracy": Column("pixel accuracy % ↑", ".1f", 100),
}

Result = dict[str, Any]


def result(
    model: str,
    settings: Mapping[str, Any],
    palette: Palette,
    conditions: Mapping[str, str],
    metrics: Mapping[str, float],
    score: SegmentationScore | None,
) -> Result:
    """What is written as JSON.

    settings: all that decided about the images. conditions: what was measured, in words. score: has the IoU of classes.
    """
    iou = [] if score is None else score.compute().iou.tolist()
    return {
        "model": model,
        "data": palette.name,
        "layouts": settings["layouts"]["kind"],
        "settings": settings,
        "conditions": conditions,
        "metrics": metrics,
        "iou": {name: None if math.isnan(share) else share for name, share in zip(palette.names, iou, strict=False)},
    }


def markdown(found: Result) -> str:
    """One evaluation, beside what is published about the data set."""
    rows = [*published(found["data"], found["layouts"]), ("this model", found["layouts"], found["metrics"])]
    real = {name.removesuffix(REAL): value for name, value in found["metrics"].items() if name.endswith(REAL)}
    if real:
        rows.append(("real images", "", real))
    lines = [*(f"- {name}: {value}" for name, value in found["conditions"].items()), "", *table(rows)]
    if len(rows) > 1 + bool(real):
        lines += ["", f"*Published: {_published()['note']}*"]
    if found["iou"]:
        shares = ((name, share) for name, share in found["iou"].items() if share is not None)
        lines += [
            "",
            "| class | IoU % |",
            "| --- | --- |",
            *(f"| {name} | {100 * share:.1f} |" for name, share in shares),
        ]
    return "\n".join(lines) + "\n"


def table(rows: Iterable[tuple[str, str, Mapping[str, float]]]) -> list[str]:
    """Lines of a Markdown table: (method, kind of layouts, metrics), with a column for each metric that occurs."""
    rows = list(rows)
    shown = columns(metrics for _, _, metrics in rows)
    lines = [["method", "layouts", *(column.heading for column in shown.values())], ["---"] * (2 + len(shown))]
    for method, layouts, metrics in rows:
        lines.append([method, layouts, *(_cell(metrics.get(name), column) for name, column in shown.items())])
    return [f"| {' | '.join(line)} |" for line in lines]


def columns(results: Iterable[Mapping[str, float]]) -> dict[str, Column]:
    """Of the metrics that occur: those of `COLUMNS` first, then distances in other features."""
    names = {name for metrics in results for name in metrics}
    others = sorted(name for name in names if name.startswith(("frechet_", "kernel_")) and not name.endswith("_spread"))
    return {
        **{name: column for name, column in COLUMNS.items() if name in names},
        **{name: Column(f"{name.replace('_', ' ')} ↓", ".4g") for name in others},
    }


def published(data: str, layouts: str | None = None) -> list[tuple[str, str, dict[str, float]]]:
    """Rows of a table: what the papers say about a data set, of one kind of layouts or of all."""
    return [
        (
            f"{row['method']}, published",
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


def _cell(value: float | None, column: Column) -> str:
    return "" if value is None else format(column.factor * value, column.form)


def _published() -> Any:
    return json.loads((assets.folder() / "published.json").read_text(encoding="utf-8"))
