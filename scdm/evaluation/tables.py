"""Rows of numbers as Markdown for people, LaTeX for papers and CSV for programs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .intervals import Interval


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
DISTANCES = {"frechet": "Fréchet", "kernel": "kernel"}  # in features of other networks than Inception
LATEX = {"↓": r"$\downarrow$", "↑": r"$\uparrow$", "\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
LATEX |= {character: f"\\{character}" for character in "&%$#_{}"} | {"^": r"\textasciicircum{}"}
NEEDED_BY_LATEX = r"% \usepackage{booktabs}"


@dataclass(frozen=True)
class Row:
    """A line of a table.

    method, layouts: in words that tell it from every other line. metrics: by name, in their own size.
    intervals: of metrics, where there are any. settings: by name, for programs.
    """

    method: str
    layouts: str
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


def columns(results: Iterable[Mapping[str, float]]) -> dict[str, Column]:
    """Of the metrics that occur: those of `COLUMNS` first, then distances in other features."""
    names = {name for metrics in results for name in metrics}
    others = sorted(
        name
        for name in names
        if name.startswith(tuple(f"{kind}_" for kind in DISTANCES)) and not name.endswith("_spread")
    )
    return {
        **{name: column for name, column in COLUMNS.items() if name in names},
        **{name: Column(_distance(name), ".4g") for name in others},
    }


def _distance(name: str) -> str:
    """frechet_segmenter -> "Fréchet distance (segmenter) ↓"."""
    kind, _, features = name.partition("_")
    return f"{DISTANCES[kind]} distance ({features.replace('_', ' ')}) ↓"


def markdown_table(rows: Iterable[Row]) -> list[str]:
    """Lines, with a column for each metric that occurs."""
    heading, *body = _cells(list(rows))
    lines = [heading, ["---"] * len(heading), *body]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines]


def latex_table(rows: Iterable[Row]) -> list[str]:
    """Lines of a tabular for the package booktabs; methods begin on the left, all else is centred."""
    heading, *body = ([_latex(cell) for cell in line] for line in _cells(list(rows)))
    lines = [f"{' & '.join(line)} \\\\" for line in (heading, *body)]
    begin = f"\\begin{{tabular}}{{l{'c' * (len(heading) - 1)}}}"
    return [begin, "\\toprule", lines[0], "\\midrule", *lines[1:], "\\bottomrule", "\\end{tabular}"]


def csv_table(rows: Sequence[Row]) -> str:
    """A line for each row: its settings, then every metric in its own size with the ends of its interval."""
    settings = list(dict.fromkeys(name for row in rows for name in row.settings))
    metrics = list(dict.fromkeys(name for row in rows for name in row.metrics))
    bounded = {name for row in rows for name in row.intervals}
    ends = {name: (f"{name}_low", f"{name}_high") if name in bounded else () for name in metrics}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    headings = [heading for name in metrics for heading in (name, *ends[name])]
    writer.writerow(["method", "layouts", *settings, *headings])
    for row in rows:
        values = [
            value
            for name in metrics
            for value in (row.metrics.get(name, ""), *(row.intervals.get(name, ("", "")) if ends[name] else ()))
        ]
        writer.writerow([row.method, row.layouts, *(row.settings.get(name, "") for name in settings), *values])
    return text.getvalue()


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    """Headings, then a line for each row."""
    shown = columns(row.metrics for row in rows)
    body = [[row.method, row.layouts, *(_cell(row, name, column) for name, column in shown.items())] for row in rows]
    return [["method", "layouts", *(column.heading for column in shown.values())], *body]


def _cell(row: Row, name: str, column: Column) -> str:
    if name not in row.metrics:
        return ""
    value, *ends = (format(column.factor * v, column.form) for v in (row.metrics[name], *row.intervals.get(name, ())))
    return f"{value} [{ends[0]}, {ends[1]}]" if ends else value


def _latex(cell: str) -> str:
    return re.sub(r"[\\&%$#_{}~^↓↑]", lambda found: LATEX[found[0]], cell)
