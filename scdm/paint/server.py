"""The server of the page: on this computer alone, for its own page alone, and for one window at a time."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from ..editing.history import MOST_FILE_BYTES
from . import pages
from .messages import MOST_BYTES, Message, asked, packed, unpacked
from .models import Models
from .options import MOST_SIDE
from .worker import Worker, words_of

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
USUAL_PORT = 80  # of http
LATE = 20.0  # seconds after which a silent connection counts as lost
LONGEST_UPLOAD = 300.0  # seconds
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; connect-src 'self' {sockets}; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(eq=False)
class _Window:
    """A page that is connected. Messages wait in `outbox` until it takes them."""

    socket: web.WebSocketResponse
    name: str
    outbox: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)

    def tell(self, message: Message) -> None:
        """A preview is only for those who have seen all before it."""
        if message.head["kind"] != "preview" or self.outbox.empty():
            self.outbox.put_nowait(message)

    async def send(self) -> None:
        with suppress(ConnectionError):  # the page will come back
            while True:
                await self.socket.send_bytes(packed(await self.outbox.get()))


class Server:
    """Connects pages with a worker."""

    def __init__(self, models: Models, size: tuple[int, int]):
        self.models, self.size = models, size
        self._windows: set[_Window] = set()
        self._painting: _Window | None = None

    def application(self) -> web.Application:
        app = web.Application(middlewares=[_guarded])
        app.add_routes([web.get("/socket", self._socket), web.post("/save", self._save), web.post("/open", self._open)])
        app.add_routes([web.get(address, _file(path)) for address, path in pages.files().items()])
        app.on_startup.append(self._start)
        app.on_shutdown.append(self._stop)
        return app

    async def _start(self, _: web.Application) -> None:
        loop = asyncio.get_running_loop()
        self.worker = Worker(self.models, lambda message: _soon(loop, self._tell, message))

    async def _stop(self, _: web.Application) -> None:
        for window in set(self._windows):
            await window.socket.close(code=WSCloseCode.GOING_AWAY)
        await asyncio.get_running_loop().run_in_executor(None, self.worker.close)

    def _tell(self, message: Message) -> None:
        if self._painting is not None:
            self._painting.tell(message)

    # The connection

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(heartbeat=LATE, max_msg_size=MOST_BYTES)
        await socket.prepare(request)
        window = _Window(socket, request.query.get("window", "")[:64])
        self._windows.add(window)
        sending = asyncio.create_task(window.send())
        try:
            window.tell(Message({"kind": "hello", "size": self.size, "most_side": MOST_SIDE, **self._known()}))
            if self._painting is None or self._painting.name == window.name:
                self._hand_over(window)
            else:
                window.tell(Message({"kind": "busy"}))
            async for received in socket:
                if received.type is WSMsgType.BINARY:
                    self._receive(window, received.data)
        finally:
            sending.cancel()
            self._windows.discard(window)
            if self._painting is window:
                self._painting = None
                for other in self._windows:
                    other.tell(Message({"kind": "free"}))
        return socket

    def _known(self) -> dict[str, Any]:
        return {"models": self.models.about(), "palettes": self.models.palettes()}

    def _hand_over(self, window: _Window) -> None:
        """Lets this window paint, and the one that did know it."""
        if self._painting is not None and self._painting is not window:
            self._painting.tell(Message({"kind": "busy"}))
        self._painting = window
        window.tell(Message({"kind": "yours"}))

    def _receive(self, window: _Window, content: bytes) -> None:
        number = 0
        try:
            message = unpacked(content)
            kind, number = message.head.get("kind"), _number(message.head)
            if kind == "take":
                self._hand_over(window)
            elif window is not self._painting:
                window.tell(Message({"kind": "busy"}))
            elif kind == "cancel":
                self.worker.cancel()
            elif kind == "describe":
                self.worker.describe()
            elif kind == "draw":
                self.worker.other_draw(number, 1 if message.head.get("by") == 1 else -1)
            else:
                self.worker.update(asked(message))
        except Exception as error:
            window.tell(Message({"kind": "error", "number": number, "words": words_of(error)}))

    # Sessions

    async def _save(self, _: web.Request) -> web.StreamResponse:
        """The session as a file."""
        with _scratch("the session") as path:
            await asyncio.get_running_loop().run_in_executor(None, self.worker.save, path)
            content = await asyncio.get_running_loop().run_in_executor(None, path.read_bytes)
        return web.Response(body=content, content_type="application/octet-stream")

    async def _open(self, request: web.Request) -> web.StreamResponse:
        """A file of the user's as the session. Its content comes here, and no path."""
        with _scratch("the file") as path:
            await _received(request, path)
            preferred = request.query.get("model", self.models.names[0])
            opened = await asyncio.wrap_future(self.worker.open(path, preferred))
        return web.Response(body=packed(opened), content_type="application/octet-stream")


