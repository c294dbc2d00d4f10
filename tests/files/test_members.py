"""Files within archives, at a path or an address."""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scdm.files.addresses import Remote, Unreachable
from scdm.files.images import encoded, picture_size, read_image
from scdm.files.members import BLOCK, WHOLE, Member, members_of
from tests.files.servers import FileServer, serving


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A picture larger than a block, a folder, and three small files."""
    path, pixels = tmp_path / "0.tar", np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    with tarfile.open(path, "w") as opened:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        opened.addfile(folder)
        for name, content in (("a.png", encoded(pixels)), ("b.txt", b"text"), ("c.txt", b""), ("d" * 150, b"long")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def http(tmp_path: Path) -> Iterator[FileServer]:
    pytest.importorskip("aiohttp", reason="fsspec reads addresses of HTTP by aiohttp")
    with serving(tmp_path) as server:
        yield server


def test_members_at_an_address_are_those_of_the_file(archive: Path, http: FileServer) -> None:
    ours = members_of(archive)
    assert [member.inner for member in ours] == ["a.png", "b.txt", "c.txt", "d" * 150]
    for address in (f"file://{archive}", f"{http.address}/0.tar"):
        theirs = members_of(Remote(address))
        for one, other in zip(ours, theirs, strict=True):
            assert (one.inner, one.offset, one.size) == (other.inner, other.offset, other.size)
            other = pickle.loads(pickle.dumps(other))
            assert str(other) == f"{address}/{one.inner}" and other.read_bytes() == one.read_bytes()
            with one.open() as this, other.open() as that:
                assert this.read() == that.read()
    http.requests.clear()
    members_of(Remote(f"{http.address}/0.tar"))
    assert len(http.parts()) <= 3  # of the headers behind the picture, all lie in one block


def test_a_picture_takes_one_request_and_so_does_its_size(archive: Path, http: FileServer) -> None:
    local, member = members_of(archive)[0], members_of(Remote(f"{http.address}/0.tar"))[0]
    assert member.size > 2 * BLOCK
    http.requests.clear()
    assert np.array_equal(np.asarray(read_image(member)), np.asarray(read_image(local)))
    assert len(http.requests) == 1
    http.sent = 0
    assert picture_size(member) == picture_size(local) == (200, 300)
    assert len(http.requests) == 2 and http.sent == BLOCK


def test_what_is_read_in_blocks_is_the_same(archive: Path, http: FileServer) -> None:
    local, member = members_of(archive)[0], members_of(Remote(f"{http.address}/0.tar"))[0]
    content = local.read_bytes()
    with member.open(buffering=1000) as file:
        assert file.read(8) == content[:8] and file.seek(-3, io.SEEK_END) == len(content) - 3
        assert file.read() == content[-3:] and file.read(1) == b"" and file.seek(4) == 4
        assert file.read(5000) == content[4:5004] and file.seek(10, io.SEEK_CUR) == 5014
        http.requests.clear()
        assert (
            file.read() == content[5014:]
            and len(http.requests) == 1
            and file.seek(len(content) + 5)
            and file.read() == b""
        )
    http.requests.clear()
    with Member(member.archive, "huge", 512, WHOLE + 1).open() as file:  # of which only what is wanted is asked for
        assert not http.requests and file.seek(100) == 100


def test_what_the_network_does_not_bring_is_no_damaged_picture(
    archive: Path, http: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = members_of(Remote(f"{http.address}/0.tar"))[0]
    archive.unlink()
    for read in (read_image, picture_size, Member.read_bytes):
        with pytest.raises(Unreachable, match=rf"^{http.address}/0.tar/a.png cannot be read: "):
            read(member)
    with pytest.raises(Unreachable, match=rf"^{http.address}/0.tar cannot be read: "):
        members_of(Remote(f"{http.address}/0.tar"))


def test_a_damaged_archive_is_named(archive: Path, http: FileServer) -> None:
    content = archive.read_bytes()
    for damaged in (b"", b"nonsense" * 200, content[: len(content) // 2], b"\x1f\x8b" + content):
        archive.write_bytes(damaged)
        for place in (archive, Remote(f"{http.address}/0.tar")):
            with pytest.raises(
                ValueError, match=r"0\.tar is no tar archive, or a compressed or damaged one: write it by"
            ):
                members_of(place)


def test_a_damaged_picture_is_one_at_an_address_too(archive: Path, http: FileServer) -> None:
    member = members_of(Remote(f"{http.address}/0.tar"))[1]
    with pytest.raises(ValueError, match=r"0\.tar/b\.txt: not an image"):
        read_image(member)
