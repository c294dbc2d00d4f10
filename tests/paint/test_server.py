"""The server of the painting page: who is answered, that the image follows the newest document, and what a mistake says."""

from __future__ import annotations

import asyncio
import io
import json
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("aiohttp", reason="the extra paint is not installed: pip install -e '.[paint]'")

from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError
from aiohttp.test_utils import TestClient, TestServer

from scdm.editing import history
from scdm.editing.session import EditSession
from scdm.files.images import to_levels
from scdm.layouts import paintings
from scdm.layouts.palette import Palette, as_labels
from scdm.models import checkpoint
from scdm.networks import UNet
from scdm.paint import messages, server, worker
from scdm.paint.messages import Message, packed, unpacked
from scdm.paint.models import Models
from scdm.pipeline import GenerateOptions, generate
from tests.editing.test_session import FAST, PALETTE, build

SIZE = (16, 16)
OTHER = replace(PALETTE, name="other", names=("SKY", "sea", "rock", "tree"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("models")
    for name, seed, palette in (("tiny", 0, PALETTE), ("other", 1, OTHER)):
        checkpoint.save(folder / f"{name}.safetensors", build(seed, palette))
    return [str(folder / f"{name}.safetensors") for name in ("tiny", "other")]


@pytest.fixture(scope="module")
def models(files: list[str]) -> Models:
    return Models(files, FAST, torch.device("cpu"))


class Page:
    """A page as the server sees it."""

    def __init__(self, client: TestClient):
        self.client, self.number = client, 0
        self.address = f"127.0.0.1:{client.port}"
        self.origin = {"Host": self.address, "Origin": f"http://{self.address}"}

    async def connect(self, name: str = "a") -> ClientWebSocketResponse:
        return await self.client.ws_connect(f"/socket?window={name}", headers=self.origin, max_msg_size=0)

    async def update(self, socket: ClientWebSocketResponse, ids: np.ndarray, *more: bytes, **head: Any) -> int:
        """Asks for the image of a painting, and returns the number of that."""
        self.number += 1
        settings = {"model": "tiny", "seed": "5"} | head.pop("settings", {})
        head = {"kind": "update", "number": self.number, "settings": settings} | head
        await socket.send_bytes(packed(Message(head, (document(ids), *more))))
        return self.number


def document(ids: np.ndarray, palette: Palette = PALETTE) -> bytes:
    file = io.BytesIO()
    paintings.write(file, palette, ids)
    return file.getvalue()


async def told(socket: ClientWebSocketResponse, *kinds: str) -> Message:
    """The next message of one of these kinds."""
    while True:
        received = await asyncio.wait_for(socket.receive(), 60)
        assert received.type is WSMsgType.BINARY, received
        message = unpacked(received.data)
        if message.head["kind"] in kinds:
            return message


def picture(message: Message) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(message.pictures[0])))


def made(ids: np.ndarray, options: GenerateOptions = FAST) -> np.ndarray:
    """What the library makes of a painting."""
    return to_levels(generate(build(), as_labels(ids[None].astype(np.int64), PALETTE), options))[0]


def painted(*boxes: tuple[int, int, int, int, int]) -> np.ndarray:
    ids = np.full(SIZE, len(PALETTE.names))
    ids[:8] = 0
    for top, left, bottom, right, painted in boxes:
        ids[top:bottom, left:right] = painted
    return ids


@pytest.fixture
def page(models: Models) -> Iterator[Callable[[Callable[[Page], Awaitable[None]]], None]]:
    """Runs a test with a page at a server."""

    def run(test: Callable[[Page], Awaitable[None]]) -> None:
        async def main() -> None:
            application = server.Server(models, (512, 512)).application()
            async with TestClient(TestServer(application, host="127.0.0.1")) as client:
                await test(Page(client))

        asyncio.run(main())

    yield run


Run = Callable[[Callable[[Page], Awaitable[None]]], None]


# Who is answered


@pytest.mark.parametrize(
    "path, headers",
    [
        ("/", {"Host": "example.org"}),
        ("/", {"Host": "127.0.0.1:1"}),
        ("/", {"Host": "127.0.0.1"}),
        ("/", {"Origin": "http://example.org"}),
        ("/page/page.mjs", {"Origin": "null"}),
    ],
)
def test_other_names_and_other_pages_are_refused(page: Run, path: str, headers: dict[str, str]) -> None:
    async def test(page: Page) -> None:
        answer = await page.client.get(path, headers={"Host": page.address} | headers)
        assert answer.status == 403

    page(test)


