"""Several evaluations in one table, each row in words that tell it from all others."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..files.atomic import made_folder, write_text
from ..files.config import flat
from ..files.parsing import parsed
from ..files.untrusted import LONGEST, brief, content_of
from ..pipeline import GenerateOptions
from .intervals import of_runs
from .layouts import CLEAN, REMOVE_NOTHING, REMOVED
from .report import OVER_LAYOUTS, PUBLISHED, Result, intervals_of, published, settings_of
from .tables import NEEDED_BY_LATEX, Row, csv_table, latex_table, markdown_table
from .words import MOST_VALUE, in_words, strength

AXES = {  # of plots: name -> the setting that it shows
    "guidance": "options.guidance",
    "steps": "options.steps",
    "layouts": "layouts.kind",
    "label_noise": "options.label_noise",
}
IMAGES = ("data.images", "data.seed")  # which they are: by the names of all, or by what made them
ALWAYS = ("options.guidance", "options.steps")  # in labels
# below the table, where all rows have them in common
NOTED = ("options.sampler", "options.label_noise", "options.seed")
REMOVED_ANYWHERE = {**REMOVED, "class": f"{REMOVED['class']}, or MASK where the data set has none"}  # in footnotes
RESOLVED = {"options.clip": True}  # what models make of options that are open, where it is nothing to note
REPEATED = ("model", "options.seed", "layouts.seed")  # in which runs of one method differ

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


def comparison(results: Sequence[Result]) -> str:
    """A Markdown table of all results for each data set, published ones first."""
    lines: list[str] = []
    for data, rows in tables(results).items():
        lines += [f"## {data}", "", *markdown_table(rows), ""]
        notes = footnotes([found for found in results if found["data"] == data])
        lines += [f"*{note}*\n" for note in notes]
    return "\n".join(lines)


def latex(results: Sequence[Result]) -> str:
    """The same tables for a paper, each headed by a comment."""
    lines = [NEEDED_BY_LATEX]
    for data, rows in tables(results).items():
        notes = footnotes([found for found in results if found["data"] == data])
        lines += ["", f"% {brief(data)}", *latex_table(rows), *(f"% {note}" for note in notes)]
    return "\n".join(lines) + "\n"


def as_csv(results: Sequence[Result]) -> str:
    """All rows of all data sets."""
    return csv_table([row for rows in tables(results).values() for row in rows])


def write_tables(results: Sequence[Result], folder: Path) -> list[Path]:
    """FOLDER/comparison.md, .tex and .csv; returns these files."""
    texts = {"md": comparison(results), "tex": latex(results), "csv": as_csv(results)}
    paths = [made_folder(folder) / f"comparison.{suffix}" for suffix in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(path, text)
    return paths


def tables(results: Sequence[Result]) -> dict[str, list[Row]]:
    """The rows of each data set, published ones first."""
    found = {}
    for data in dict.fromkeys(result["data"] for result in results):
        own = [result for result in results if result["data"] == data]
        theirs = [replace(row, settings={"data": data}) for row in published(data)]
        rows = [
            Row(label_, _layouts(result, own), result["metrics"], intervals_of(result), settings_of(result))
            for result, label_ in zip(own, labels(own), strict=True)
        ]
        found[data] = [*theirs, *rows]
    return found


def labels(results: Sequence[Result]) -> list[str]:
    """The method of each of a data set's results, and how it was sampled, in words that tell it from the others."""
    varying = _varying(results, "options.")
    found = [label(result, more=varying) for result in results]
    named = Counter((words, _layouts(result, results)) for words, result in zip(found, results, strict=True))
    again = [
        label(result, more=varying, whole=True) if named[words, _layouts(result, results)] > 1 else words
        for words, result in zip(found, results, strict=True)
    ]
    return [
        f"{words}, file {brief(str(result['settings']['model'])[:8])}"
        if _doubled(words, result, again, results) and result["settings"].get("model")
        else words
        for words, result in zip(again, results, strict=True)
    ]


def label(found: Result, without: str = "", more: Sequence[str] = (), whole: bool = False) -> str:
    """The method's name, or the model's, runs/camvid/model.safetensors being called camvid, and how it was sampled, but for
    one setting. more: further settings that it says. whole: the model's path, too."""
    settings = flat(found["settings"])
    words = [
        in_words(setting, settings[setting])
        for setting in (*ALWAYS, *more)
        if setting in settings and setting != without and settings[setting] is not None
    ]
    where = [brief(found["model"], LONGEST_NAME)] if whole else []
    return ", ".join([name_of(found), *where, *words])


def name_of(found: Result) -> str:
    path = Path(found["model"])
    model = path.parent.name if path.stem == "model" and path.parent.name else path.stem
    return brief(found.get("name") or model, LONGEST_NAME)


