"""The documentation: its links lead somewhere, its commands and its code work, and the README stays short."""

from __future__ import annotations

import ast
import importlib
import pydoc
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from docs import hooks
from scdm.cli.arguments import parser
from scdm.diffusion.noise import image_noise
from scdm.diffusion.schedules import NoiseSchedule
from scdm.files.config import from_dict
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette
from tests.diffusion.test_samplers import FULL, perfect, start

ROOT = Path(__file__).parents[2]
GUIDES = sorted((ROOT / "docs").glob("*.md"))
PAGES = sorted(
    page for page in hooks.linked({*GUIDES, *(ROOT / name for name in hooks.ELSEWHERE)}) if page.suffix == ".md"
)


def names(pages: list[Path]) -> list[str]:
    return [page.relative_to(ROOT).as_posix() for page in pages]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as viewers of Markdown make them."""
    text = hooks.FENCED.sub("", page.read_text(encoding="utf-8"))
    titles = [re.sub(r"[^\w\s-]", "", title.lower()).strip() for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    return {"#" + re.sub(r"\s", "-", title) for title in titles}


def test_the_readme_fits_on_a_few_screens() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120 and max(map(len, lines)) <= 120


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    for path, anchor in hooks.links(page.read_text(encoding="utf-8")):
        target = hooks.target(page, path) if path else page
        assert target.exists(), f"{path} is not there"
        assert not anchor or anchor in anchors(target), f"{path}{anchor} is not there"


def test_every_guide_is_in_the_navigation() -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))

    def files(entry: Any) -> Iterator[str]:
        for part in entry if isinstance(entry, list) else entry.values():
            yield from [part] if isinstance(part, str) else files(part)

    listed = list(files(settings["nav"]))
    assert len(set(listed)) == len(listed) and {page.name for page in GUIDES} <= set(listed)
    assert set(listed) <= {hooks.address(page) for page in PAGES}


@pytest.mark.parametrize("page", GUIDES, ids=names(GUIDES))
def test_documented_names_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"^::: (\S+)$", text, re.MULTILINE):
        assert pydoc.locate(name) is not None, name
    for name in hooks.OPTIONS.findall(text):
        hooks.option_table(name)


def commands() -> list[str]:
    lines = "\n".join(block for page in PAGES for block in blocks(page, "sh")).replace("\\\n", " ").splitlines()
    return [line for line in dict.fromkeys(lines) if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("scdm ")])
def test_documented_commands_are_understood(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scdm.cli.arguments.load_plugins", lambda names: None)  # whose files are the reader's
    parser().parse_args(shlex.split(line, comments=True)[1:])


def test_documented_scripts_and_configurations_are_there() -> None:
    found = {path for line in commands() for path in re.findall(r"(?:training|benchmarks)/[\w/.]+\.(?:py|yaml)", line)}
    assert len(found) > 10 and all((ROOT / path).is_file() for path in found)


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_examples_are_python(page: Path) -> None:
    for block in blocks(page, "python"):
        ast.parse(block)


def example(module: str, like: str = "") -> dict[str, Any]:
    """CONTRIBUTING's example for a module, run at its end; for a new module, with the names that the one `like` it has."""
    file = f"# {module.replace('.', '/')}.py\n"
    (block,) = [block for block in blocks(ROOT / "CONTRIBUTING.md", "python") if block.startswith(file)]
    namespace = dict(vars(importlib.import_module(like or module)))
    exec("from __future__ import annotations\n" + block, namespace)
    return namespace


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Any:
    """(module, name of its registry) -> a copy, which is the registry until the test ends."""

    def kept(module: str, name: str) -> dict[str, Any]:
        entries = dict(getattr(importlib.import_module(module), name))
        monkeypatch.setattr(f"{module}.{name}", entries)
        return entries

    return kept


def test_the_example_of_a_sampler_samples(registry: Any) -> None:
    samplers = registry("scdm.diffusion.samplers", "SAMPLERS")
    example("scdm.diffusion.samplers")
    steps = list(samplers["heun"](perfect(), start(2, 48), FULL.respaced("25"), image_noise([1, 2])))
    assert [step.done for step in steps] == list(range(1, 26))
    assert steps[-1].x.mean() == pytest.approx(0.3, abs=0.02) and steps[-1].x.std() == pytest.approx(0.5, abs=0.05)