def test_what_changes_something_needs_the_pages_own_origin(page: Run) -> None:
    async def test(page: Page) -> None:
        for origin in ({}, {"Origin": "http://example.org"}, {"Origin": "http://127.0.0.1:1"}):
            headers = {"Host": page.address} | origin
            assert (await page.client.post("/save", headers=headers)).status == 403
            assert (await page.client.post("/open", headers=headers, data=b"")).status == 403
            with pytest.raises(WSServerHandshakeError, match="403"):
                await page.client.ws_connect("/socket", headers=headers)

    page(test)


def test_both_names_of_this_computer_are_answered_with_what_binds_the_page(page: Run) -> None:
    async def test(page: Page) -> None:
        for host in (page.address, f"localhost:{page.client.port}"):
            answer = await page.client.get("/", headers={"Host": host})
            assert answer.status == 200 and answer.content_type == "text/html"
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'self'; img-src 'self' blob: data:") and "unsafe" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"

    page(test)


def test_only_files_of_the_page_are_handed_out(page: Run) -> None:
    async def test(page: Page) -> None:
        assert (await page.client.get("/page/page.mjs", headers=page.origin)).content_type == "text/javascript"
        for path in ("/pyproject.toml", "/page/../../pyproject.toml", "/page/%2e%2e/comfyui.js", "/docs/", "/page"):
            assert (await page.client.get(path, headers=page.origin)).status == 404

    page(test)


# Images


def test_the_image_is_the_librarys_own(page: Run) -> None:
    async def test(page: Page) -> None:
        socket = await page.connect()
        hello = await told(socket, "hello")
        assert [about["name"] for about in hello.head["models"]][:2] == ["tiny", "other"]
        assert hello.head["models"][0]["classes"][1] == {"name": "sea", "color": [0, 9, 0]}
        assert hello.head["most_side"] == 4096
        palettes = {palette["name"]: palette for palette in hello.head["palettes"]}
        assert palettes.keys() >= {PALETTE.name, "other", "ade20k", "ade20k_golden_angle"}
        assert palettes["ade20k"]["values"] and not palettes["ade20k_golden_angle"]["values"], "the same are said once"
        await told(socket, "yours")
        ids = painted((9, 4, 12, 8, 3))
        number = await page.update(socket, ids)
        preview = await told(socket, "preview")
        assert preview.head["number"] == number and preview.head["steps"] == 3
        image = await told(socket, "image")
        assert image.head["number"] == number and image.head["share"] == 1 and image.head["seconds"] > 0
        assert np.array_equal(picture(image), made(ids))

    page(test)


