"""What lies around the code for those who install, publish or paint: it is there, in order, and says the same everywhere."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as xml

import pytest
import yaml
from PIL import Image

from docs import krita
from scdm.layouts.palette import Palette, palette_names

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PAINTING = ROOT / "web" / "painting"
BROUGHT_BY_COMFYUI = {
    "numpy",
    "pillow",
    "safetensors",
    "pyyaml",
    "tqdm",
    "einops",
}  # by its own requirements.txt since 0.3.64


def project(folder: Path = ROOT) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_pack_leaves_the_environment_of_comfyui_alone() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    required = {line for line in lines if line and not line.startswith("#")}
    assert {re.split(r"[^\w-]", line)[0] for line in required} == BROUGHT_BY_COMFYUI
    assert required <= set(project()["project"]["dependencies"]), "with the library's bounds"


IMPORTING = """
import asyncio, importlib.util, json, sys, tempfile, time
sys.path.insert(0, sys.argv.pop(1))
from comfy.cli_args import args
args.cpu = True
import utils.install_util, execution, server, comfy.sd, comfy_api.latest  # what ComfyUI has before it loads packs
import folder_paths
empty = tempfile.TemporaryDirectory()
folder_paths.set_input_directory(empty.name)  # where examples are put
before, start = set(sys.modules), time.process_time()
spec = importlib.util.spec_from_file_location("/custom_nodes/scdm", sys.argv.pop(1))
sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
nodes = asyncio.run(module.comfy_entrypoint().get_node_list())
schemas = [node.GET_SCHEMA() for node in nodes]
seconds = time.process_time() - start
print(json.dumps([seconds, [name for name in set(sys.modules) - before if not name.startswith(spec.name)]]))
"""


def test_importing_the_pack_is_quick_silent_and_brings_no_other_package_along() -> None:
    checkout, python = os.environ.get("COMFYUI_DIR"), os.environ.get("COMFYUI_PYTHON")
    if not checkout or not python:
        pytest.skip("COMFYUI_DIR and COMFYUI_PYTHON do not name a ComfyUI checkout and the Python that runs it")
    command = [python, "-c", IMPORTING, checkout, str(ROOT / "__init__.py")]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    (line,) = done.stdout.splitlines()
    seconds, brought = json.loads(line)
    assert brought == [] and seconds < 0.3


INSTALLED = """
import json
from scdm.paint import pages
print(json.dumps({address: str(path) for address, path in pages.files().items()}))
"""


def test_an_installed_wheel_brings_the_painting_page_along(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77", reason="wheels are built with setuptools")
    pytest.importorskip("pip", reason="wheels are installed with pip")
    source, wheels, prefix = (tmp_path / name for name in ("source", "wheels", "prefix"))
    for part in ("scdm", "web"):
        unneeded = shutil.ignore_patterns("*.safetensors", "__pycache__", "docs", "painting")
        shutil.copytree(ROOT / part, source / part, ignore=unneeded)
    for part in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / part, source)
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(wheels)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    offline = ["--no-index", "--no-deps", "--no-compile", "--disable-pip-version-check", "--quiet"]
    offline += ["--ignore-installed"]  # else the one of the environment that the tests run in is uninstalled
    install = [sys.executable, "-m", "pip", "install", *offline, "--prefix", str(prefix), *map(str, wheels.iterdir())]
    before = _installed()
    subprocess.run(install, check=True, capture_output=True)
    assert _installed() == before, "the environment that the tests run in keeps its own"
    (package,) = prefix.rglob("scdm/paint/pages.py")
    environment = os.environ | {"PYTHONPATH": str(package.parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", INSTALLED], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert all(Path(path).is_relative_to(prefix) for path in found.values()), "and not those of this clone"
    for address in found.keys() - {"/"}:
        assert Path(found[address]).read_bytes() == (ROOT / "web" / address.strip("/")).read_bytes()
    here = {
        f"/{path.relative_to(ROOT / 'web').as_posix()}"
        for part in ("page", "painter")
        for path in (ROOT / "web" / part).glob("*.*")
    }
    assert found.keys() == here | {"/"}


def _installed() -> str:
    """What pip says of scdm, in a process of its own, which remembers nothing."""
    command = [sys.executable, "-m", "pip", "show", "--disable-pip-version-check", "scdm"]
    return subprocess.run(command, capture_output=True, text=True).stdout


def test_what_the_registry_is_spared_is_there() -> None:
    lines = (ROOT / ".comfyignore").read_text(encoding="utf-8").splitlines()
    spared = [line for line in lines if line and not line.startswith("#")]
    assert spared and all((ROOT / line).exists() for line in spared)


def test_the_registry_is_told_what_it_asks_for() -> None:
    """The rules of https://docs.comfy.org/registry/specifications"""
    table = project()
    assert re.fullmatch(r"\d+\.\d+\.\d+", table["project"]["version"])
    assert re.fullmatch(r"[a-z](?:[\w.-]?[a-z0-9])*", table["project"]["name"])
    assert table["tool"]["comfy"]["requires-comfyui"] == ">=0.3.64" and table["tool"]["comfy"]["DisplayName"]
    with Image.open(ROOT / table["tool"]["comfy"]["Icon"]) as icon:
        assert icon.format == "PNG" and icon.width <= 800 and icon.height <= 400


