"""Files at addresses: copies that are there while they are read, or a sentence."""

from __future__ import annotations

import gc
import multiprocessing
import pickle
import time
from collections.abc import Iterator
from operator import methodcaller
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from scdm.files.addresses import PAUSES, Remote, Unreachable, fetched, is_address, served
from tests.files.servers import RESET, FileServer, serving

fsspec = pytest.importorskip("fsspec", reason="addresses need the extra 'remote'")


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    fsspec.filesystem("memory").pipe("/bucket/model.bin", b"content")
    yield
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def http(tmp_path: Path) -> Iterator[FileServer]:
    """Of model.bin, as in memory."""
    pytest.importorskip("aiohttp", reason="fsspec reads addresses of HTTP by aiohttp")
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket" / "model.bin").write_bytes(b"content")
    with serving(tmp_path) as server:
        yield server


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Those that were made, which take no time."""
    made: list[float] = []
    monkeypatch.setattr(time, "sleep", made.append)
    return made


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("s3://bucket/model.safetensors", True),
        ("file:///models/model.safetensors", True),
        ("simplecache::s3://bucket/model.safetensors", True),
        ("scenes", False),
        ("runs/a/model.safetensors", False),
        ("C://runs/model.safetensors", False),
        ("C:\\runs\\model.safetensors", False),
    ],
)
def test_addresses_are_told_from_paths(name: str, expected: bool) -> None:
    assert is_address(name) is expected


def test_a_copy_has_the_name_of_the_file_and_goes(tmp_path: Path) -> None:
    (tmp_path / "local.bin").write_bytes(b"content")
    for address in (
        "memory://bucket/model.bin",
        "simplecache::memory://bucket/model.bin",
        f"file://{tmp_path}/local.bin",
    ):
        with fetched(address) as copy:
            assert copy.name == address.rsplit("/", 1)[1] and copy.read_bytes() == b"content"
        assert not copy.parent.exists()
    assert (tmp_path / "local.bin").exists()


def test_what_is_wrong_is_said_of_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(ValueError, match=r"^memory://bucket/model\.bin: damaged$"),
        fetched("memory://bucket/model.bin") as copy,
    ):
        raise ValueError(f"{copy}: damaged")
    assert not copy.parent.exists()
    with (
        pytest.raises(ValueError, match="memory://bucket/other: there is no such file"),
        fetched("memory://bucket/other"),
    ):
        pass
    with pytest.raises(ValueError, match="odd://place cannot be opened: "):
        served("odd://place")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("token expired")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "get_file", refuse)
    with (
        pytest.raises(ValueError, match=r"model\.bin cannot be read: token expired"),
        fetched("memory://bucket/model.bin"),
    ):
        pass


def parts_of(folder: Remote) -> None:
    file = folder / "model.bin"
    assert str(file) == f"{folder}/model.bin" and file.relative_to(str(folder)) == PurePosixPath("model.bin")
    assert file.read(1, 4) == b"ont" and file.read(0, 7) == b"content" and file.read(3, 3) == b""
    assert file.size() == 7 and folder.sizes(["model.bin"]) == {"model.bin": 7}
    file.require_parts(7)
    with pytest.raises(Unreachable) as caught:
        (folder / "other").size()
    assert caught.value.absent and f"{folder}/other cannot be read" in str(caught.value)


def test_parts_are_read_wherever_they_are(tmp_path: Path, http: FileServer, pauses: list[float]) -> None:
    for folder in map(Remote, ("memory://bucket", f"file://{tmp_path}/bucket/", f"{http.address}/bucket")):
        parts_of(Remote(folder.address.rstrip("/")))
        assert (folder / "absent").listed() == {} and not pauses
    for folder in map(Remote, ("memory://bucket", f"file://{tmp_path}/bucket")):
        assert folder.listed() == {"model.bin": 7} and folder.lists()
    assert http.parts()[:2] == ["bytes=1-3", "bytes=0-6"]


def test_a_server_lists_its_files_on_a_page_or_not_at_all(tmp_path: Path, http: FileServer) -> None:
    (tmp_path / "bucket" / "a b#1.tar").write_bytes(b"odd")
    folder = Remote(f"{http.address}/bucket")
    assert folder.listed() == {} and not folder.lists()
    http.lists = True
    assert set(folder.listed()) >= {"model.bin"}


@pytest.mark.parametrize("failures", [[503, 408], [429, 500, 502], [RESET] * 3])
def test_what_fails_for_a_moment_is_tried_again(failures: list[int], http: FileServer, pauses: list[float]) -> None:
    file = Remote(f"{http.address}/bucket/model.bin")
    http.failures += failures
    assert file.read(1, 4) == b"ont" and not http.failures
    tries = (
        len(pauses) if RESET in failures else len(failures)
    )  # aiohttp tries again itself when an old connection is cut
    assert pauses == list(PAUSES[:tries]) == sorted(set(pauses)) and pauses
    http.failures += [503, 503, RESET, RESET]  # a size is asked for in two ways
    assert file.size() == 7


@pytest.mark.parametrize(
    ("status", "tries", "reason", "absent"),
    [(503, 1 + len(PAUSES), "503", False), (401, 1, "401", False), (403, 1, "403", False), (404, 1, "model.bin", True)],
)
def test_what_fails_for_good_is_said(
    status: int, tries: int, reason: str, absent: bool, http: FileServer, pauses: list[float]
) -> None:
    file = Remote(f"{http.address}/bucket/model.bin")
    http.failures += [status] * 100
    with pytest.raises(Unreachable, match=f"^the seventh of them cannot be read: .*{reason}") as caught:
        file.read(1, 4, "the seventh of them")
    assert len(http.requests) == tries and caught.value.absent is absent
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    http.failures[:] = [status] * 100
    with pytest.raises(Unreachable, match=r"model\.bin cannot be read") as caught:
        file.size()
    assert caught.value.absent is absent


def test_a_reply_of_another_length_is_none(
    http: FileServer, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Remote("memory://bucket/model.bin")
    with pytest.raises(Unreachable, match=r"model\.bin cannot be read: 2 bytes of 5 came"):
        file.read(5, 10)
    monkeypatch.setattr(type(served("memory://bucket")[0]), "cat_file", lambda *_, **__: b"content")
    with pytest.raises(Unreachable, match=r"model\.bin cannot be read: 7 bytes came, where 3 were asked"):
        file.read(1, 4)


def test_of_a_server_of_whole_files_no_part_is_asked(tmp_path: Path, http: FileServer) -> None:
    size = 30 * 2**20
    with (tmp_path / "bucket" / "0.tar").open("wb") as file:
        file.truncate(size)
    http.ranges = False
    with pytest.raises(ValueError, match=r"0\.tar: the server sends whole files only, .*: choose one that answers"):
        Remote(f"{http.address}/bucket/0.tar").require_parts(size)
    assert len(http.requests) == 1


def read_in_a_child(file: Remote, queue: Any) -> None:
    queue.put(file.read(1, 4))
    gc.collect()  # which finds what nobody holds any more


def test_a_forked_process_reads_by_itself_and_leaves_its_parent_alone(http: FileServer) -> None:
    """Which has a connection open: it stays one, and is waited for."""
    context, file = multiprocessing.get_context("fork"), Remote(f"{http.address}/bucket/model.bin")
    for _ in range(2):
        assert file.read(0, 7) == b"content"
        queue = context.SimpleQueue()
        child = context.Process(target=read_in_a_child, args=(file, queue))
        child.start()
        child.join(20)
        assert child.exitcode == 0 and queue.get() == b"ont"
    began = time.monotonic()
    assert file.read(0, 7) == b"content" and time.monotonic() - began < 20


def test_a_spawned_process_reads_by_itself(http: FileServer) -> None:
    file = Remote(f"{http.address}/bucket/model.bin")
    assert file.read(0, 7) == b"content"
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(methodcaller("read", 1, 4), [file]) == [b"ont"]


def test_what_fails_but_not_by_the_network_is_not_tried_again(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of whatever else an error says that it comes from, as with S3."""

    def refuse(error: OSError) -> None:
        raise error from RuntimeError("status 4xx")

    files = type(served("memory://bucket")[0])
    for error, absent in ((PermissionError("token expired"), False), (FileNotFoundError("no key"), True)):
        monkeypatch.setattr(files, "cat_file", lambda *_, error=error, **__: refuse(error))
        with pytest.raises(Unreachable, match=f"^memory://bucket/a cannot be read: {error}") as caught:
            Remote("memory://bucket/a").read(0, 3)
        assert not pauses and caught.value.absent is absent


def test_what_was_listed_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(type(served("memory://bucket")[0]), "invalidate_cache", lambda *_: calls.append(_))
    Remote("memory://bucket").forget()
    assert len(calls) == 1
