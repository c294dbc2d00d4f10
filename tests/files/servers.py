"""A server of HTTP for a folder, which sends parts of files, and fails where a test wants it to."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RESET = 0  # in place of a status: the connection is cut


class FileServer:
    """requests: (method, path, Range) of each. failures: statuses that the next requests for files get instead."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.requests: list[tuple[str, str, str | None]] = []
        self.failures: list[int] = []
        self.ranges = True
        self.lists = False
        self.sent = 0  # bytes of files
        handler = type("Handler", (_Handler,), {"files": self})
        self.server = _Server(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def parts(self) -> list[str]:
        """The ranges that were asked for."""
        return [part for _, _, part in self.requests if part]


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:  # of clients that end, with their connections
        pass


class _Handler(BaseHTTPRequestHandler):
    files: FileServer
    protocol_version = "HTTP/1.1"  # which keeps connections
    wbufsize = 2**16  # or a reply goes in two parts, and the second waits for an answer to the first

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.files.requests.append((self.command, self.path, self.headers.get("Range")))
        if self.files.failures:
            return self.fail(self.files.failures.pop(0))
        path = self.files.root / self.path.strip("/")
        if path.is_dir() and self.files.lists:
            links = "".join(f'<a href="{file.name}">{file.name}</a>' for file in path.iterdir())
            return self.answer(200, f'<a href="../">up</a>{links}'.encode(), "text/html")
        if not path.is_file():
            return self.fail(404)
        content, found = path.read_bytes(), re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not found or not self.files.ranges:
            return self.answer(200, content)
        start, last = map(int, found.groups())
        return self.answer(206, content[start : last + 1], part=f"bytes {start}-{last}/{len(content)}")

    def answer(self, status: int, content: bytes, kind: str = "application/octet-stream", part: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if part:
            self.send_header("Content-Range", part)
        self.end_headers()
        if self.command == "GET":
            self.files.sent += len(content)
            self.wfile.write(content)

    def fail(self, status: int) -> None:
        if status != RESET:
            return self.answer(status, b"no")
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
        return None


@contextmanager
def serving(root: Path) -> Iterator[FileServer]:
    files = FileServer(root)
    thread = threading.Thread(target=files.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield files
    finally:
        files.server.shutdown()
        files.server.server_close()