def test_the_example_of_a_parametrisation_is_exact(registry: Any) -> None:
    known = registry("scdm.diffusion.parametrization", "PARAMETRIZATIONS")
    example("scdm.diffusion.parametrization")
    added, schedule, index = known["x0_min_snr"], NoiseSchedule.named("linear"), torch.tensor([0, 500])
    image, noise = start(2, 4), start(2, 4, seed=1)
    x = schedule.add_noise(image, index, noise)
    assert torch.equal(added.to_x0(schedule, x, index, added.target(schedule, image, index, noise)), image)
    assert added.loss_weight(schedule, index)[0] == 5 and added.loss_weight(schedule, index)[1] < 1


def test_the_example_of_a_corruption_corrupts(registry: Any) -> None:
    registry("scdm.diffusion.corruption", "CORRUPTIONS")
    corrupt = example("scdm.diffusion.corruption")["corrupt"]
    labels = LabelMap(torch.zeros(2, 60, 50, dtype=torch.int64), 3)
    removed = corrupt(labels, "cells", seed=7, share=0.5).unpainted
    assert 0.3 < removed.float().mean() < 0.7 and not torch.equal(removed[0], removed[1])
    assert (removed[:, :8, :8] == removed[:, :1, :1]).all()


def test_the_example_of_a_data_set_is_listed(registry: Any) -> None:
    known = registry("scdm.datasets.in_folders", "DATASETS")
    example("scdm.datasets.in_folders")
    assert known["vistas"].needs == ("root",)
    (table,) = blocks(ROOT / "CONTRIBUTING.md", "json")
    assert Palette.from_dict(yaml.safe_load(table)).names[:2] == ("road", "sky")


def test_what_declares_no_options_has_no_table() -> None:
    assert hooks.option_table("pathlib.Path.exists") == ""
    with pytest.raises(ValueError, match="there is no"):
        hooks.option_table("scdm.no_such_thing")


def test_links_between_parts_of_the_repository_are_links_of_the_site() -> None:
    page = ROOT / "benchmarks" / "few_steps" / "README.md"
    moved = hooks.relinked("[a](../../docs/krita.md#colours) ![b](few_steps.png) [c](https://x.org/y.md)\n", page)
    assert moved == "[a](../../krita.md#colours) ![b](few_steps.png) [c](https://x.org/y.md)\n"
    kept = "[a folder](../../docs) [here](#there)\n```python\nx[a](b.md)\n```\n"
    assert hooks.relinked(kept, page) == kept.replace("[a folder](../../docs)", "a folder")


def test_docstrings_list_what_they_define() -> None:
    pytest.importorskip("griffe", reason="griffe comes with the extra docs")
    from docs import docstrings

    made = docstrings.items(
        "A thing.\n\nwidth, height: in\n    pixels.\nmode: a word\nValueError: if not.\nNote that: no."
    )
    assert made == (
        "A thing.\n\n\n* **width, height**: in\n    pixels.\n* **mode**: a word\n\nValueError: if not.\nNote that: no."
    )


def test_the_example_of_a_network_predicts(registry: Any) -> None:
    known = registry("scdm.networks.registry", "NETWORKS")
    networks = importlib.import_module("scdm.networks.registry")
    plain = example("scdm.networks.plain", like="scdm.networks.unet")
    known["plain"] = networks.Kind(plain["PlainConfig"], plain["Plain"])
    config = from_dict(networks.NetworkConfig, {"kind": "plain", "num_classes": 3, "width": 8})
    with pytest.raises(ValueError, match="width must be"):
        from_dict(networks.NetworkConfig, {"kind": "plain", "num_classes": 3, "width": 0})
    network = networks.build(config)
    labels = LabelMap(torch.zeros(2, 6, 5, dtype=torch.int64), 3)
    x, t = torch.zeros(2, 3, 6, 5), torch.tensor([0, 999])
    assert network(x, t, labels).shape == x.shape and not torch.equal(network(x, t, labels), network(x, t, None))
