"""Data in JSON and YAML of untrusted files."""

from pathlib import Path

import pytest

from scdm.files.parsing import parsed, read_table


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_tables_are_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"table{suffix}"
    path.write_text('{"name": "Möwe", "classes": [1]}', encoding="utf-8")
    assert read_table(path) == {"name": "Möwe", "classes": [1]}


def test_nonsense_is_not_yaml(tmp_path: Path) -> None:
    """Whatever PyYAML raises."""
    path = tmp_path / "table.yaml"
    for text in (
        b"name: [",
        b"name: !!timestamp foo",
        b"name: 2001-13-01",
        b"name: !!int ''",
        b"name: !!float 1" + b":1" * 200,
        b"[" * 10_000,
        b"name: !!python/object/apply:os.mkdir [x]",
        b"name: !" + b"x" * 10**5 + b" a",
        b"name: \xff\xfe",
    ):
        path.write_bytes(text)
        with pytest.raises(ValueError, match="not valid YAML") as caught:
            read_table(path)
        assert str(caught.value).startswith(str(path)) and len(str(caught.value)) < 1000


def test_nonsense_is_not_json() -> None:
    for text in ("{", "[" * 100_000, "9" * 5000, b"\xff"):
        with pytest.raises(ValueError, match="not valid JSON"):
            parsed(text, "JSON")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("data: 1\nsize: 64\ndata: 2", "'data' stands twice in a mapping, on lines 1 and 3"),
        ("{a: {b: 1,\n c: 2,\n b: 3}}", "'b' stands twice in a mapping, on lines 1 and 3"),
        ("1: sky\n0x1: sea", "1 stands twice in a mapping, on lines 1 and 2"),
    ],
)
def test_a_key_that_stands_twice_is_no_choice_in_silence(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parsed(text, "YAML")


def test_a_key_that_stands_twice_in_json_is_refused() -> None:
    assert parsed('{"a": {"a": 1}, "b": 2}', "JSON") == {"a": {"a": 1}, "b": 2}
    with pytest.raises(ValueError, match="'a' stands twice"):
        parsed('{"b": {"a": 1, "c": 1, "a": 1}}', "JSON")


def test_merge_keys_are_refused_and_aliases_read() -> None:
    assert parsed("a: &x {b: 1}\nc: *x\n'<<': 2", "YAML") == {"a": {"b": 1}, "c": {"b": 1}, "<<": 2}
    with pytest.raises(ValueError, match="line 2: merge keys"):
        parsed("a: &x {b: 1}\nc: {<<: *x}", "YAML")


def test_tables_without_end_are_refused() -> None:
    """A few bytes of aliases stand for more than any memory holds, or for themselves."""
    lines = ["a0: &a0 [l]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 20))]
    for text in ("\n".join(lines), "a: &a [*a]", "a: &a {b: {c: *a}}"):
        with pytest.raises(ValueError, match="aliases that name each other"):
            parsed(text, "YAML")
    merged = ["a0: &a0 {k: 1}", *(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}" for i in range(1, 20))]
    with pytest.raises(ValueError, match="merge keys"):
        parsed("\n".join(merged), "YAML")
    for form in ("YAML", "JSON"):
        with pytest.raises(ValueError, match="nested deeper than 64 levels"):
            parsed("[" * 70 + "]" * 70, form)  # type: ignore[arg-type]


def test_times_are_no_numbers() -> None:
    """Numbers to the base 60 would take quadratic time, and hardly anybody who writes 1:30 means 90."""
    assert parsed("[1:30, 1:30.5, -1:2, 12, 1_000, 0x1f, 1.5, .inf]", "YAML") == [
        "1:30", "1:30.5", "-1:2", 12, 1000, 31, 1.5, float("inf"),
    ]  # fmt: skip
    assert parsed("1" + ":1" * 10**5, "YAML") == "1" + ":1" * 10**5
    with pytest.raises(ValueError, match="to the base 60 are not read"):
        parsed("!!int 1:30", "YAML")
