"""Strict configuration: YAML or JSON data -> nested dataclasses, with every mistake named.

Free of torch, so that a command line can check a file before it loads anything heavy.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from .options import SCALARS, declared, default_of
from .parsing import parsed, read_table
from .untrusted import brief, meant, naming, shown

T = TypeVar("T")
MOST_NAMED = 5  # settings in a message

_KINDS: dict[type, Callable[[], Mapping[str, type]]] = {}


def declare_kinds(base: type, kinds: Callable[[], Mapping[str, type]]) -> None:
    """A setting of the type `base` is one of these dataclasses, by an entry `kind`. The first needs none. kinds: asked each
    time, as a registry may grow."""
    _KINDS[base] = kinds


def load(cls: type[T], path: str | Path, overrides: Sequence[str] = ()) -> T:
    """The dataclass `cls` from a YAML file, changed by `overrides` such as "network.channels=64".

    ValueError names the file and the setting that is wrong; an unknown key gets the nearest known name.
    """
    data = read_table(path)
    if not isinstance(data, dict):
        raise ValueError(f"{path} must hold settings (key: value), not {type(data).__name__}")
    for override in overrides:
        _override(data, override)
    with naming(path):
        try:
            return from_dict(cls, data)
        except UnknownSetting as error:
            raise ValueError(error.within(cls)) from error


class UnknownSetting(ValueError):
    """A key that names no setting. key: with its sections. hint: of what may be meant in its section."""

    def __init__(self, key: str, hint: str) -> None:
        super().__init__(f"unknown setting {brief(key)}: {hint}")
        self.key = key

    def within(self, cls: type) -> str:
        """The sentence for a configuration `cls`, other sections of which may have a setting of this very name, or one that
        other programs call so."""
        word = self.key.split(".")[-1].lower()
        known = [path for path, names in named(cls).items() if word in names and path != self.key]  # of another kind
        if not known:
            return str(self)
        return f"unknown setting {brief(self.key)}: did you mean {' or '.join(map(repr, known[:MOST_NAMED]))}?"


def paths(cls: type) -> list[str]:
    """All settings of a dataclass with their sections, such as "optimizer.lr"; of one that has kinds, those of any."""
    return list(named(cls))


def named(cls: type, where: str = "") -> dict[str, set[str]]:
    """What each of these settings is called, here without its sections and elsewhere, in lower case."""
    kinds = [*_KINDS[cls]().values()] if cls in _KINDS else [cls]
    found: dict[str, set[str]] = {}
    for kind in kinds:
        fields, options = {field.name for field in dataclasses.fields(kind) if field.init}, declared(kind)
        for name, hint in typing.get_type_hints(kind).items():
            if name in fields:
                inner = dataclasses.is_dataclass(hint) or hint in _KINDS
                found |= named(typing.cast(type, hint), f"{where}{name}.") if inner else {}
                found[where + name] = {name.lower(), *(options[name].option.also if name in options else ())}
    return found


def from_dict(cls: type[T], data: Mapping[str, Any], where: str = "") -> T:
    """`data` as the dataclass `cls`, values coerced by annotation (PyYAML reads 2e-5 as a string)."""
    if cls in _KINDS:
        cls, data = _of_kind(_KINDS[cls](), data, where)
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            section = where if where.endswith(".") else ""  # or words, such as "its header's "
            hint = meant(str(key), fields, section) or f"known are {', '.join(fields)}"
            raise UnknownSetting(where + str(key), hint)
    missing = [
        name
        for name, field in fields.items()
        if name not in data and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"setting {where}{missing[0]} is missing")
    return cls(**{key: _coerced(value, hints[key], where + key) for key, value in data.items()})


def implied(default: Any) -> Any:
    """A field that files name only where it differs from its default."""
    return dataclasses.field(default=default, metadata={"implied": True})


def implied_in(config: Any) -> dict[str, Any]:
    """The defaults that `to_dict` leaves out of a dataclass and its sections, by dotted names."""
    found: dict[str, Any] = {}
    for item in dataclasses.fields(config):
        is_implied = bool(item.metadata.get("implied"))
        value = item.default if is_implied else getattr(config, item.name)
        if is_implied:
            found |= flat({item.name: _plain(value)})
        if dataclasses.is_dataclass(value):
            found |= flat({item.name: implied_in(value)})
    return found


def to_dict(config: Any) -> dict[str, Any]:
    """The inverse of `from_dict`: nothing but dictionaries, lists, numbers, strings and None."""
    values = {field: getattr(config, field.name) for field in dataclasses.fields(config) if field.init}
    written = {field: value for field, value in values.items() if not _is_implied(field, value)}
    return {**_kind_entry(config), **{field.name: _plain(value) for field, value in written.items()}}


def non_defaults(config: Any) -> dict[str, Any]:
    """What differs from the defaults in `to_dict`, so that a new setting with a default changes nothing."""
    items = [
        item for item in dataclasses.fields(config) if item.init and getattr(config, item.name) != default_of(item)
    ]
    values = {item.name: getattr(config, item.name) for item in items}
    plain = {
        name: non_defaults(value) if dataclasses.is_dataclass(value) else _plain(value)
        for name, value in values.items()
    }
    return {**_kind_entry(config), **plain}


def flat(tree: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys: {"a": {"b": 1}} -> {"a.b": 1}."""
    pairs: dict[str, Any] = {}
    for key, value in tree.items():
        pairs |= flat(value, f"{where}{key}.") if isinstance(value, Mapping) else {where + key: value}
    return pairs


