"""A ComfyUI server for tests, driven through its HTTP interface alone, as the web front end and Krita do."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
PATIENCE = 600  # seconds, for a machine with much else to do

WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "SCDM_PAINTING")
# That the front end in a browser can be driven.
READY = "window.app?.graph && window.LiteGraph && app.extensionManager?.workflow?.activeWorkflow"

Json = dict[str, Any]


def serving(base: Path, packs: Sequence[Path] = ()) -> Iterator[Server]:
    """A server while a fixture lasts; the tests are skipped where there is no ComfyUI."""
    checkout, python = os.environ.get("COMFYUI_DIR"), os.environ.get("COMFYUI_PYTHON")
    if not checkout or not python:
        pytest.skip("COMFYUI_DIR and COMFYUI_PYTHON do not name a ComfyUI checkout and the Python that runs it")
    server = Server(checkout, python, base, packs)
    yield server
    server.stop()


class Server:
    """ComfyUI with this pack, and others if given, in a folder of its own."""

    def __init__(self, checkout: str, python: str, base: Path, packs: Sequence[Path] = ()):
        for folder in ("custom_nodes", "models", "input", "output", "temp", "user"):
            (base / folder).mkdir()
        for name, pack in [("scdm", ROOT), *((pack.name, pack) for pack in packs)]:
            (base / "custom_nodes" / name).symlink_to(pack)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.base, self.log = base, base / "log"
        command = [python, str(Path(checkout) / "main.py"), "--cpu", "--port", str(port), "--base-directory", str(base)]
        command += ["--database-url", "sqlite:///:memory:", "--disable-auto-launch", "--disable-api-nodes"]
        if front_end := os.environ.get("COMFYUI_FRONT_END"):  # another than its own: the folder that holds index.html
            command += ["--front-end-root", front_end]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=base, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.wait_until(self.answers, "start")

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            self.get("/system_stats")
        except OSError:
            return False
        return True

    def wait_until(self, happened: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + PATIENCE
        while not (result := happened()):
            assert time.monotonic() < deadline, f"no {what} within {PATIENCE} s:\n{self.log.read_text()}"
            time.sleep(0.2)
        return result

    def request(self, path: str, data: Any = None) -> bytes:
        body = None if data is None else json.dumps(data).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, body), timeout=PATIENCE) as response:
            return response.read()

    def get(self, path: str) -> Json:
        return json.loads(self.request(path))

    def queue(self, prompt: Json) -> str:
        return json.loads(self.request("/prompt", {"prompt": prompt}))["prompt_id"]

    def refusal(self, prompt: Json) -> str:
        """What ComfyUI says of a prompt that it does not accept."""
        with pytest.raises(urllib.error.HTTPError) as refused:
            self.queue(prompt)
        return refused.value.read().decode()

    def outcome(self, prompt_id: str) -> Json:
        """The history entry of a prompt, once it has ended."""
        return self.wait_until(lambda: self.get(f"/history/{prompt_id}").get(prompt_id), "end of a prompt")

    def run(self, prompt: Json) -> list[np.ndarray]:
        """The images (H, W, 3), uint8, that the prompt saves, in the order of its nodes."""
        outcome = self.outcome(self.queue(prompt))
        assert outcome["status"]["status_str"] == "success", outcome["status"]
        outputs = outcome["outputs"]
        saved = [
            image
            for node in sorted(outputs, key=int)
            for image in outputs[node].get("images", [])
            if image["type"] == "output"
        ]
        files = [self.request("/view?" + urllib.parse.urlencode(image)) for image in saved]
        return [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]

    def failure(self, prompt: Json) -> str:
        """The message of the node that fails."""
        messages = dict(self.outcome(self.queue(prompt))["status"]["messages"])
        return messages["execution_error"]["exception_message"]

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


def template(name: str, info: Json) -> Json:
    """One of the pack's templates, ready to be queued; `info` is what the server knows of its nodes."""
    return to_api(json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8")), info)


def to_api(graph: Json, info: Json) -> Json:
    """What the front end makes of a saved graph when it queues it: inputs by name, without notes."""
    sources = {link[0]: [str(link[1]), link[2]] for link in graph["links"]}
    prompt = {}
    for node in graph["nodes"]:
        if node["type"] not in info:
            continue
        values = iter(node["widgets_values"])
        inputs = {}
        for section in ("required", "optional"):
            for name, (kind, *options) in info[node["type"]]["input"].get(section, {}).items():
                kind = options[0].get("widgetType", kind) if options else kind
                if kind in WIDGETS or isinstance(kind, list):
                    value = next(values, None)  # a graph may be older than an optional widget
                    if value is None and section == "optional":
                        continue
                    inputs[name] = value
                    if options and options[0].get("control_after_generate"):
                        next(values)
        inputs |= {socket["name"]: sources[socket["link"]] for socket in node["inputs"] if socket["link"] is not None}
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def inputs(prompt: Json, class_type: str) -> Json:
    (node,) = [node for node in prompt.values() if node["class_type"] == class_type]
    return node["inputs"]
