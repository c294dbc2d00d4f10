"""The templates in ComfyUI's front end. Needs a Chromium (CHROMIUM) and the Python package playwright."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.nodes.server import ROOT, Server, serving

WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
FROM_ANOTHER_PACK = {"photo_to_layout": {"OneFormer-ADE20K-SemSegPreprocessor"}}
READY = "window.app?.graph && window.LiteGraph && app.extensionManager?.workflow?.activeWorkflow"
OPEN = """async ([name, text]) => await app.handleFile(new File([text], name, {type: "application/json"}))"""
OPENED = "kinds => JSON.stringify(app.graph._nodes.map(node => node.type).sort()) === kinds"
MISSING = "() => app.graph._nodes.map(node => node.type).filter(kind => !(kind in LiteGraph.registered_node_types))"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from serving(tmp_path_factory.mktemp("comfyui"))


@pytest.fixture(scope="module")
def page(server: Server) -> Iterator[Any]:
    driver = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not chromium:
        pytest.skip("CHROMIUM does not name a browser")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(server.url, wait_until="domcontentloaded")
        page.wait_for_function(READY, timeout=120_000)
        yield page
        browser.close()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_template_opens_without_missing_nodes(page: Any, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    kinds = sorted(node["type"] for node in json.loads(text)["nodes"])
    page.evaluate(OPEN, [path.name, text])
    page.wait_for_function(OPENED, arg=json.dumps(kinds, separators=(",", ":")), timeout=30_000)
    missing = set(page.evaluate(MISSING))
    assert missing == FROM_ANOTHER_PACK.get(path.stem, set())
    prompt = page.evaluate("async () => (await app.graphToPrompt()).output")
    queued = {node["class_type"] for node in prompt.values()}
    assert queued - {None} == set(kinds) - {"MarkdownNote"} - missing, "what would be run"