def require_same(
    made: str, before: Mapping[str, Any], now: Mapping[str, Any], advice: str, absent: bool = True
) -> None:
    """ValueError names the settings (`flat`) with which what was `made` before would not be made now; see `differences`."""
    if changed := differences(before, now, absent):
        raise ValueError(f"{made} was made with other settings: {changed}. {advice}")


def differences(before: Mapping[str, Any], now: Mapping[str, Any], absent: bool = True) -> str:
    """The first few settings that are not the same, in words; "" if all are. absent: count what only one of them has."""
    either = before.keys() | now.keys() if absent else before.keys() & now.keys()
    changed = sorted(key for key in either if before.get(key) != now.get(key))
    listed = [f"{brief(key)} {shown(before.get(key))} instead of {shown(now.get(key))}" for key in changed[:MOST_NAMED]]
    return ", ".join(listed) + (f", and {len(changed) - MOST_NAMED} more" if len(changed) > MOST_NAMED else "")


def assignment(text: str) -> tuple[str, Any]:
    """A setting as it is typed: "share=0.4" -> ("share", 0.4). The value is YAML."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"a setting looks like key=value, not {shown(text)}")
    with naming(f"the value of {shown(text)}"):
        return key.strip(), parsed(value, "YAML")


def _of_kind(kinds: Mapping[str, type], data: Mapping[str, Any], where: str) -> tuple[Any, dict[str, Any]]:
    """The dataclass that `kind` names, and the settings without it."""
    own = dict(data)
    kind = _coerced(own.pop("kind", next(iter(kinds))), Literal[tuple(kinds)], f"{where}kind")
    return kinds[kind], own


def _kind_entry(config: Any) -> dict[str, str]:
    """The entry `kind`, where a dataclass needs one."""
    if not isinstance(config, tuple(_KINDS)):
        return {}
    kind = kind_of(config)
    return {} if kind == next(iter(_kinds_of(config))) else {"kind": kind}


def kind_of(config: Any) -> str:
    """The name of a dataclass among the kinds of its base: that of its own class, or else of the nearest that it extends.

    ValueError if there is none, or several have that class, which nothing that was made of it could tell apart.
    """
    kinds = _kinds_of(config)
    nearest = next((cls for cls in type(config).__mro__ if cls in kinds.values()), None)
    if nearest is None:
        raise ValueError(f"no kind is registered for settings of the class {type(config).__name__}")
    names = [name for name, cls in kinds.items() if cls is nearest]
    if len(names) > 1:
        listed = " and ".join(repr(name) for name in names)
        raise ValueError(f"{listed} have settings of the same class: give each a dataclass of its own")
    return names[0]


def _kinds_of(config: Any) -> Mapping[str, type]:
    return next(kinds() for base, kinds in _KINDS.items() if isinstance(config, base))


def _is_implied(field: dataclasses.Field[Any], value: Any) -> bool:
    return bool(field.metadata.get("implied")) and value == field.default


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_dict(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _override(data: dict[str, Any], override: str) -> None:
    path, value = assignment(override)
    *sections, key = path.split(".")
    for section in sections:
        data = data.setdefault(section, {})
        if not isinstance(data, dict):
            raise ValueError(f"{shown(override)}: {brief(section)} is a value, not a section")
    data[key] = value


def _coerced(value: Any, hint: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _coerced_union(value, arguments, where)
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{where} must be one of {', '.join(map(str, arguments))}, not {shown(value)}")
        return value
    if origin is tuple:
        return _coerced_tuple(value, arguments, where)
    if origin in (dict, Mapping) or hint is dict:
        key_hint, value_hint = arguments or (Any, Any)
        return {
            _coerced(k, key_hint, where): _coerced(v, value_hint, f"{where}.{brief(str(k))}")
            for k, v in _section(value, where).items()
        }
    if dataclasses.is_dataclass(hint) or hint in _KINDS:
        return from_dict(typing.cast(type, hint), _section(value, where), where + ".")
    return _coerced_scalar(value, hint, where)


def _coerced_union(value: Any, arguments: tuple[Any, ...], where: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    errors = []
    for argument in arguments:
        if argument is type(None) or typing.get_origin(argument) is Callable:  # which no file can hold
            continue
        try:
            return _coerced(value, argument, where)
        except ValueError as error:
            errors.append(str(error))
    raise ValueError(", or ".join(errors))


def _coerced_tuple(value: Any, arguments: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise _wrong(value, "a list", where)
    hints = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
    if len(value) != len(hints):
        raise ValueError(f"{where} must hold {len(hints)} values, not {len(value)}")
    return tuple(_coerced(item, hint, f"{where}[{i}]") for i, (item, hint) in enumerate(zip(value, hints, strict=True)))


def _coerced_scalar(value: Any, hint: Any, where: str) -> Any:
    found = _number(value, whole=hint is int) if hint in (int, float) else value if isinstance(value, hint) else None
    if found is None:
        raise _wrong(value, SCALARS.get(hint) or hint.__name__, where)
    return found


def _number(value: Any, whole: bool) -> float | None:
    """None if it is none, such as NaN. Whole numbers stay as they are, beyond the precision of floats."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if math.isnan(number) or (whole and not number.is_integer()):
        return None
    return value if isinstance(value, int) else int(number) if whole else number


def _section(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(value, "a section", where)
    return value


def _wrong(value: Any, wanted: str, where: str) -> ValueError:
    return ValueError(f"{where} must be {wanted}, not {shown(value)}")
