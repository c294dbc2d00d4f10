"""Settings as people say them, for labels and footnotes of tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..files.untrusted import brief

WORDS = {
    "options.guidance": "guidance {:g}",
    "options.sampler": "{}",
    "options.label_noise": "label noise {}",
    "options.seed": "seed {}",
    "layouts.removed": "removed pixels {}",
    "layouts.seed": "corruption seed {}",
    "layouts.resized": "at {0}x{0}",
    "data.images": "images {!s:.8}",
    "data.seed": "data seed {}",
}
MOST_VALUE = 40  # characters of a setting


def in_words(setting: str, value: Any) -> str:
    """A setting, called "options.steps" for example, as people say it: "25 steps"."""
    if setting == "options.steps":
        count = str(value)  # or a name, such as "ddim25"
        words = f"{count} step{'' if count == '1' else 's'}" if count.isdecimal() else f"steps {count}"
    elif setting == "data.size":
        words = "x".join(map(str, reversed(value))) if isinstance(value, list | tuple) else str(value)
    elif setting in WORDS:
        words = WORDS[setting].format(value)
    else:
        shown = {True: "on", False: "off", None: "unset"}[value] if value is None or isinstance(value, bool) else value
        words = f"{setting.split('.')[-1].replace('_', ' ')} {shown}"
    return brief(words, MOST_VALUE)


def strength(settings: Mapping[str, Any]) -> dict[str, str]:
    """By setting, how strong a corruption is where that was asked for: without it, it is as strong as published.

    settings: of a result, flat.
    """
    asked = [name for name in settings if name == "layouts.resized" or name.startswith("layouts.strength.")]
    return {name: in_words(name, settings[name]) for name in asked}