def test_an_edit_repaints_its_surroundings_and_undo_is_there_at_once(
    page: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(page: Page) -> None:
        socket = await page.connect()
        await page.update(socket, painted())
        first = await told(socket, "image")
        await page.update(socket, painted((9, 4, 12, 8, 3)))
        edited = await told(socket, "image")
        assert 0 < edited.head["share"] < 0.5
        monkeypatch.setattr(UNet, "encode", lambda *_: pytest.fail("the network was asked"))
        await page.update(socket, painted())
        undone = await told(socket, "image", "error")
        assert np.array_equal(picture(undone), picture(first)) and undone.head["share"] == 0
        await page.update(socket, painted((9, 4, 12, 8, 3)))
        assert np.array_equal(picture(await told(socket, "image", "error")), picture(edited))

    page(test)


def test_images_that_are_known_can_be_asked_for_without_any_work(page: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """For models whose images do not follow every stroke: undo is there at once all the same."""

    async def test(page: Page) -> None:
        socket = await page.connect()
        await page.update(socket, painted(), known=True)
        await told(socket, "unknown")
        await page.update(socket, painted())
        first = await told(socket, "image")
        await page.update(socket, painted((9, 4, 12, 8, 3)))
        await told(socket, "image")
        monkeypatch.setattr(UNet, "encode", lambda *_: pytest.fail("the network was asked"))
        await page.update(socket, painted((0, 0, 2, 2, 1)), known=True)
        await told(socket, "unknown")
        await page.update(socket, painted(), settings={"seed": "6"}, known=True)
        await told(socket, "unknown")
        await page.update(socket, painted(), known=True)
        assert np.array_equal(picture(await told(socket, "image")), picture(first))

    page(test)


def test_settings_begin_a_new_image_and_so_does_a_canvas_of_another_size(page: Run) -> None:
    async def test(page: Page) -> None:
        socket = await page.connect()
        await page.update(socket, painted())
        await told(socket, "image")
        await page.update(socket, painted(), settings={"seed": "6", "guidance": 2.0})
        assert np.array_equal(
            picture(await told(socket, "image")), made(painted(), replace(FAST, seed=6, guidance=2.0))
        )
        await page.update(socket, painted()[:, :8])
        assert picture(await told(socket, "image")).shape == (16, 8, 3)

    page(test)


def test_the_whole_image_is_painted_anew_on_demand(page: Run) -> None:
    """Without the traces that edits after edits leave."""

    async def test(page: Page) -> None:
        socket = await page.connect()
        await page.update(socket, painted())
        await told(socket, "image")
        await page.update(socket, painted((9, 4, 12, 8, 3)))
        edited = picture(await told(socket, "image"))
        await page.update(socket, painted((9, 4, 12, 8, 3)), whole=True)
        whole = picture(await told(socket, "image"))
        assert np.array_equal(whole, made(painted((9, 4, 12, 8, 3)))) and not np.array_equal(whole, edited)

    page(test)


def test_again_draws_new_noise_in_the_selection_and_draws_can_be_taken_back(page: Run) -> None:
    async def test(page: Page) -> None:
        socket = await page.connect()
        await page.update(socket, painted())
        first = picture(await told(socket, "image"))
        await page.update(socket, painted(), again=True, area=[2, 3, 6, 5])
        again = await told(socket, "image")
        assert 0 < again.head["share"] < 1 and not np.array_equal(picture(again)[4:7, 3:7], first[4:7, 3:7])
        await socket.send_bytes(packed(Message({"kind": "draw", "number": 8, "by": -1})))
        assert np.array_equal(picture(await told(socket, "image")), first)
        await socket.send_bytes(packed(Message({"kind": "draw", "number": 9, "by": -1})))
        assert (await told(socket, "error")).head["words"] == "there is no earlier draw of this layout"
        await socket.send_bytes(packed(Message({"kind": "draw", "number": 9, "by": 1})))
        assert np.array_equal(picture(await told(socket, "image")), picture(again))
        await page.update(socket, painted(), again=True, area=[20, 20, 4, 4])
        assert "outside of the canvas" in (await told(socket, "error")).head["words"]

    page(test)


def test_a_restarted_server_goes_on_with_what_the_page_has(page: Run) -> None:
    async def test(page: Page) -> None:
        kept = np.random.default_rng(1).integers(0, 256, (*SIZE, 3), np.uint8)
        image = io.BytesIO()
        Image.fromarray(kept).save(image, "PNG")
        socket = await page.connect()
        await page.update(socket, painted((14, 14, 16, 16, 2)), document(painted()), image.getvalue())
        followed = await told(socket, "image")
        assert followed.head["share"] < 0.2 and np.array_equal(picture(followed)[:8], kept[:8])
        await page.update(socket, painted()[:8], document(painted()), b"none")
        assert "the page has kept is damaged" in (await told(socket, "error")).head["words"]

    page(test)


# Newer and older


class Gate:
    """Holds the steps of updates until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.reached, self.opened = threading.Semaphore(0), threading.Semaphore(0)
        step = worker.Worker._step

        def held(own: worker.Worker, *arguments: Any) -> None:
            self.reached.release()
            assert self.opened.acquire(timeout=60)
            step(own, *arguments)

        monkeypatch.setattr(worker.Worker, "_step", held)

    async def step(self) -> None:
        assert await asyncio.to_thread(self.reached.acquire, timeout=60)

    def open(self) -> None:
        self.opened.release(1000)


def test_the_newest_document_wins_and_those_that_wait_are_left_out(page: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)

    async def test(page: Page) -> None:
        socket = await page.connect()
        first = await page.update(socket, painted())
        await gate.step()
        for column in range(5):
            last = await page.update(socket, painted((9, column, 10, column + 1, 3)))
        await asyncio.sleep(0.2)  # until they have come
        gate.open()
        assert (await told(socket, "cancelled", "image")).head == {"kind": "cancelled", "number": first}
        image = await told(socket, "cancelled", "image")
        assert image.head["number"] == last and np.array_equal(picture(image), made(painted((9, 4, 10, 5, 3))))

    page(test)


def test_however_fast_strokes_follow_every_second_update_is_finished(
    page: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)

    async def test(page: Page) -> None:
        socket = await page.connect()
        await page.update(socket, painted())
        await gate.step()
        second = await page.update(socket, painted((9, 1, 10, 2, 3)))
        await asyncio.sleep(0.2)
        gate.opened.release()
        assert (await told(socket, "cancelled", "image")).head["kind"] == "cancelled"
        await gate.step()
        third = await page.update(socket, painted((9, 2, 10, 3, 3)))
        await asyncio.sleep(0.2)
        gate.open()
        assert [(await told(socket, "cancelled", "image")).head["number"] for _ in range(2)] == [second, third]

    page(test)


def test_asking_for_what_is_known_stops_and_replaces_no_work(page: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)

    async def test(page: Page) -> None:
        socket = await page.connect()
        first = await page.update(socket, painted())
        await gate.step()
        known = await page.update(socket, painted((9, 1, 10, 2, 3)), known=True)
        await asyncio.sleep(0.2)
        gate.open()
        answers = [(await told(socket, "cancelled", "image", "unknown")).head for _ in range(2)]
        assert [(answer["kind"], answer["number"]) for answer in answers] == [("image", first), ("unknown", known)]

    page(test)


def test_cancelling_keeps_the_image_and_the_next_stroke_brings_both_changes(
    page: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(page: Page) -> None:
        socket = await page.connect()
        await page.update(socket, painted())
        await told(socket, "image")
        gate = Gate(monkeypatch)
        running = await page.update(socket, painted((9, 1, 10, 2, 3)))
        await gate.step()
        await socket.send_bytes(packed(Message({"kind": "cancel"})))
        await asyncio.sleep(0.2)
        gate.open()
        assert (await told(socket, "cancelled", "image")).head == {"kind": "cancelled", "number": running}
        await page.update(socket, painted((9, 1, 10, 2, 3), (14, 14, 16, 16, 1)))
        image = await told(socket, "image")
        session = EditSession(build(), as_labels(painted()[None].astype(np.int64), PALETTE), FAST)
        session.update()
        both = painted((9, 1, 10, 2, 3), (14, 14, 16, 16, 1))
        session.change(as_labels(both[None].astype(np.int64), PALETTE))
        assert np.array_equal(picture(image), to_levels(session.update().image)[0])

    page(test)


def test_a_new_draw_is_not_forgotten_for_a_stroke_that_follows(page: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)

    async def test(page: Page) -> None:
        socket = await page.connect()
        await page.update(socket, painted())
        await gate.step()
        await page.update(socket, painted(), again=True)
        last = await page.update(socket, painted((9, 4, 12, 8, 3)))
        gate.open()
        while (image := await told(socket, "image")).head["number"] != last:
            continue
        assert not np.array_equal(picture(image)[:4], made(painted((9, 4, 12, 8, 3)))[:4])

    page(test)


def test_new_noise_that_is_asked_for_again_and_again_is_made_once_and_everywhere_that_it_was_asked_for(
    page: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(page: Page) -> None:
        socket = await page.connect()
        await page.update(socket, painted())
        first = picture(await told(socket, "image"))
        gate = Gate(monkeypatch)
        stroke = (0, 14, 2, 16, 3)
        running = await page.update(socket, painted(stroke))
        await gate.step()
        await page.update(socket, painted(stroke), again=True, area=[0, 0, 3, 3])
        for _ in range(5):
            await page.update(socket, painted(stroke), again=True, area=[12, 12, 4, 4])
        last = await page.update(socket, painted(stroke, (12, 0, 16, 4, 3)))
        await asyncio.sleep(0.3)  # until they have come
        gate.open()
        heads = []
        while not heads or heads[-1]["number"] != last:
            message = await told(socket, "cancelled", "image", "error")
            heads.append(message.head)
        assert [head["number"] for head in heads] == [running, last], "and none in between"
        changed = (picture(message) != first).any(-1)
        assert changed[:3, :3].any() and changed[12:, 12:].any() and changed[12:, :4].any() and not changed[6, 8]

    page(test)


def test_moves_among_draws_that_wait_are_one(page: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(page: Page) -> None:
        socket = await page.connect()
        await page.update(socket, painted())
        images = [picture(await told(socket, "image"))]
        for _ in range(3):
            await page.update(socket, painted(), again=True)
            images.append(picture(await told(socket, "image")))
        gate = Gate(monkeypatch)
        await page.update(socket, painted(), again=True)
        await gate.step()
        for number, by in enumerate((-1, -1, -1, 1), start=100):
            await socket.send_bytes(packed(Message({"kind": "draw", "number": number, "by": by})))
        await asyncio.sleep(0.3)  # until they have come
        gate.open()
        await told(socket, "image")
        moved = await told(socket, "image", "error")
        assert moved.head["number"] == 103 and np.array_equal(picture(moved), images[2])

    page(test)


# Windows


def test_one_window_paints_and_another_may_take_over(page: Run) -> None:
    async def test(page: Page) -> None:
        first = await page.connect("a")
        await told(first, "yours")
        second = await page.connect("b")
        await told(second, "busy")
        await page.update(second, painted())
        await told(second, "busy")
        await second.send_bytes(packed(Message({"kind": "take"})))
        await told(second, "yours")
        await told(first, "busy")
        await page.update(second, painted())
        await told(second, "image")
        await second.close()
        await told(first, "free")

    page(test)


def test_a_window_that_comes_back_goes_on_painting(page: Run) -> None:
    async def test(page: Page) -> None:
        lost = await page.connect("a")
        await told(lost, "yours")
        await told(await page.connect("a"), "yours")

    page(test)


# Sessions


def test_a_session_goes_into_a_file_and_comes_back(page: Run) -> None:
    content = b""

    async def save(page: Page) -> None:
        nonlocal content
        answer = await page.client.post("/save", headers=page.origin)
        assert answer.status == 400 and (await answer.json())["words"].startswith("there is no session to save yet")
        socket = await page.connect()
        await page.update(socket, painted(), settings={"seed": "18446744073709551615"})
        await told(socket, "image")
        await page.update(socket, painted((9, 4, 12, 8, 3)), settings={"seed": "18446744073709551615"})
        await told(socket, "image")
        content = await (await page.client.post("/save", headers=page.origin)).read()

    async def reopen(page: Page) -> None:
        answer = await page.client.post("/open?model=other", headers=page.origin, data=content)
        opened = unpacked(await answer.read())
        assert answer.status == 200 and opened.head["remarks"] == []
        assert opened.head["settings"]["model"] == "tiny", "whose classes it has"
        assert opened.head["settings"]["seed"] == "18446744073709551615", "to the digit"
        assert np.array_equal(paintings.read(opened.pictures[0]).ids, painted((9, 4, 12, 8, 3)))
        socket = await page.connect()
        for ids in (painted((9, 4, 12, 8, 3)), painted()):
            await page.update(socket, ids, settings=opened.head["settings"])
            assert (await told(socket, "image")).head["share"] == 0, "its images are there"

    page(save)
    page(reopen)


def test_what_is_no_session_is_refused_without_a_path(page: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(page: Page) -> None:
        for content in (b"", b"none", document(painted())):
            answer = await page.client.post("/open", headers=page.origin, data=content)
            words = (await answer.json())["words"]
            assert answer.status == 400 and words.startswith("the file is no session that can be opened: "), words
            assert "/" not in words
        answer = await page.client.post("/open?model=../tiny", headers=page.origin, data=b"")
        assert answer.status == 400

    page(test)


def test_what_is_too_large_is_refused(page: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_FILE_BYTES", 2**20)
    monkeypatch.setattr(server, "MOST_BYTES", 2**20)
    monkeypatch.setattr(worker, "MOST_SIDE", 8)

    async def chunks() -> Any:
        for _ in range(3):
            yield bytes(2**20)

    async def test(page: Page) -> None:
        for data in (bytes(2**21), chunks()):  # with a length, and without
            answer = await page.client.post("/open", headers=page.origin, data=data)
            assert answer.status == 413 and "no session is so large" in (await answer.json())["words"]
        socket = await page.connect()
        await page.update(socket, painted())
        assert "up to 8 pixels a side" in (await told(socket, "error")).head["words"]
        await socket.send_bytes(bytes(2**20 + 1))
        while (received := await socket.receive()).type is WSMsgType.BINARY:
            continue
        assert received.type is WSMsgType.CLOSE and received.data == 1009

    page(test)


def test_where_no_file_can_lie_sessions_are_refused_in_words_and_kept(
    page: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(page: Page) -> None:
        socket = await page.connect()
        await page.update(socket, painted())
        await told(socket, "image")
        with monkeypatch.context() as patched:
            patched.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
            for path, called in (("/save", "the session"), ("/open", "the file")):
                answer = await page.client.post(path, headers=page.origin, data=b"")
                words = (await answer.json())["words"]
                assert answer.status == 400 and words.startswith(
                    f"{called} finds no place among temporary files (No such"
                )
        with monkeypatch.context() as patched:
            patched.setattr(history.zipfile, "ZipFile", Mock(side_effect=OSError(28, "No space left on device")))
            words = (await (await page.client.post("/save", headers=page.origin)).json())["words"]
            assert words == "the session cannot be written, what was there is kept: No space left on device"
        assert (await page.client.post("/save", headers=page.origin)).status == 200
        assert not caplog.records, "and nobody sees a traceback"

    page(test)


def test_what_does_not_arrive_whole_is_refused_without_a_traceback(page: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def test(page: Page) -> None:
        answer = await page.client.post("/open", headers=page.origin | {"Content-Encoding": "gzip"}, data=b"none")
        assert answer.status == 400 and (await answer.json())["words"] == "the file did not arrive whole: try again"
        caplog.clear()  # of what aiohttp says of the rest
        head = "".join(f"{name}: {value}\r\n" for name, value in page.origin.items())
        _, writer = await asyncio.open_connection("127.0.0.1", page.client.port)
        writer.write(f"POST /open HTTP/1.1\r\n{head}Content-Length: 1000\r\n\r\nhalf".encode())
        await writer.drain()
        await asyncio.sleep(0.2)  # until it has come
        writer.close()
        await asyncio.sleep(0.2)
        assert not caplog.records

    page(test)


@pytest.mark.parametrize("drips", [False, True])
def test_an_upload_that_stays_away_holds_nothing(page: Run, monkeypatch: pytest.MonkeyPatch, drips: bool) -> None:
    """Be it that nothing comes any more, or too little to come to an end."""
    monkeypatch.setattr(server, "LATE", 60.0 if drips else 0.2)
    monkeypatch.setattr(server, "LONGEST_UPLOAD", 0.4 if drips else 60.0)
    monkeypatch.setattr(tempfile, "tempdir", None)
    folders: list[str] = []
    monkeypatch.setattr(server, "_received", spied(server._received, folders))

    async def test(page: Page) -> None:
        head = "".join(f"{name}: {value}\r\n" for name, value in page.origin.items())
        reader, writer = await asyncio.open_connection("127.0.0.1", page.client.port)
        writer.write(f"POST /open HTTP/1.1\r\n{head}Content-Length: 1000\r\n\r\nhalf".encode())
        answered = asyncio.create_task(reader.read())  # to the end of the connection
        while drips and not answered.done():
            writer.write(b".")
            await asyncio.sleep(0.05)
        answer = await asyncio.wait_for(answered, 30)
        assert answer.startswith(b"HTTP/1.1 408") and b"the file did not arrive in time: try again" in answer
        assert folders and not Path(folders[0]).exists()
        writer.close()

    page(test)


def spied(receive: Callable[..., Awaitable[None]], folders: list[str]) -> Callable[..., Awaitable[None]]:
    async def received(request: Any, path: Path) -> None:
        folders.append(str(path.parent))
        await receive(request, path)

    return received


# Mistakes


def test_classes_are_translated_by_name_and_what_is_lost_is_said(page: Run) -> None:
    async def test(page: Page) -> None:
        socket = await page.connect()
        ids = painted((9, 4, 12, 8, 2))
        number = await page.update(socket, ids, settings={"model": "other"})
        image = await told(socket, "image", "error")
        assert image.head["number"] == number
        assert image.head["remarks"] == ["palette other has no class 'sand': 5 % of the painting became unpainted"]

    page(test)


def test_mistakes_are_answered_in_sentences_and_the_work_goes_on(page: Run) -> None:
    async def test(page: Page) -> None:
        socket = await page.connect()
        for settings, words in (
            ({"model": "../tiny"}, "there is no model '../tiny' here: choose tiny, other,"),
            ({"seed": "-1"}, "a seed is a whole number from 0 to 2^64 - 1, not '-1'"),
            ({"seed": "99999999999999999999"}, "seed must be a whole number from 0 to 2^64 - 1"),
            ({"guidance": 0.5}, "guidance must be a number from 1 to"),
            ({"roughness": 0.5}, "this model does not read how rough a layout is"),
            ({"path": "/etc/passwd"}, "unknown setting settings.path"),
        ):
            await page.update(socket, painted(), settings=settings)
            answer = await told(socket, "error", "image")
            assert words in answer.head.get("words", ""), answer.head
        for content in (b"", b"\0\0\0\1", packed(Message({"kind": "update", "number": 1})), b"\0\0\0\2[]"):
            await socket.send_bytes(content)
            await told(socket, "error")
        await socket.send_bytes(packed(Message({"kind": "update", "number": 1, "settings": {"model": "tiny"}}, (b"",))))
        assert "the painting is no document of the painter" in (await told(socket, "error")).head["words"]
        await page.update(socket, painted())
        await told(socket, "image")

    page(test)


def test_an_error_that_nobody_foresaw_is_said_and_the_work_goes_on(page: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(page: Page) -> None:
        socket = await page.connect()
        for error, words in ((KeyError("x"), "failed unexpectedly"), (MemoryError(), "not enough memory")):
            with monkeypatch.context() as patched:
                patched.setattr(EditSession, "update", Mock(side_effect=error))
                await page.update(socket, painted())
                assert words in (await told(socket, "error")).head["words"]
        await page.update(socket, painted())
        await told(socket, "image")

    page(test)


def test_the_thread_survives_what_fails_beside_updates(page: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(page: Page) -> None:
        socket = await page.connect()
        await page.update(socket, painted())
        await told(socket, "image")
        with monkeypatch.context() as patched:
            patched.setattr(worker.Worker, "_described", Mock(side_effect=MemoryError()))
            await socket.send_bytes(packed(Message({"kind": "describe"})))
            assert "not enough memory" in (await told(socket, "error")).head["words"]
        with monkeypatch.context() as patched:
            patched.setattr(worker.Worker, "_opened", Mock(side_effect=KeyError("x")))
            answer = await page.client.post("/open", headers=page.origin, data=b"none")
            assert answer.status == 400 and "failed unexpectedly" in (await answer.json())["words"]
        await page.update(socket, painted((9, 4, 12, 8, 3)))
        await told(socket, "image")

    page(test)


def test_browsers_leave_the_usual_port_out() -> None:
    for port, names in ((80, ["127.0.0.1", "localhost"]), (8199, ["127.0.0.1:8199", "localhost:8199"])):
        request = Mock()
        request.transport.get_extra_info.return_value = ("127.0.0.1", port)
        assert server._hosts(request) == names


def test_messages_survive_the_way() -> None:
    message = Message({"kind": "Wälder", "number": 2**53}, (b"", b"one", bytes(1000)))
    assert unpacked(packed(message)) == message
    for cut in (1, 5, len(packed(message)) - 1):
        with pytest.raises(ValueError, match="reload the page"):
            unpacked(packed(message)[:cut])
    assert json.loads(packed(Message({"a": 1}))[4:]) == {"a": 1} and messages.MOST_BLOCKS == 4


def test_models_have_names_and_no_two_the_same(files: list[str], tmp_path: Path) -> None:
    twin = tmp_path / "tiny.safetensors"
    twin.write_bytes(Path(files[0]).read_bytes())
    models = Models([files[0], str(twin), "scenes64"], FAST, torch.device("cpu"))
    assert models.names == ["tiny", "tiny (2)", "scenes", "scenes-fast"]
    with pytest.raises(ValueError, match="there is no model 'nothing'"):
        Models(["nothing"], FAST, torch.device("cpu"))