@pytest.mark.skipif(shutil.which("bash") is None, reason="publishing runs bash, which is not here")
def test_publishing_fills_in_who_and_where(tmp_path: Path) -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "publish.yml").read_text(encoding="utf-8"))
    (script,) = [step["run"] for step in workflow["jobs"]["publish"]["steps"] if "PUBLISHER" in step.get("env", {})]
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    github = {"PUBLISHER": "someone", "GITHUB_REPOSITORY": "someone/scdm", "GITHUB_SHA": "0123abc"}
    subprocess.run(["bash", "-ec", script], cwd=tmp_path, env=os.environ | github, check=True)
    before, after = project(), project(tmp_path)
    assert after["project"].pop("urls") == {"Repository": "https://github.com/someone/scdm"}
    assert after["tool"]["comfy"].pop("PublisherId") == "someone"
    icon = before["tool"]["comfy"].pop("Icon")
    assert after["tool"]["comfy"].pop("Icon") == f"https://raw.githubusercontent.com/someone/scdm/0123abc/{icon}"
    assert before["tool"]["comfy"].pop("PublisherId") == "" and after == before, "nothing else changes"


def test_painters_find_every_palette(tmp_path: Path) -> None:
    krita.hand_out(tmp_path)
    names = {name + suffix for name in palette_names() for suffix in (".gpl", ".kpl")} | {"layout.ora"}
    assert names == {file.name for file in tmp_path.iterdir()} == {file.name for file in PAINTING.iterdir()}
    for name in names:
        assert content(PAINTING / name) == content(tmp_path / name), f"{name}: run python docs/krita.py"


def content(file: Path) -> object:
    """What a file says, however well it is packed."""
    if file.suffix == ".gpl":
        return file.read_text(encoding="utf-8")
    with zipfile.ZipFile(file) as archive:
        return {name: unpacked(name, archive.read(name)) for name in archive.namelist()}


def unpacked(name: str, data: bytes) -> bytes:
    return Image.open(io.BytesIO(data)).tobytes() if name.endswith(".png") else data


def test_the_first_document_is_an_open_raster_of_one_layer_that_is_a_layout() -> None:
    """The rules of https://www.openraster.org/baseline/file-layout-spec.html"""
    file = PAINTING / "layout.ora"
    assert file.read_bytes()[30:54] == b"mimetypeimage/openraster", "first and uncompressed"
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        stack = xml.fromstring(archive.read("stack.xml"))
        (layer,) = stack.findall(
            "stack/layer"
        )  # Krita's plugin offers the lowest layer, so there must be no paper below
        assert layer.attrib["name"] == "Layout"
        pictures = [
            Image.open(io.BytesIO(archive.read(name)))
            for name in (layer.attrib["src"], "mergedimage.png", "Thumbnails/thumbnail.png")
        ]
    painted, merged, thumbnail = pictures
    assert (
        painted.size == merged.size == (int(stack.attrib["w"]), int(stack.attrib["h"])) and max(thumbnail.size) <= 256
    )
    assert painted.mode == "RGBA" and painted.tobytes() == merged.tobytes()
    labels = Palette.named("scenes").to_labels(painted, tolerance=0)
    opaque = painted.getchannel("A").tobytes().count(255)
    assert int((~labels.unpainted).sum()) == opaque < painted.width * painted.height, "classes, and a part left open"


def test_the_guide_leads_nowhere_that_is_not_there() -> None:
    guide = (ROOT / "docs" / "krita.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", guide) if not link.startswith("https://")]
    assert links and all((ROOT / "docs" / link).exists() for link in links)
