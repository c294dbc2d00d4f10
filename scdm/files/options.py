"""Settings that explain themselves: bounds, choices and help stand beside a setting's type, once.

    eta: Annotated[float, Option("share of fresh noise", ge=0, le=1)] = 0.0

says it of a dataclass's field or of a function's keyword. Checks, flags of the command line, widgets of nodes, their
tooltips and the tables in the docs are all derived from there (`declared`). Free of torch.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import numbers
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Union

from .untrusted import shown

SCALARS = {bool: "true or false", str: "text", int: "a whole number", float: "a number"}  # as messages call them


@dataclass(frozen=True)
class Option:
    """The description of a setting.

    help: what it does, in a clause without a full stop, as it stands in `--help` and tooltips.
    ge, gt, le, lt: bounds of a number, or of each number of a tuple.
    step: of a slider, the distance between two numbers.
    choices: the texts that are allowed, such as a registry, which may grow; a `Literal` has them in its type.
    form: examples of a text that follows a form ("ddim25 or 10,15") and is not blank.
    unit, metavar: of a number ("pixels"); the placeholder in `--help`.
    unset: what None stands for, for a setting whose default is None.
    needs: what the setting has no effect without ("mask").
    advice: what to do instead, at the end of the sentence that refuses a value.
    also: names that other programs have for it, so that who writes one of them is told ours.
    """

    help: str
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    step: float | None = None
    choices: Collection[str] = ()
    form: str = ""
    unit: str = ""
    metavar: str = ""
    unset: str = ""
    needs: str = ""
    advice: str = ""
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Declared:
    """A setting as it was declared: its name, its type without the `Option`, and its default.

    owners: of a setting that only some of several implementations have, their names.
    """

    name: str
    type: Any
    default: Any
    option: Option
    owners: tuple[str, ...] = ()

    @property
    def alternatives(self) -> tuple[Any, ...]:
        """The types of a union, without None."""
        union = typing.get_origin(self.type) in (Union, types.UnionType)
        return tuple(kind for kind in (typing.get_args(self.type) if union else (self.type,)) if kind is not type(None))

    @property
    def optional(self) -> bool:
        """Whether None is a value, too."""
        return type(None) in typing.get_args(self.type)

    @property
    def choices(self) -> tuple[Any, ...]:
        literal = [kind for kind in self.alternatives if typing.get_origin(kind) is Literal]
        return typing.get_args(literal[0]) if literal else tuple(self.option.choices)

    @property
    def unset(self) -> str:
        """What holds where nothing is given, in words."""
        return str(self.default) if self.default is not None else self.option.unset or "None"

    @property
    def words(self) -> str:
        """The help as a sentence begins, after what the setting belongs to: "ddpm and ddim: times that ..."."""
        owner = " and ".join(self.owners) or (f"with {_article(self.option.needs)}" if self.option.needs else "")
        return f"{owner}: {self.option.help}" if owner else self.option.help

    def allows(self, value: Any) -> bool:
        """Whether the value is of the type, within the bounds and among the choices."""
        return (value is None and self.optional) or any(self._is(value, kind) for kind in self.alternatives)

    def describe(self) -> str:
        """What is allowed: "a whole number from 1 to 100", "fresh, coupled or none"."""
        if self.choices:
            kinds = [self._described(kind) for kind in self.alternatives if kind in (int, float)]
            kinds.append(_listed([str(choice) for choice in self.choices]))
        else:
            kinds = [self._described(kind) for kind in self.alternatives if typing.get_origin(kind) is not Callable]
        return ", or ".join(dict.fromkeys(kinds)) + (", or None" if self.optional else "")

    def refusal(self, value: Any, where: str = "") -> str:
        advice = f": {self.option.advice}" if self.option.advice else ""
        return f"{where}{self.name} must be {self.describe()}, not {shown(value)}{advice}"

    def _is(self, value: Any, kind: Any) -> bool:
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin is Literal:
            return any(value == known and type(value) is type(known) for known in arguments)
        if origin in (Union, types.UnionType):  # within a tuple
            return any(self._is(value, one) for one in arguments)
        if origin is tuple:
            return isinstance(value, tuple | list) and self._are(value, arguments)
        if kind in (int, float):
            return _is_number(value, whole=kind is int) and self._within(value)
        if kind is str:
            if not isinstance(value, str) or (self.option.form and not value.strip()):
                return False
            return not self.option.choices or value in self.option.choices
        return callable(value) if origin is Callable else isinstance(value, kind)

    def _are(self, values: Sequence[Any], kinds: tuple[Any, ...]) -> bool:
        if kinds[-1] is Ellipsis:
            return all(self._is(value, kinds[0]) for value in values)
        return len(values) == len(kinds) and all(map(self._is, values, kinds))

    def _within(self, value: float) -> bool:
        option = self.option
        return (
            (option.ge is None or value >= option.ge)
            and (option.gt is None or value > option.gt)
            and (option.le is None or value <= option.le)
            and (option.lt is None or value < option.lt)
        )

    def _described(self, kind: Any) -> str:
        if typing.get_origin(kind) is tuple:
            arguments = typing.get_args(kind)
            count = "several" if arguments[-1] is Ellipsis else str(len(arguments))
            return f"{count} {'numbers' if arguments[0] in (int, float) else 'values'}{self._bounds()}"
        if kind in (int, float):
            unit = f" of {self.option.unit}" if self.option.unit else ""
            return f"{SCALARS[kind]}{unit}{self._bounds()}"
        if kind is str and self.option.form:
            return f"a text like {self.option.form}"
        return SCALARS.get(kind) or str(getattr(kind, "__name__", kind))

    def _bounds(self) -> str:
        low, above, high, below = (self.option.ge, self.option.gt, self.option.le, self.option.lt)
        starts = f" from {low:g}" if low is not None else f" above {above:g}" if above is not None else ""
        ends = f" to {_round(high)}" if high is not None else f" and below {below:g}" if below is not None else ""
        return starts + (ends if starts else ends.replace(" to ", " up to ").replace(" and below", " below"))


@cache
def declared(source: Any) -> dict[str, Declared]:
    """The settings of a dataclass, or of a function's keywords, that have an `Option`, by name and in order."""
    if dataclasses.is_dataclass(source):
        hints = typing.get_type_hints(source, include_extras=True)
        defaults = {field.name: default_of(field) for field in dataclasses.fields(source)}
    else:
        keywords = inspect.signature(source).parameters.values()
        defaults = {keyword.name: keyword.default for keyword in keywords if keyword.default is not keyword.empty}
        # Those alone: the types of the other parameters may be known to type checkers only.
        only = types.SimpleNamespace(__annotations__={name: source.__annotations__.get(name, Any) for name in defaults})
        hints = typing.get_type_hints(only, source.__globals__, include_extras=True)
    return {
        name: Declared(name, typing.get_args(hints[name])[0], default, option)
        for name, default in defaults.items()
        if (option := _option(hints[name])) is not None
    }


