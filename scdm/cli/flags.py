"""Flags of a command from settings that were declared: `--NAME`, with type, placeholder, help and default."""

from __future__ import annotations

import argparse
import typing
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from ..files.options import Declared


def flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def add_flags(group: argparse._ActionsContainer, settings: Iterable[Declared]) -> None:
    """A flag for each setting. What is not given is left out of the namespace, so that the default stays the setting's."""
    for setting in settings:
        group.add_argument(flag_of(setting.name), help=_help(setting), default=argparse.SUPPRESS, **reading(setting))


def add_stored_type(command: argparse.ArgumentParser) -> None:
    """--half and --int8: `stored`, the name of the type that a model's weights are stored in, None for their own."""
    bits = command.add_mutually_exclusive_group()
    for flag, kind, words in (
        ("--half", "float16", "store the weights in 16 bits"),
        ("--int8", "int8", "store them in 8 bits, with a scale for each row"),
    ):
        bits.add_argument(flag, dest="stored", action="store_const", const=kind, help=words)


def _help(setting: Declared) -> str:
    forms = f"{setting.describe()}; " if setting.option.form or setting.choices else ""
    return f"{setting.words} ({forms.replace(', or None', '')}default: {setting.unset})".replace("%", "%%")


def reading(setting: Declared) -> dict[str, Any]:
    """How the words after a flag are read, for `add_argument`. Bounds and choices are the setting's own to check."""
    kinds, metavar = setting.alternatives, setting.option.metavar
    if bool in kinds:
        return {"action": argparse.BooleanOptionalAction}
    if typing.get_origin(kinds[0]) is tuple:
        number, *more = typing.get_args(kinds[0])
        if Ellipsis in more:
            return {"type": number, "nargs": "+", "metavar": metavar or "N"}
        return {"type": number, "nargs": 1 + len(more), "metavar": tuple(metavar.split()) or None}
    named: dict[str, Any] = {"metavar": metavar} if metavar else {}
    return named | {"type": _reader(kinds)}


def _reader(kinds: tuple[Any, ...]) -> Callable[[str], Any]:
    if int in kinds and str in kinds:
        return partial(_number_or_text, int)
    if float in kinds and any(typing.get_origin(kind) is typing.Literal for kind in kinds):
        return partial(_number_or_text, float)
    return next((kind for kind in (int, float) if kind in kinds), str)


def _number_or_text(number: type[int] | type[float], text: str) -> float | str:
    try:
        return number(text)
    except ValueError:
        return text
