"""Untrusted input: no value makes a long message, no file is taken for another, no text steers a terminal."""

import datetime
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scdm.files.parsing import read_table
from scdm.files.untrusted import LONGEST, MOST_BYTES, brief, file_at, harmless, meant, sha256_of, shown


def laughs(depth: int = 6) -> list[Any]:
    """A list of ten lists of ten lists ...: 10 ** depth words, in next to no memory."""
    value: list[Any] = ["lol"]
    for _ in range(depth):
        value = [value] * 10
    return value


def test_what_is_shown_is_short() -> None:
    for value in (laughs(), {"a": laughs()}, "x" * 10**7, b"x" * 10**7, 10**5000, [10**5000], tuple(range(10**5))):
        assert len(shown(value)) <= 1000


@pytest.mark.parametrize("value", ["sky", 5, 1.5, None, True, (6, 32, 3, 3), [1, 2], datetime.date(2001, 2, 3)])
def test_what_is_short_is_shown_as_it_is(value: Any) -> None:
    assert shown(value) == repr(value)


@given(st.text(st.characters()))
def test_words_are_harmless(words: str) -> None:
    """Nothing steers a terminal or begins a line; what is harmless stays; UTF-8 can write all of it."""
    line = harmless(words)
    assert not any(c < " " or "\x7f" <= c <= "\x9f" for c in line)
    assert len(line.splitlines()) <= 1
    assert harmless(line) == line
    line.encode()


def test_control_characters_are_written_out() -> None:
    assert harmless("\x1b[31mMöwe 写真\u3000\u202e") == "\\u001b[31mMöwe 写真\u3000\\u202e"
    assert brief("two\nlines\tand \x1b a bell\a") == "two lines and \\u001b a bell\\u0007"
    assert brief("x" * 10**6) == "x" * LONGEST + "..."


def test_the_nearest_word_is_meant_in_any_case() -> None:
    assert meant("ADE20K.json", ["ade20k", "scenes"]) == "did you mean 'ade20k'?"
    assert meant("Scene", ["ade20k", "Scenes"]) == "did you mean 'Scenes'?"
    assert meant("x" * 10**7, ["ade20k"]) == ""


def test_only_ordinary_files_are_files(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert file_at(tmp_path / "file") == tmp_path / "file"
    os.mkfifo(tmp_path / "pipe")
    for name, complaint in (
        ("", "is a folder"),
        ("pipe", "is a pipe or a device"),
        ("absent", "there is no such file"),
        ("file/absent", "there is no such file"),
        ("x" * 300, "cannot be read"),
    ):
        with pytest.raises(ValueError, match=complaint) as caught:
            file_at(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


def test_the_digest_is_that_of_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    for content in (b"", b"abc" * 10**6):  # read in more than one block
        path.write_bytes(content)
        assert sha256_of(path) == hashlib.sha256(content).hexdigest()
    with pytest.raises(ValueError, match="there is no such file"):
        sha256_of(tmp_path / "absent")


def test_endless_files_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(ValueError, match="more than 10 MB"):
        read_table(path)