def check(values: Mapping[str, Any], settings: Mapping[str, Declared], where: str = "") -> None:
    """ValueError for the first of these settings whose value is not allowed; `where` is put before its name."""
    for name, setting in settings.items():
        if name in values and not setting.allows(values[name]):
            raise ValueError(setting.refusal(values[name], where))


def check_fields(config: object, where: str = "") -> None:
    """`check` of a dataclass's own fields, for its `__post_init__`. NumPy's numbers become Python's."""
    kind: Any = type(config)
    settings = declared(kind)
    check({name: getattr(config, name) for name in settings}, settings, where)
    for name in settings:
        if isinstance(value := getattr(config, name), numbers.Real) and not isinstance(value, bool | int | float):
            object.__setattr__(config, name, int(value) if isinstance(value, numbers.Integral) else float(value))


def default_of(field: dataclasses.Field[Any]) -> Any:
    """A field's default, made anew where it has a factory; MISSING if it has none."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _option(hint: Any) -> Option | None:
    return next((extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Option)), None)


def _is_number(value: Any, whole: bool) -> bool:
    # NumPy's scalars are numbers, too; True is none.
    kind = numbers.Integral if whole else numbers.Real
    real = isinstance(value, kind) and not isinstance(value, bool)
    return real and (isinstance(value, numbers.Integral) or math.isfinite(value))


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _round(number: float) -> str:
    if number in (2**63 - 1, 2**64 - 1):
        return f"2^{int(number).bit_length()} - 1"
    return f"{number:g}" if abs(number) < 1e6 else f"{number:,.0f}"
