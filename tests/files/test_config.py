"""Configuration: values are read as what they must be, and every mistake is named where it was made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from scdm.files.config import assignment, flat, from_dict, implied, implied_in, load, non_defaults, paths, to_dict


@dataclass(frozen=True)
class Optimizer:
    lr: float = 1e-4
    warmup: int = 0

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError(f"a learning rate is positive, not {self.lr}")


@dataclass(frozen=True)
class Run:
    name: str
    optimizer: Optimizer = field(default_factory=Optimizer)
    size: int | tuple[int, int] = 64
    rates: str | tuple[float, ...] | None = None
    kind: Literal["none", "uniform"] = "none"
    shuffle: bool = True
    weights: Mapping[str, float] = field(default_factory=dict)
    extra: Any = None


def test_absent_settings_have_their_defaults() -> None:
    assert from_dict(Run, {"name": "a"}) == Run("a")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"optimizer": {"lr": "2e-5"}}, Run("a", Optimizer(2e-5))),  # PyYAML reads 2e-5 as text
        ({"optimizer": {"lr": 1, "warmup": 200.0}}, Run("a", Optimizer(1, 200))),
        ({"optimizer": {"warmup": "1e3"}}, Run("a", Optimizer(warmup=1000))),
        ({"optimizer": {}}, Run("a")),
        ({"size": [32, 64]}, Run("a", size=(32, 64))),
        ({"size": 32}, Run("a", size=32)),
        ({"rates": "scenes"}, Run("a", rates="scenes")),
        ({"rates": [1, "2e5", 0.5]}, Run("a", rates=(1, 2e5, 0.5))),
        ({"rates": []}, Run("a", rates=())),
        ({"rates": None}, Run("a")),
        ({"kind": "uniform"}, Run("a", kind="uniform")),
        ({"shuffle": False}, Run("a", shuffle=False)),
        ({"weights": {"sky": "1e-3"}}, Run("a", weights={"sky": 1e-3})),
        ({"extra": {"anything": [1]}}, Run("a", extra={"anything": [1]})),
    ],
)
def test_values_are_read_as_what_they_must_be(data: dict[str, Any], expected: Run) -> None:
    config = from_dict(Run, {"name": "a", **data})
    assert config == expected
    assert isinstance(config.optimizer.warmup, int)
    assert from_dict(Run, to_dict(config)) == config


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({}, "setting name is missing"),
        ({"name": "a", "shufle": True}, "unknown setting shufle: did you mean 'shuffle'"),
        ({"name": "a", "optimizer": {"warm": 1}}, r"unknown setting optimizer\.warm: did you mean 'optimizer.warmup'"),
        ({"name": "a", "zzz": 1}, "unknown setting zzz: known are name, optimizer"),
        ({"name": "a", 5: 1}, "unknown setting 5"),
        ({"name": 5}, "name must be text, not 5"),
        ({"name": None}, "name must be text, not None"),
        ({"name": "a", "optimizer": 5}, "optimizer must be a section, not 5"),
        ({"name": "a", "optimizer": None}, "optimizer must be a section"),
        ({"name": "a", "optimizer": {"lr": "fast"}}, r"optimizer\.lr must be a number, not 'fast'"),
        ({"name": "a", "optimizer": {"lr": True}}, r"optimizer\.lr must be a number, not True"),
        ({"name": "a", "optimizer": {"lr": float("nan")}}, r"optimizer\.lr must be a number, not nan"),
        ({"name": "a", "optimizer": {"lr": -1}}, "a learning rate is positive"),
        ({"name": "a", "optimizer": {"warmup": 1.5}}, r"optimizer\.warmup must be a whole number"),
        ({"name": "a", "optimizer": {"warmup": float("inf")}}, r"optimizer\.warmup must be a whole number"),
        ({"name": "a", "optimizer": {"warmup": float("nan")}}, r"optimizer\.warmup must be a whole number"),
        ({"name": "a", "optimizer": {"warmup": "9" * 999}}, r"optimizer\.warmup must be a whole number"),
        ({"name": "a", "optimizer": {"warmup": 10**999}}, r"optimizer\.warmup must be a whole number"),
        ({"name": "a", "size": "large"}, "size must be a whole number, not 'large'"),
        ({"name": "a", "size": [1, 2, 3]}, r"size must be a whole number, .*, or size must hold 2 values, not 3"),
        ({"name": "a", "rates": [1, "x"]}, r"rates must be text, .*, or rates\[1\] must be a number, not 'x'"),
        ({"name": "a", "kind": "Uniform"}, "kind must be one of none, uniform, not 'Uniform'"),
        ({"name": "a", "kind": ["none"]}, "kind must be one of none, uniform"),
        ({"name": "a", "shuffle": 1}, "shuffle must be true or false, not 1"),
        ({"name": "a", "shuffle": "yes"}, "shuffle must be true or false"),
        ({"name": "a", "weights": [1]}, "weights must be a section"),
        ({"name": "a", "weights": {"sky": "x"}}, r"weights\.sky must be a number"),
    ],
)
def test_mistakes_are_named(data: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        from_dict(Run, data)


def written(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_and_its_overrides(tmp_path: Path) -> None:
    path = written(tmp_path, "name: äöü\noptimizer: {lr: 2e-5}\nsize: [32, 64]\n")
    assert load(Run, path) == Run("äöü", Optimizer(2e-5), size=(32, 64))
    changed = load(Run, path, ["optimizer.warmup=5", "name=b", "size=[1, 2]", "weights.sky=.5", "optimizer.lr = 3e-5"])
    assert changed == Run("b", Optimizer(3e-5, 5), size=(1, 2), weights={"sky": 0.5})


def test_a_setting_is_typed_as_key_and_value() -> None:
    assert assignment("share=0.4") == ("share", 0.4)
    assert assignment(" steps = [10, 15]") == ("steps", [10, 15])
    assert assignment("features=module:f(a=1)") == ("features", "module:f(a=1)")


def test_sections_become_dotted_keys() -> None:
    assert flat({"a": 1, "b": {"c": {"d": [2]}, "e": {}}}) == {"a": 1, "b.c.d": [2]}
    assert flat(to_dict(Run("a", Optimizer(2e-5))))["optimizer.lr"] == 2e-5


@pytest.mark.parametrize(
    ("text", "overrides", "complaint"),
    [
        ("name: [", [], "not valid YAML"),
        ("- 1\n", [], "must hold settings"),
        ("", [], "must hold settings"),
        ("name: a\nsize: big\n", [], "size must be a whole number"),
        ("name: !!python/object/apply:os.mkdir [x]\n", [], "not valid YAML"),
        ("name: !!timestamp foo\n", [], "not valid YAML"),
        ("name: a\n", ["name=!!timestamp foo"], "the value of .*: not valid YAML"),
        ("name: a\n", ["size"], "a setting looks like key=value, not 'size'"),
        ("name: a\n", ["=5"], "a setting looks like key=value"),
        ("name: a\n", ["size=[1"], r"the value of 'size=\[1': not valid YAML"),
        ("name: a\n", ["name.first=b"], "name is a value, not a section"),
        ("name: a\n", ["optimizer.warm=1"], "did you mean 'optimizer.warmup'"),
    ],
)
def test_mistakes_in_files_are_named(tmp_path: Path, text: str, overrides: list[str], complaint: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=complaint):
        load(Run, path, overrides)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.yaml: there is no such file"):
        load(Run, tmp_path / "nowhere.yaml")
    path = tmp_path / "run.yaml"
    path.write_bytes(b"name: \xff\xfe\n")
    with pytest.raises(ValueError, match="not valid YAML"):
        load(Run, path)


@pytest.mark.parametrize("setting", ["name", "optimizer", "size", "rates", "kind", "weights.sky", "nowhere"])
def test_values_of_any_size_are_named_in_a_short_sentence(setting: str) -> None:
    """A list of lists of lists ... takes next to no memory, and its repr any amount."""
    value: Any = "lol"
    for _ in range(6):
        value = [value] * 10
    section, _, key = setting.partition(".")
    with pytest.raises(ValueError, match=setting) as caught:
        from_dict(Run, {"name": "a", section: {key: value} if key else value})
    assert len(str(caught.value)) < 2000


def test_what_no_file_can_hold_is_not_asked_of_one() -> None:
    @dataclass(frozen=True)
    class Options:
        noise: str | Callable[[int], int] = "fresh"

    with pytest.raises(ValueError, match=r"^noise must be text, not 1$"):
        from_dict(Options, {"noise": 1})


def test_a_setting_of_another_section_is_named_with_it(tmp_path: Path) -> None:
    assert paths(Run)[:4] == ["name", "optimizer.lr", "optimizer.warmup", "optimizer"]
    file = written(tmp_path, "name: a\n")
    for setting, meant in (
        ("lr=1", "'optimizer.lr'"),
        ("optimizer.size=8", "'size'"),
        ("optimizer.wamup=1", "'optimizer.warmup'"),
    ):
        with pytest.raises(ValueError, match=f"unknown setting {setting.partition('=')[0]}: did you mean {meant}"):
            load(Run, file, [setting])


@dataclass(frozen=True)
class Section:
    width: int = 1
    depth: int = implied(2)


@dataclass(frozen=True)
class Whole:
    plain: Section = field(default_factory=Section)
    rate: float = implied(0.5)
    left_out: Section = implied(Section(width=3))  # noqa: RUF009


def test_what_files_leave_out_at_its_default_is_known_with_its_section() -> None:
    changed = Whole(Section(depth=7), 0.1, Section(4, 5))
    assert flat(to_dict(Whole())) == {"plain.width": 1}
    assert set(flat(to_dict(changed))) == {*implied_in(changed), "plain.width"}
    left_out = {"left_out.width": 3, "left_out.depth": 2}
    assert implied_in(Whole()) == implied_in(changed) == {"plain.depth": 2, "rate": 0.5, **left_out}


def test_non_defaults_leave_defaults_out() -> None:
    @dataclass(frozen=True)
    class Settings:
        name: str
        optimizer: Optimizer
        sizes: tuple[int, ...] = (8, 16)
        again: Optimizer = field(default_factory=Optimizer)

    assert non_defaults(Settings("a", Optimizer())) == {"name": "a", "optimizer": {}}
    assert non_defaults(Settings("a", Optimizer(warmup=3), (8,), Optimizer(lr=1.0))) == {
        "name": "a",
        "optimizer": {"warmup": 3},
        "sizes": [8],
        "again": {"lr": 1.0},
    }