def footnotes(results: Sequence[Result]) -> list[str]:
    """What all of a data set's results have in common, what brackets mean, and what is published."""
    settings = [flat(found["settings"]) for found in results]
    removed: dict[str, dict[str, None]] = defaultdict(dict)  # what it becomes: in which kinds of layouts
    for own in settings:
        if own["layouts.kind"] not in REMOVE_NOTHING and "layouts.removed" in own:
            removed[str(own["layouts.removed"])][brief(own["layouts.kind"])] = None
    theirs = ["published rows"] if results and published(results[0]["data"]) else []
    given = [] if all(_has(own, "options.") for own in settings) else ["those of other programs"]
    notes = [
        f"{_all_but(others)}: {', '.join(words)}."
        for words, others in ((_sampled_alike(results), theirs + given), (_measured_alike(results), theirs))
        if words
    ]
    if removed:
        becomes = [
            REMOVED_ANYWHERE.get(value, brief(value, MOST_VALUE)) + (f" ({', '.join(where)})" * (len(removed) > 1))
            for value, where in removed.items()
        ]
        notes.append(f"What is removed from layouts is {'; '.join(becomes)}.")
    kinds = {found["layouts"]: found for found in results}
    if any(_of_other_images(_alike(found, results)) for found in kinds.values()):
        notes.append("Not all rows of the same layouts are of the same images, so they may not be comparable.")
    networks = dict.fromkeys(str(_networks(found)) for found in results)
    if len(networks) > 1:
        listed = "; ".join(brief(network, LONGEST_NAME) for network in networks)
        notes.append(f"Not all rows were measured by the same networks, so they may not be comparable: {listed}.")
    if any("runs" not in found and found.get("intervals") for found in results):
        notes.append(OVER_LAYOUTS)
    if any("runs" in found for found in results):
        notes.append("Means of several runs, in brackets their 95 % intervals over the runs (Student's t).")
    if results and published(results[0]["data"]):
        notes.append(f'Rows called "{PUBLISHED.strip(", ")}" are the papers\' numbers, by other segmenters.')
    return notes


def _of_other_images(results: Sequence[Result]) -> bool:
    """By their names, or what made them; and by their pixels, where as many were measured and it is known."""
    pixels: dict[Any, set[str]] = defaultdict(set)
    for found in results:
        if "real_images" in found:
            pixels[found.get("count"), str(flat(found["settings"]).get("data.size"))].add(str(found["real_images"]))
    return any(_varying(results, name) for name in IMAGES) or any(len(known) > 1 for known in pixels.values())


def _all_but(others: Sequence[str]) -> str:
    return f"All but {' and '.join(others)}" if others else "All rows"


def _sampled_alike(results: Sequence[Result]) -> list[str]:
    """How the images of all were made, but for what every row says: `NOTED`, and what is not by default."""
    made = [own for own in (flat(found["settings"]) for found in results) if _has(own, "options.")]
    usual = {**flat({"options": GenerateOptions().record()}), **RESOLVED}
    said = (*NOTED, *ALWAYS, "options.precision")
    names = [*NOTED, *(name for name in (made[0] if made else ()) if name.startswith("options.") and name not in said)]
    shared = {name: made[0][name] for name in names if made and _is_shared(name, made) and not _merged(name, results)}
    return [in_words(name, value) for name, value in shared.items() if name in NOTED or value != usual.get(name)]


def _measured_alike(results: Sequence[Result]) -> list[str]:
    """Which images of all were measured, by what."""
    settings = [flat(found["settings"]) for found in results]
    counts, networks = {found.get("count") for found in results}, set(map(_networks, results))
    words = []
    if len(counts) == 1 and (count := counts.pop()) is not None:
        words.append(f"{count} image{'' if count == 1 else 's'}")
    if settings and _is_shared("data.size", settings):
        size = in_words("data.size", settings[0]["data.size"])
        words = [brief(f"{words[0] if words else 'images'} of {size} pixels", MOST_VALUE)]
    drawn = [own for own in settings if own["layouts.kind"] not in REMOVE_NOTHING]
    if drawn and _is_shared("layouts.seed", drawn) and not _merged("layouts.seed", results):
        words.append(in_words("layouts.seed", drawn[0]["layouts.seed"]))
    if len(networks) == 1 and (network := networks.pop()):
        words.append(f"measured by {brief(str(network))}")
    return words


def _networks(found: Result) -> Any:
    return found["conditions"].get("measured by")


def _is_shared(name: str, settings: Sequence[Mapping[str, Any]]) -> bool:
    return all(name in own for own in settings) and len({str(own[name]) for own in settings}) == 1


def _merged(name: str, results: Sequence[Result]) -> bool:
    """Whether it is a setting of which a row stands for several values."""
    return name in REPEATED and any("runs" in found for found in results)