@contextmanager
def _scratch(called: str) -> Iterator[Path]:
    """Where a file lies on its way between page and session; errors speak of it as `called`. ValueError where it cannot."""
    try:
        with tempfile.TemporaryDirectory(prefix="scdm-") as folder:
            path = Path(folder) / "session.scdm"
            try:
                yield path
            except ValueError as error:
                raise ValueError(str(error).replace(str(path), called)) from error
    except ConnectionError:
        raise
    except OSError as error:
        why = error.strerror or error
        raise ValueError(
            f"{called} finds no place among temporary files ({why}): make room for it, and try again"
        ) from error


async def _received(request: web.Request, path: Path) -> None:
    """Writes what is sent to a file. HTTPRequestEntityTooLarge if it is more than a session can be, HTTPRequestTimeout if it
    stays away."""
    if (request.content_length or 0) > MOST_FILE_BYTES:
        raise web.HTTPRequestEntityTooLarge(MOST_FILE_BYTES, request.content_length or 0)
    left, loop = MOST_FILE_BYTES, asyncio.get_running_loop()
    end = loop.time() + LONGEST_UPLOAD
    with path.open("wb") as file:
        while part := await _part(request, min(LATE, end - loop.time())):
            left -= len(part)
            if left < 0:
                raise web.HTTPRequestEntityTooLarge(MOST_FILE_BYTES, MOST_FILE_BYTES - left)
            file.write(part)


async def _part(request: web.Request, seconds: float) -> bytes:
    """What comes next, empty at the end. (`asyncio.wait_for` would read in a task, whose errors nobody sees if the page
    leaves.)"""
    late = asyncio.get_running_loop().call_later(seconds, request.content.set_exception, web.HTTPRequestTimeout())
    try:
        return await request.content.read(2**20)
    finally:
        late.cancel()


def _number(head: dict[str, Any]) -> int:
    number = head.get("number", 0)
    return number if isinstance(number, int) and not isinstance(number, bool) else 0


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[Message], None], message: Message) -> None:
    """On the loop's thread; where the loop has ended, nobody listens any more."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(call, message)


def _file(path: Path) -> Handler:
    kind = pages.TYPES[path.suffix]

    async def answer(_: web.Request) -> web.Response:
        return web.Response(
            body=path.read_bytes(), content_type=kind, charset="utf-8" if kind.startswith("text/") else None
        )

    return answer


# Who may ask


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Only pages of this server are answered: others that the browser has open could ask it, too, under a name of their own
    that leads here, or from their own address."""
    hosts = _hosts(request)
    origin, changes = request.headers.get("Origin"), request.method != "GET" or request.path == "/socket"
    known = origin in [f"http://{host}" for host in hosts] or (origin is None and not changes)
    if request.headers.get("Host") not in hosts or not known:
        return _answered(web.json_response({"words": "this page is not served to others"}, status=403), hosts)
    try:
        response = await handler(request)
    except web.HTTPRequestEntityTooLarge:
        response = _refusal(f"the file has more than {MOST_FILE_BYTES // 2**30} GB: no session is so large", 413)
    except web.HTTPRequestTimeout:
        response = _refusal("the file did not arrive in time: try again", 408)
        response.force_close()  # whoever sends the rest later is not waited for
    except web.HTTPException as error:
        response = _refusal(f"{error.reason}: reload the page", error.status)
    except (ConnectionError, web.RequestPayloadError):
        response = _refusal("the file did not arrive whole: try again", 400)
    except Exception as error:
        response = _refusal(words_of(error), 400)
    return response if response.prepared else _answered(response, hosts)


def _refusal(words: str, status: int) -> web.Response:
    return web.json_response({"words": words}, status=status)


def _hosts(request: web.Request) -> list[str]:
    """The names of this server with the port that it listens on, which browsers leave out where it is the usual one."""
    name = request.transport.get_extra_info("sockname") if request.transport else None
    if not name:
        return []
    return [host if name[1] == USUAL_PORT else f"{host}:{name[1]}" for host in NAMES]


def _answered(response: web.StreamResponse, hosts: list[str]) -> web.StreamResponse:
    sockets = " ".join(f"ws://{host}" for host in hosts)
    response.headers.update(
        {
            "Content-Security-Policy": POLICY.format(sockets=sockets),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-store",
        }
    )
    return response


async def serve(server: Server, port: int, ready: Callable[[str], None]) -> None:
    """Serves until it is cancelled. `ready` is given the address.

    ValueError if the port is taken.
    """
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        try:
            await site.start()
        except OSError as error:
            raise ValueError(f"port {port} cannot be had ({error.strerror}): take another, or --port 0") from error
        ready(f"http://{HOST}:{runner.addresses[0][1]}/")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
