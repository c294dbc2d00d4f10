"""The pack in a real ComfyUI server, through its HTTP interface alone, as the web front end and Krita use it."""

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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scdm.palette import Palette, read_layout

ROOT = Path(__file__).parents[2]
PATIENCE = 600  # seconds, for a machine with much else to do
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")

Json = dict[str, Any]


class Server:
    """ComfyUI with this pack and nothing else, in a folder of its own."""

    def __init__(self, checkout: str, python: str, base: Path):
        for folder in ("custom_nodes", "models", "input", "output", "temp", "user"):
            (base / folder).mkdir()
        (base / "custom_nodes" / "scdm").symlink_to(ROOT)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = base / "log"
        command = [python, str(Path(checkout) / "main.py"), "--cpu", "--port", str(port), "--base-directory", str(base)]
        command += ["--database-url", "sqlite:///:memory:", "--disable-auto-launch", "--disable-api-nodes"]
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

    def request(self, path: str, data: Json | None = None) -> bytes:
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
        """The images (H, W, 3), uint8, that the prompt saves."""
        outcome = self.outcome(self.queue(prompt))
        assert outcome["status"]["status_str"] == "success", outcome["status"]
        saved = [
            image for output in outcome["outputs"].values() for image in output["images"] if image["type"] == "output"
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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    checkout, python = os.environ.get("COMFYUI_DIR"), os.environ.get("COMFYUI_PYTHON")
    if not checkout or not python:
        pytest.skip("COMFYUI_DIR and COMFYUI_PYTHON do not name a ComfyUI checkout and the Python that runs it")
    server = Server(checkout, python, tmp_path_factory.mktemp("comfyui"))
    yield server
    server.stop()


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
                if kind in WIDGETS or isinstance(kind, list):
                    inputs[name] = next(values)
                    if options and options[0].get("control_after_generate"):
                        next(values)
        inputs |= {socket["name"]: sources[socket["link"]] for socket in node["inputs"] if socket["link"] is not None}
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


@pytest.fixture
def prompt(server: Server) -> Json:
    """The template "layout_to_image", ready to be queued."""
    graph = json.loads((ROOT / "workflows" / "layout_to_image.json").read_text(encoding="utf-8"))
    return to_api(graph, server.get("/object_info"))


def inputs(prompt: Json, class_type: str) -> Json:
    (node,) = [node for node in prompt.values() if node["class_type"] == class_type]
    return node["inputs"]


def test_the_pack_loads_quickly_and_in_silence(server: Server) -> None:
    log = server.log.read_text()
    assert "Traceback" not in log and "IMPORT FAILED" not in log and "comfy_entrypoint" not in log
    nodes = {"SCDM_LoadModel", "SCDM_LoadLayout", "SCDM_Generate"}
    assert nodes <= server.get("/object_info").keys()
    for node in nodes:
        assert server.request(f"/extensions/scdm/docs/{node}.md").startswith(b"# ")
    assert server.get("/workflow_templates")["scdm"] == ["layout_to_image"]


def test_the_template_makes_images_that_follow_the_layout(server: Server, prompt: Json) -> None:
    inputs(prompt, "SCDM_Generate").update(steps=10, sampler="dpmpp_2m", batch_size=4)
    images = server.run(prompt)
    assert len(images) == 4
    palette = Palette.named("scenes")
    layout = read_layout(ROOT / "scdm" / "assets" / "examples" / "landscape.png", palette).resized(*images[0].shape[:2])
    ids = layout.ids[0].numpy()
    mean = {name: np.stack(images)[:, ids == i].mean(axis=(0, 1)) for i, name in enumerate(palette.names)}
    assert mean["sky"].mean() > mean["tree"].mean() + 30, "the sky is brighter than trees"
    greenness = {name: mean[name][1] - mean[name][2] for name in ("grass", "water", "sky")}
    assert greenness["grass"] > max(greenness["water"], greenness["sky"]) + 15, "grass is greener than water and sky"


def test_a_wrong_palette_is_named(server: Server, prompt: Json) -> None:
    inputs(prompt, "SCDM_LoadLayout").update(palette="cityscapes")
    assert "no pixel has a colour of palette cityscapes" in server.failure(prompt)
    inputs(prompt, "SCDM_LoadLayout").update(palette="ade20k", tolerance=442)
    assert "the layout has the 151 classes of palette ade20k, the model those of scenes" in server.failure(prompt)


def test_unknown_files_are_refused_before_anything_runs(server: Server, prompt: Json) -> None:
    inputs(prompt, "SCDM_LoadLayout").update(image="../log")
    assert "outside the folder input" in server.refusal(prompt)
    inputs(prompt, "SCDM_LoadModel").update(model="gone.safetensors")
    assert "there is no model 'gone.safetensors'" in server.refusal(prompt)


def test_an_interrupted_server_goes_on(server: Server, prompt: Json) -> None:
    inputs(prompt, "SCDM_Generate").update(steps=1000)
    running = server.queue(prompt)
    server.wait_until(lambda: server.get("/queue")["queue_running"], "start of a prompt")
    time.sleep(3)  # into the sampling
    server.request("/interrupt", {"prompt_id": running})
    assert "execution_interrupted" in dict(server.outcome(running)["status"]["messages"])
    inputs(prompt, "SCDM_Generate").update(steps=2)
    assert len(server.run(prompt)) == 1


def test_a_model_sent_away_comes_back(server: Server, prompt: Json) -> None:
    inputs(prompt, "SCDM_Generate").update(steps=2, seed=1)
    before = server.run(prompt)
    server.request("/free", {"unload_models": True})
    inputs(prompt, "SCDM_Generate").update(seed=2)
    assert not np.array_equal(server.run(prompt), before)
    inputs(prompt, "SCDM_Generate").update(seed=1)
    inputs(prompt, "SaveImage").update(filename_prefix="again")
    assert np.array_equal(server.run(prompt), before)