def repeated(results: Sequence[Result]) -> list[Result]:
    """Results of one `name` that differ in nothing but weights and seeds, as one: the mean of each metric over the runs.

    ValueError if a result has no name, or two are of the same weights and seeds, and no repetition.
    """
    groups: dict[str, list[Result]] = defaultdict(list)
    for found in results:
        if "name" not in found:
            raise ValueError(f"{brief(found['model'])} has no name: evaluate the runs of a method with --name NAME")
        settings = {key: value for key, value in flat(found["settings"]).items() if key not in REPEATED}
        settings["count"] = found.get("count")
        groups[str([found["name"], found["data"], sorted(settings.items(), key=str)])].append(found)
    for group in groups.values():
        _require_other_runs(group)
    return [_mean(group) if len(group) > 1 else group[0] for group in groups.values()]


def _require_other_runs(group: Sequence[Result]) -> None:
    runs: dict[str, Result] = {}
    for found in group:
        settings = flat(found["settings"])
        of_others = (
            None if _has(settings, "options.") else found["model"]
        )  # whose weights are not known, but the images
        other = runs.setdefault(str([of_others, *(settings.get(key) for key in REPEATED)]), found)
        if other is not found:
            raise ValueError(
                f"two results of {brief(found['name'])} ({brief(other['model'])} and {brief(found['model'])}) have the same "
                "weights and seeds: a repetition has others, so give one of them"
            )


def _mean(group: Sequence[Result]) -> Result:
    names = set.intersection(*(set(found["metrics"]) for found in group))
    values = {name: [found["metrics"][name] for found in group] for name in group[0]["metrics"] if name in names}
    return {
        **group[0],
        "name": f"{group[0]['name']}, {len(group)} runs",
        "runs": len(group),
        "metrics": {name: math.fsum(of_runs_) / len(group) for name, of_runs_ in values.items()},
        "intervals": {name: list(of_runs(of_runs_)) for name, of_runs_ in values.items()},
    }


def _layouts(found: Result, results: Sequence[Result]) -> str:
    """The kind of the layouts, how strong it is where that was asked for, and in what their other settings, number, size
    and images differ from others'.

    Settings, number and images tell results of one kind of layouts apart: there may be fewer painted layouts than others.
    """
    alike, settings = _alike(found, results), flat(found["settings"])
    strong = strength(settings)
    names = [
        *(name for name in _varying(alike, "layouts.") if found["layouts"] != CLEAN and name not in strong),
        *(name for name in ("data.size", "data.fit") if _varying(results, name)),
        *(name for name in IMAGES if _varying(alike, name)),
    ]
    words = [in_words(name, settings[name]) for name in names if name in settings]
    number = (
        [f"{found['count']} images"] if "count" in found and len({other.get("count") for other in results}) > 1 else []
    )
    return ", ".join([found["layouts"], *strong.values(), *words, *number])


def _alike(found: Result, results: Sequence[Result]) -> list[Result]:
    """Those of the same kind of layouts."""
    return [other for other in results if other["layouts"] == found["layouts"]]


def _varying(results: Sequence[Result], section: str) -> list[str]:
    """The settings of a section in which these results differ. What is absent differs from what is there."""
    settings = [flat(found["settings"]) for found in results]
    named = dict.fromkeys(name for own in settings for name in own if name.startswith(section) and name not in ALWAYS)
    return [name for name in named if len({str(own.get(name)) for own in settings if _has(own, section)}) > 1]


def _has(settings: Mapping[str, Any], section: str) -> bool:
    return any(name.startswith(section) for name in settings)


def _doubled(words: str, result: Result, labels_: Sequence[str], results: Sequence[Result]) -> bool:
    own = words, _layouts(result, results)
    return sum((other, _layouts(of, results)) == own for other, of in zip(labels_, results, strict=True)) > 1


def value_of(found: Result, setting: str) -> Any:
    """None where the images were made by another program, whose settings are not known."""
    section, key = setting.split(".")
    return found["settings"][section][key] if section in found["settings"] else None


def _require_result(found: Any) -> None:
    """An error if what is compared is of another kind than `report.result` writes."""
    names = [found["model"], found["data"], found["layouts"], found.get("name", "")]
    settings = [value_of(found, setting) for setting in AXES.values() if setting.split(".")[0] in found["settings"]]
    ends = [end for low, high in found.get("intervals", {}).values() for end in (low, high)]
    numbers = [value for value in settings if not isinstance(value, str)] + [*found["metrics"].values(), *ends]
    numbers.append(found.get("count", 0))
    found["conditions"].get("measured by")
    words = [*names, *found["metrics"], *(value for value in settings if isinstance(value, str))]
    if found["settings"]["layouts"] is None or ("options" not in found["settings"] and "name" not in found):
        raise ValueError("it does not say how its images were made")
    if not all(isinstance(word, str) and len(word) <= LONGEST for word in words):
        raise ValueError(f"its names are no texts of up to {LONGEST} characters")
    if any(type(number) not in (int, float) or abs(number) > MOST for number in numbers):
        raise ValueError("a value is not a number, or beyond what is ever measured")
