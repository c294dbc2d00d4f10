"""Chromium, and `web/` served to it as strictly as `scdm paint` does: for tests and measurements of pages."""

from __future__ import annotations

import functools
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

WEB = Path(__file__).parents[1] / "web"
BROWSERS = (os.environ.get("CHROMIUM", "chromium"), "chromium-browser", "google-chrome")
POLICY = "default-src 'self'; img-src 'self' blob: data:"
BLANK = b"<!doctype html><html lang=en><title>Painters</title><body></body></html>"


def found() -> str | None:
    """Where a Chromium is: the one that CHROMIUM names, or another of the system."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a window. Skips the test where there is none."""
    driver = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")
    path = found()
    if path is None:
        pytest.skip("there is no Chromium here: CHROMIUM may name one")
    with driver.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def served() -> Iterator[str]:
    """The address of a blank page, beside which is what lies under web/."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Files, directory=str(WEB)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


class _Files(SimpleHTTPRequestHandler):
    def guess_type(self, path: Any) -> str:
        return {".mjs": "text/javascript", ".css": "text/css"}.get(Path(path).suffix, "application/octet-stream")

    def do_GET(self) -> None:
        if self.path not in ("/", "/favicon.ico"):
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(BLANK)

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        pass
