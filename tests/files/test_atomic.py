"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from scdm.files.atomic import made_folder, written_whole


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_text("old")
    with pytest.raises(RuntimeError), written_whole(path) as beside:
        beside.write_text("half of the ne")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_or_folder_in_the_way_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert made_folder(tmp_path / "a" / "b").is_dir() and made_folder(tmp_path / "a" / "b").is_dir()
    for folder in (file, file / "below"):
        with pytest.raises(ValueError, match="a file is in its place"):
            made_folder(folder)
    with pytest.raises(ValueError, match="a is a folder: give the name of a file"), written_whole(tmp_path / "a"):
        pytest.fail("nothing can be written")


def test_a_full_disk_is_an_error_that_names_the_file_and_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("old")
    with pytest.raises(OSError, match="No space left on device") as caught, written_whole(path) as beside:
        beside.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.filename == str(path)
    with pytest.raises(PermissionError, match="notes") as caught, written_whole(path) as beside:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(beside))
    assert caught.value.filename == str(path)
    with pytest.raises(FileNotFoundError, match="what is read meanwhile"), written_whole(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "what is read meanwhile")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
