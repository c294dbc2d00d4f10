"""Widgets from settings that were declared: kind, bounds, default and tooltip."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..scdm.devices import AUTO
from ..scdm.files.options import Declared

FINE = 0.01  # step of a number that declares none


def widget(setting: Declared, tooltip: str = "", **changed: Any) -> io.Input:
    """A setting's widget. Where None is a value and the default, 0 or "auto" stands for it (`value_of`); a number below the
    least stands for the word that is the default of a setting that takes numbers.

    tooltip: instead of the setting's help; changed: other arguments of the input, its `id` among them.
    """
    name = changed.pop("id", setting.name)
    if _is_slider(setting):
        kind, arguments = io.Float.Input, {**_bounds(setting), "display_mode": io.NumberDisplay.slider}
    elif setting.choices:
        kind, arguments = io.Combo.Input, _choices(setting)
    elif bool in setting.alternatives:
        kind, arguments = io.Boolean.Input, {"default": setting.default}
    else:
        kind = io.Int.Input if int in setting.alternatives else io.Float.Input
        arguments = _bounds(setting)
    return kind(name, **{**arguments, "tooltip": tooltip or _tooltip(setting), **changed})


def has_widget(setting: Declared) -> bool:
    """Whether a widget can show it, unlike a tuple or a free text."""
    return bool(setting.choices or {bool, int, float} & {*setting.alternatives})


def value_of(setting: Declared, shown: Any) -> Any:
    """What a widget's value stands for."""
    if _is_slider(setting):
        return setting.default if isinstance(shown, int | float) and shown < setting.option.ge else shown
    return None if setting.optional and shown in (0, AUTO) else shown


def _is_slider(setting: Declared) -> bool:
    """Whether it takes numbers, and a word by default."""
    return float in setting.alternatives and isinstance(setting.default, str)


def _choices(setting: Declared) -> dict[str, Any]:
    options = [AUTO, *setting.choices] if setting.optional else list(setting.choices)
    return {"options": options, "default": AUTO if setting.default is None else setting.default}


def _bounds(setting: Declared) -> dict[str, Any]:
    """A slider cannot stop short of a bound: where a value has to be above or below it, it begins or ends a step away."""
    option = setting.option
    whole = int in setting.alternatives
    step = option.step or (1 if whole else FINE)
    low = 0 if setting.optional else option.ge if option.ge is not None else (option.gt or 0) + step
    if _is_slider(setting):
        low = round(low - step, 6)
    high = option.le if option.lt is None else option.lt - step
    default = 0 if setting.default is None else low if _is_slider(setting) else setting.default
    bounds = {"default": default, "min": low, "max": high, "step": option.step if whole else step}
    return {name: value for name, value in bounds.items() if value is not None}


def _tooltip(setting: Declared) -> str:
    words = f"{setting.words[0].upper()}{setting.words[1:]}." if not setting.owners else f"{setting.words}."
    if _is_slider(setting):
        return f"{words} Below {setting.option.ge:g}: {setting.default}."
    return f"{words} {AUTO if setting.choices else 0}: {setting.unset}." if setting.optional else words
