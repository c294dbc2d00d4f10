"""Files at addresses: copies that are there while they are read, or a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scdm.files.addresses import fetched, is_address, served

fsspec = pytest.importorskip("fsspec", reason="addresses need the extra 'remote'")


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    fsspec.filesystem("memory").pipe("/bucket/model.bin", b"content")
    yield
    fsspec.filesystem("memory").store.clear()


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
    with pytest.raises(ValueError, match=r"odd://place needs another package: .*pip install -e '\.\[remote\]'"):
        served("odd://place")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("token expired")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "get_file", refuse)
    with (
        pytest.raises(ValueError, match=r"model\.bin cannot be read: token expired"),
        fetched("memory://bucket/model.bin"),
    ):
        pass
