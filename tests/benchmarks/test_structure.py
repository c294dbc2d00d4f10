"""What counts as code, as a guard and as the length of a function."""

from __future__ import annotations

import pytest

from benchmarks.structure import main, structure

SOURCE = '''"""A module."""


def half(x):
    """Half of x."""
    # Zero has no half here.
    if not x:
        raise ValueError(
            "x is 0"
        )

    require_number(x)
    try:
        return x / 2
    except TypeError as error:
        raise ValueError from error
'''


def test_guards_are_what_only_refuses() -> None:
    found = structure(SOURCE)
    assert found.functions == {"half:4": 10}  # without docstring, comment and blank line
    assert (found.code, found.guards) == (10, 7)  # all but def, try and return


def test_a_folder_without_code_is_named(tmp_path, capsys) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert "has no Python files" in capsys.readouterr().err
