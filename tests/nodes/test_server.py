"""The pack in a real ComfyUI server."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import numpy as np
import pytest

from tests.nodes.server import ROOT, Json, Server, inputs, serving, template


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from serving(tmp_path_factory.mktemp("comfyui"))


@pytest.fixture
def prompt(server: Server) -> Json:
    """The template "layout_to_image", ready to be queued."""
    return template("layout_to_image", server.get("/object_info"))


def test_the_pack_loads_quickly_and_in_silence(server: Server) -> None:
    mentions = [line.strip() for line in server.log.read_text().splitlines() if "custom_nodes/scdm" in line]
    assert len(mentions) == 1 and re.fullmatch(r"\S*\s*[\d.]+ seconds: \S+", mentions[0]), (
        "its import time, no trace of an error"
    )
    nodes = {"SCDM_LoadModel", "SCDM_LoadLayout", "SCDM_Generate"}
    assert nodes <= server.get("/object_info").keys()
    for node in nodes:
        assert server.request(f"/extensions/scdm/docs/{node}.md").startswith(b"# ")
    templates = {path.stem for path in (ROOT / "workflows").glob("*.json")}
    assert set(server.get("/workflow_templates")["scdm"]) == templates, "and none of the graphs for Krita"


def test_a_wrong_palette_is_named(server: Server, prompt: Json) -> None:
    del inputs(prompt, "SCDM_LoadLayout")["model_palette"]
    inputs(prompt, "SCDM_LoadLayout").update(palette="cityscapes")
    assert "no pixel has a colour of palette cityscapes" in server.failure(prompt)
    inputs(prompt, "SCDM_LoadLayout").update(palette="ade20k", tolerance=442)
    assert "the layout has 151 classes, the model expects 14: load the layout" in server.failure(prompt)


def test_unknown_files_are_refused_before_anything_runs(server: Server, prompt: Json) -> None:
    inputs(prompt, "SCDM_LoadLayout").update(image="../log")
    assert "in the folder input" in server.refusal(prompt)
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
    inputs(prompt, "SaveImage").update(filename_prefix="before")  # what is cached may be without outputs
    before = server.run(prompt)
    server.request("/free", {"unload_models": True})
    inputs(prompt, "SCDM_Generate").update(seed=2)
    assert not np.array_equal(server.run(prompt), before)
    inputs(prompt, "SCDM_Generate").update(seed=1)
    inputs(prompt, "SaveImage").update(filename_prefix="again")
    assert np.array_equal(server.run(prompt), before)
