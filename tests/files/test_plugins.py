"""Plugins: a file or a module registers what configurations and the command line then know."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from scdm.cli import main
from scdm.datasets.registry import DATASETS
from scdm.diffusion.parametrization import WEIGHTINGS
from scdm.diffusion.samplers import SAMPLERS
from scdm.files.config import from_dict, to_dict
from scdm.files.images import write_image
from scdm.files.plugins import load_plugins
from scdm.models.checkpoint import read_header
from scdm.networks import NetworkConfig, UNet, UNetConfig
from scdm.networks.registry import NETWORKS, build, described
from scdm.training import command
from scdm.training.config import TrainConfig
from tests.training.tiny import config

PLUGIN = """
from dataclasses import dataclass
from typing import Annotated

from scdm.datasets.registry import DATASETS, Source
from scdm.diffusion.parametrization import WEIGHTINGS
from scdm.diffusion.samplers import SAMPLERS, ddim
from scdm.files.options import Option
from scdm.networks.registry import NETWORKS, Kind
from scdm.networks.unet import UNet, UNetConfig


@dataclass(frozen=True)
class NarrowConfig(UNetConfig):
    narrow: Annotated[float, Option("how narrow", ge=0)] = 1.0


class Narrow(UNet):
    pass


CALLED = []


def halved(denoise, x, schedule, noise, *, half: Annotated[float, Option("how much of it", ge=0, le=1)] = 0.5):
    CALLED.append(("halved", half))
    yield from ddim(denoise, x, schedule, noise)


NETWORKS["narrow"] = Kind(NarrowConfig, Narrow)
DATASETS["lakes"] = Source(lambda config, split: None)
SAMPLERS["halved"] = halved
WEIGHTINGS["flat"] = lambda snr, limit: CALLED.append("flat") or snr.clamp(max=1)
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "scdm_test_plugin.py"
    path.write_text(PLUGIN)
    yield path
    sys.modules.pop(path.stem, None)
    added = ((NETWORKS, "narrow"), (DATASETS, "lakes"), (SAMPLERS, "halved"), (WEIGHTINGS, "flat"))
    for registry, name in added:
        registry.pop(name, None)  # type: ignore[attr-defined]


def test_what_a_plugin_registers_is_known_to_configurations(plugin: Path) -> None:
    settings = {"run": "-", "data": {"name": "lakes"}, "network": {"kind": "narrow", "num_classes": 3, "narrow": 2}}
    with pytest.raises(ValueError, match=r"lakes|narrow"):
        from_dict(TrainConfig, settings)
    load_plugins([str(plugin), str(plugin)])  # the second time it is known
    config = from_dict(TrainConfig, {**settings, "loss": {"weighting": "flat"}})
    assert config.network.narrow == 2 and config.data.source is DATASETS["lakes"]  # type: ignore[attr-defined]


def test_the_command_line_knows_its_samplers_and_their_options(
    plugin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--plugin", str(plugin), "sample", "--help"])
    assert "halved: how much of it" in " ".join(capsys.readouterr().out.split())


def test_a_model_is_trained_and_sampled_with_what_a_plugin_registers(plugin: Path, tmp_path: Path) -> None:
    """Its network, its weight of the loss and its sampler, by the commands that a user types."""
    settings = to_dict(config(tmp_path / "run", steps=1, save_every=1))
    settings["network"] |= {"kind": "narrow", "narrow": 2.0}
    settings["loss"] |= {"weighting": "flat"}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    given = ["--config", str(tmp_path / "run.yaml"), "--plugin", str(plugin)]
    assert command.run("train", "", TrainConfig, lambda config: [config], given) == 0
    model = tmp_path / "run" / "model.safetensors"
    assert read_header(model).config.network.narrow == 2  # type: ignore[attr-defined]
    layout, image = tmp_path / "layout.png", tmp_path / "image.png"
    write_image(layout, np.zeros((16, 16), np.uint8))
    sampled = ["sample", str(layout), "-o", str(image), "--model", str(model), "--sampler", "halved", "--steps", "2"]
    assert main(["--plugin", str(plugin), *sampled, "--half", "0.25"]) == 0 and image.is_file()
    called = sys.modules[plugin.stem].CALLED
    assert called[0] == "flat" and called[-1] == ("halved", 0.25)


def test_networks_of_a_plugin_are_told_from_those_that_they_extend(plugin: Path) -> None:
    load_plugins([str(plugin)])
    narrow = NETWORKS["narrow"].config(3)
    small = {"channels": 32, "channel_mult": (1,), "attention": (), "head_channels": None}
    assert type(build(replace(narrow, **small))).__name__ == "Narrow" and type(build(UNetConfig(3, **small))) is UNet
    assert described(narrow)["kind"] == "narrow" and described(UNetConfig(3))["kind"] == "unet"
    NETWORKS["narrow"] = NETWORKS["unet"]
    with pytest.raises(ValueError, match="'unet' and 'narrow' have settings of the same class: give each"):
        build(UNetConfig(3))
    del NETWORKS["narrow"]
    assert described(narrow)["kind"] == "unet"  # the one that it extends, as there is none of its own class
    with pytest.raises(ValueError, match="no kind is registered for settings of the class NetworkConfig"):
        build(NetworkConfig())


def test_plugins_that_cannot_be_had_are_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"there is no plugin .*absent.py"):
        load_plugins([str(tmp_path / "absent.py")])
    with pytest.raises(
        ValueError, match=r"plugin 'no_such_plugin' cannot be imported: No module named .* name its file"
    ):
        load_plugins(["no_such_plugin"])
    (tmp_path / "json.py").write_text("")
    with pytest.raises(ValueError, match="has the name of another module, json: rename the file"):
        load_plugins([str(tmp_path / "json.py")])
    needy = tmp_path / "scdm_needy_plugin.py"
    needy.write_text("import no_such_package")
    with pytest.raises(ValueError, match="cannot be imported: No module named 'no_such_package'"):
        load_plugins([str(needy)])
    assert needy.stem not in sys.modules
    assert main(["--plugin", "no_such_plugin", "palette"]) == 2
    assert capsys.readouterr().err.startswith("scdm: error: plugin 'no_such_plugin' cannot be imported")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("x = 1\ndef (", r"SyntaxError \(invalid syntax\) in line 2 of .*scdm_failing_plugin\.py"),
        ("\nraise KeyError('lake')", r"KeyError \('lake'\) in line 2 of .*scdm_failing_plugin\.py"),
        ("raise ValueError('too deep')", r"ValueError \(too deep\) in line 1"),
        ("import sys; sys.exit(3)", r"SystemExit \(3\) in line 1"),
    ],
)
def test_a_plugin_whose_code_fails_is_named_with_the_line(tmp_path: Path, code: str, words: str) -> None:
    path = tmp_path / "scdm_failing_plugin.py"
    path.write_text(code)
    with pytest.raises(ValueError, match=rf"plugin .*scdm_failing_plugin\.py fails: {words}"):
        load_plugins([str(path)])
    assert path.stem not in sys.modules


@pytest.mark.parametrize("name", ["", "../mine", "my plugin", "plugins/"])
def test_what_names_no_module_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is neither a module"):
        load_plugins([name])
