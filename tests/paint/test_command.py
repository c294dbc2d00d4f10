"""`scdm paint` as a command: what stops it is a sentence, before anything is served."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch

from scdm.cli import main, paint
from scdm.models import checkpoint
from tests.editing.test_session import build


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    checkpoint.save(path, build())
    return str(path)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["paint", "--no-browser", *arguments]) == 2
    return capsys.readouterr().err


def test_without_aiohttp_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paint, "find_spec", lambda _: None)
    assert said(capsys) == 'scdm: error: the painting page needs the package aiohttp: pip install "scdm[paint]"\n'


def test_help_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["paint", "--help"])
    words = capsys.readouterr().out
    for flag in ("--model", "--size", "--port", "--browser", "--no-browser", "--threads", "--steps", "--device"):
        assert flag in words


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("--size", "4097x16"), "--size 4097x16 is more than 4096 pixels along a side"),
        (("--size", "512"), "must look like 256x192"),
        (("--port", "70000"), "port must be a whole number from 0 to 65535, not 70000"),
        (("--threads", "0"), "threads must be a whole number from 1 to 1024, or None, not 0"),
        (("--model", "nothing"), "there is no model 'nothing'"),
        (("--steps", "0"), "steps must be"),
    ],
)
def test_what_cannot_be_is_refused(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    pytest.importorskip("aiohttp", reason="the extra paint is not installed: pip install -e '.[paint]'")
    given = () if "--model" in arguments else ("--model", model)
    assert words in said(capsys, *given, *arguments)


def test_a_port_that_is_taken_is_named(capsys: pytest.CaptureFixture[str], model: str) -> None:
    pytest.importorskip("aiohttp", reason="the extra paint is not installed: pip install -e '.[paint]'")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} cannot be had" in said(capsys, "--model", model, "--port", str(port))


def test_threads_are_set_for_torch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    pytest.importorskip("aiohttp", reason="the extra paint is not installed: pip install -e '.[paint]'")
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    said(capsys, "--model", model, "--threads", "3", "--size", "9999x1")
    assert asked == [3] and Path(model).exists()
