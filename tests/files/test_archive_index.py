"""The index of a folder of archives: what they hold, unless it is damaged or of others."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scdm.files import archive_index
from scdm.files.addresses import Remote, Unreachable
from scdm.files.archive_index import INDEX, members_in, write_index
from tests.files.servers import FileServer, serving

NAMES = {"0.tar": ["b.jpg", "./Möwe.png", "x" * 150], "1.tar": ["a.jpg"], "none.tar": []}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for archive in NAMES:
        write_archive(tmp_path / archive)
    return tmp_path


def write_archive(path: Path, more: int = 0) -> None:
    with tarfile.open(path, "w") as opened:
        for name in NAMES[path.name]:
            info = tarfile.TarInfo(name)
            info.size = len(name) + more
            opened.addfile(info, io.BytesIO(bytes(info.size)))


@pytest.fixture
def http(tmp_path: Path) -> Iterator[FileServer]:
    pytest.importorskip("aiohttp", reason="fsspec reads addresses of HTTP by aiohttp")
    with serving(tmp_path) as server:
        yield server


def rows(place: Path | Remote) -> list[tuple[str, int, int]]:
    return [(member.inner, member.offset, member.size) for member in members_in(place)[0]]


def changed(folder: Path, value: Any, *keys: str | int) -> None:
    """Puts a value into the index where the keys lead."""
    data = part = json.loads((folder / INDEX).read_text())
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    (folder / INDEX).write_text(json.dumps(data))


def test_an_index_says_what_the_headers_say(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, contents = rows(folder), [member.read_bytes() for member in members_in(folder)[0]]
    assert [name for name, _, _ in found] == [name for names in NAMES.values() for name in names]
    assert write_index(folder) == 4 == write_index(folder)  # which is made anew
    monkeypatch.setattr(archive_index, "members_of", None)
    assert rows(folder) == found and rows(Remote(f"file://{folder}")) == found
    assert [member.read_bytes() for member in members_in(folder)[0]] == contents


def test_by_http_an_index_takes_few_requests_and_headers_many(folder: Path, http: FileServer) -> None:
    found, place = rows(folder), Remote(http.address)
    with pytest.raises(
        ValueError, match=r"has no archives .*, or its server does not list them\. Then index\.json beside"
    ):
        members_in(place)
    http.lists = True
    http.requests.clear()
    members, notes = members_in(place)
    assert [(member.inner, member.offset, member.size) for member in members] == found
    assert len(notes) == 1 and "has no index.json: 4 headers were read" in notes[0]
    http.lists = False
    write_index(folder)
    http.requests.clear()
    assert rows(place) == found and members_in(place)[1] == []
    # each time the index, the last block and two headers of the first archive, however many files there are
    assert len(http.parts()) == 2 * 4 and not [path for _, path, _ in http.requests if path in ("", "/")]


def test_a_stale_index_is_refused(folder: Path, http: FileServer) -> None:
    write_index(folder)
    places = [folder, Remote(f"file://{folder}"), Remote(http.address)]
    write_archive(folder / "1.tar", more=20_000)
    for place in places:
        with pytest.raises(
            ValueError, match=r"index\.json: .*: 1\.tar has 30720 bytes, and 10240 in it\. Make it by python"
        ):
            members_in(place)
    write_index(folder)
    content = (folder / "1.tar").read_bytes()
    (folder / "1.tar").unlink()
    for place, problem in zip(places, ("is in it, but not there",) * 2 + ("404.*1\\.tar",), strict=True):
        with pytest.raises(ValueError, match=rf"index.json: it is not the index of these archives: .*{problem}"):
            members_in(place)
    (folder / "1.tar").write_bytes(content)
    (folder / "2.tar").write_bytes(content)
    for place in places[:2]:  # of HTTP the index says which there are
        with pytest.raises(ValueError, match=r"2\.tar is there, but not in it"):
            members_in(place)
    assert len(rows(places[2])) == 4


def test_an_index_of_an_archive_that_was_rewritten_in_the_same_size_is_not_believed(
    folder: Path, http: FileServer
) -> None:
    """Archives are padded to 10,240 bytes."""
    write_index(folder)
    size = (folder / "0.tar").stat().st_size
    for names, more in ((["c.jpg", *NAMES["0.tar"][1:]], 0), (NAMES["0.tar"], 1), (NAMES["0.tar"][1:], 0)):
        with tarfile.open(folder / "0.tar", "w") as opened:
            for name in names:
                info = tarfile.TarInfo(name)
                info.size = len(name) + more
                opened.addfile(info, io.BytesIO(bytes(info.size)))
        os.utime(folder / "0.tar", (0, 0))  # as `cp -p` leaves it
        assert (folder / "0.tar").stat().st_size == size
        for place in (folder, Remote(f"file://{folder}"), Remote(http.address)):
            with pytest.raises(ValueError, match=r"index\.json: it is not the index .*0\.tar/.* is not where it says"):
                members_in(place)


def test_an_index_that_is_older_than_an_archive_is_left_alone_and_noted(folder: Path) -> None:
    found = rows(folder)
    write_index(folder)
    os.utime(folder / INDEX, (0, 0))
    members, notes = members_in(folder)
    assert [(member.inner, member.offset, member.size) for member in members] == found
    assert len(notes) == 1 and "index.json is older than 0.tar" in notes[0]


def test_what_is_forbidden_is_said_with_its_status(folder: Path, http: FileServer) -> None:
    """An index may be absent where a store says so; archives are not."""
    http.failures += [403] * 100
    with pytest.raises(ValueError, match=r"has no archives .*cannot be read: 403"):
        members_in(Remote(http.address))
    write_index(folder)
    http.failures.clear()
    place = Remote(http.address)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive_index, "_content", lambda _: (folder / INDEX).read_bytes())
        http.failures += [403] * 100
        with pytest.raises(Unreachable, match="403"):
            members_in(place)


@pytest.mark.parametrize(
    ("value", "keys", "problem"),
    [
        ([], ["archives"], "it has no archives"),
        ({}, ["archives"], "it has no archives"),
        ({"size": 10240, "members": []}, ["archives", "../0.tar"], "'../0.tar' is no name of an archive"),
        ({"size": 10240, "members": []}, ["archives", "..\\0.tar"], "is no name of an archive"),
        ({"size": 10240, "members": []}, ["archives", "/etc/passwd"], "is no name of an archive"),
        (3, ["archives", "0.tar"], "0.tar: it must have size"),
        ("10240", ["archives", "0.tar", "size"], "0.tar: it must have size"),
        (True, ["archives", "0.tar", "size"], "0.tar: it must have size"),
        ({}, ["archives", "0.tar", "members"], "0.tar: it must have size"),
        ("abc", ["archives", "0.tar", "members", 0], "a member is .name, offset, size., not 'abc'"),
        (["a", 512], ["archives", "0.tar", "members", 0], "a member is"),
        ([3, 512, 3], ["archives", "0.tar", "members", 0], "a member is"),
        (["a", 512.0, 3], ["archives", "0.tar", "members", 0], "a member is"),
        (["a", 512, -3], ["archives", "0.tar", "members", 0], "a member is"),
        (["a", 0, 3], ["archives", "0.tar", "members", 0], "'a' cannot be the 3 bytes from 0 on"),
        (["a", 513, 3], ["archives", "0.tar", "members", 0], "'a' cannot be the 3 bytes from 513 on"),
        (["a", 512, 10**30], ["archives", "0.tar", "members", 0], "in an archive of 10240 bytes: make it by"),
        (["a", 10240, 1], ["archives", "0.tar", "members", 0], "in an archive of 10240 bytes"),
    ],
)
def test_a_damaged_index_is_refused(value: Any, keys: list[str | int], problem: str, folder: Path) -> None:
    write_index(folder)
    changed(folder, value, *keys)
    for place in (folder, Remote(f"file://{folder}")):
        with pytest.raises(ValueError, match=problem) as caught:
            members_in(place)
        assert str(caught.value).startswith(f"{place}/{INDEX}: ") and len(str(caught.value)) < 1000


def test_nonsense_is_no_index(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in (b"", b"{", b"[]", b"[" * 10**5, b'{"archives": {"0.tar": 1, "0.tar": 2}}', b"\xff"):
        (folder / INDEX).write_bytes(text)
        for place in (folder, Remote(f"file://{folder}")):
            with pytest.raises(ValueError, match=r"index\.json: "):
                members_in(place)
    monkeypatch.setattr(archive_index, "MOST_BYTES", 2**20)
    (folder / INDEX).write_bytes(bytes(2**20 + 1))
    for place in (folder, Remote(f"file://{folder}")):
        with pytest.raises(ValueError, match=r"index\.json has more than 1 MB"):
            members_in(place)


def test_an_index_may_hold_more_values_than_other_tables(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_index(folder)
    monkeypatch.setattr("scdm.files.parsing.MOST_VALUES", 5)
    assert len(rows(folder)) == 4
    monkeypatch.setattr(archive_index, "MOST_VALUES", 5)
    with pytest.raises(ValueError, match="more than 5 values"):
        members_in(folder)


def test_without_archives_there_is_nothing_to_index(tmp_path: Path) -> None:
    for work in (write_index, members_in):
        with pytest.raises(ValueError, match=r"has no archives \(\*\.tar\)"):
            work(tmp_path)
    assert not (tmp_path / INDEX).exists()
