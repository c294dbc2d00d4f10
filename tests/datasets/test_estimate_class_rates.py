"""training/estimate_class_rates.py: measured once, continued where it stopped, written where it is needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors import SafetensorError

from scdm.layouts.palette import Palette
from scdm.models import checkpoint
from scdm.models.model import Model, ModelConfig
from scdm.networks import UNetConfig
from tests.datasets import trees
from tests.datasets.test_check_data import run_config
from training import estimate_class_rates
from training.estimate_class_rates import with_rates

RATES = (0.5, 1234.5678, 0.0)
AS_TEXT = [0.5, 1234.57, 0]
NETWORK = UNetConfig(3, channels=32, channel_mult=(1, 1), res_blocks=1, attention=(), head_channels=None, hidden=8)


def run(root: Path, *more: str) -> int:
    return estimate_class_rates.main(["--config", run_config(root), *more])


def tree(root: Path) -> None:
    """Four images: class 0 is everywhere, class 1 covers half of two of them, class 2 is nowhere."""
    for index in range(4):
        label = trees.random_label(0, 1)
        label[: trees.SIZE[0] // 2] = index % 2
        trees.write(root, "folder", label, name=str(index))


def test_rates_go_into_the_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree(tmp_path)
    assert run(tmp_path) == 0
    rates = yaml.safe_load((tmp_path / "run.yaml").read_text())["label_diffusion"]["rates"]
    assert rates == pytest.approx([1 / 0.75, 1 / 0.5, 0.5], rel=1e-4)
    header, sky, *_ = capsys.readouterr().out.splitlines()
    assert header.split() == ["class", "of", "pixels", "of", "images", "rate"]
    assert sky.split() == ["sky", "75.0000%", "100.00%", "1.333"]


def test_settings_of_the_rates_count_nothing_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree(tmp_path)
    assert run(tmp_path) == 0
    for file in (tmp_path / "train" / "labels").iterdir():
        file.write_bytes(b"nothing")
    assert run(tmp_path, "--coverage", "all", "--scale", "3", "--temperature", "2") == 0
    rates = yaml.safe_load((tmp_path / "run.yaml").read_text())["label_diffusion"]["rates"]
    assert rates == pytest.approx([3 * (1 / 0.75) ** 0.5, 3 * (1 / 0.25) ** 0.5, 0.5], rel=1e-4)
    assert run(tmp_path, "--temperature", "0") == 2
    assert "temperature must be a number above 0 to 100, not 0" in capsys.readouterr().err


@pytest.mark.parametrize("workers", [0, 2])
def test_an_interrupted_count_goes_on(workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path)
    monkeypatch.setattr(estimate_class_rates, "SAVE_EVERY", 2)
    state = tmp_path / "run" / "class_statistics.json"
    settings = ["--set", f"data.workers={workers}"]
    assert run(tmp_path, *settings) == 0
    whole = state.read_text()

    state.unlink()
    real, done = estimate_class_rates.save, []

    def interrupted(*arguments) -> None:
        real(*arguments)
        done.append(json.loads(state.read_text())["read"])
        if len(done) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(estimate_class_rates, "save", interrupted)
    assert run(tmp_path, *settings) == 130
    assert run(tmp_path, *settings) == 0
    assert done == [2, 4] and state.read_text() == whole


def test_a_broken_map_is_named_and_left_out(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tree(tmp_path)
    (tmp_path / "train" / "labels" / "3.png").write_bytes(b"nothing")
    assert run(tmp_path, "--dry-run") == 0
    assert not list(tmp_path.rglob("class_statistics.json"))
    out, err = capfd.readouterr()
    assert "left out" in err and "3.png" in err
    assert "sky   83.3333%" in out
    assert "label_diffusion" not in (tmp_path / "run.yaml").read_text()


def test_counts_of_other_data_are_not_continued(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree(tmp_path)
    assert run(tmp_path) == 0
    trees.write(tmp_path, "folder", trees.random_label(0), name="more")
    assert run(tmp_path) == 2
    assert (
        "class_statistics.json was made with other settings: images 4 instead of 5. Remove it"
        in capsys.readouterr().err
    )


def test_rates_go_into_a_model_whose_weights_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree(tmp_path)
    palette = Palette.from_file(trees.folder_config(tmp_path).classes or "")
    config = ModelConfig(NETWORK, (16, 16), class_rates=(1.0, 1.0, 1.0))
    file = tmp_path / "model.safetensors"
    checkpoint.save(file, Model.new(config, palette, steps=3), torch.float16)
    before = checkpoint.load(file)
    size = file.stat().st_size
    assert run(tmp_path, "--model", str(file)) == 0
    after = checkpoint.load(file)
    assert after.config.class_rates == pytest.approx((1 / 0.75, 2, 0.5), rel=1e-3)
    assert after.provenance == {"steps": 3, "class_rates": "measured on 4 layouts of three"}
    assert abs(file.stat().st_size - size) < 500  # still half precision
    for name, weight in before.network.state_dict().items():
        assert torch.equal(weight, after.network.state_dict()[name])


def test_a_full_disk_changes_neither_the_model_nor_the_configuration(tmp_path: Path, capsys, monkeypatch) -> None:
    tree(tmp_path)
    palette = Palette.from_file(trees.folder_config(tmp_path).classes or "")
    file = tmp_path / "model.safetensors"
    checkpoint.save(file, Model.new(ModelConfig(NETWORK, (16, 16), class_rates=(1.0, 1.0, 1.0)), palette))
    before = file.read_bytes(), Path(run_config(tmp_path)).read_bytes()

    def full(*arguments: object, **settings: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", full)
    assert run(tmp_path, "--model", str(file)) == 2
    err = capsys.readouterr().err
    assert "No space left on device" in err and "model.safetensors" in err
    assert (file.read_bytes(), (tmp_path / "run.yaml").read_bytes()) == before
    assert not list(tmp_path.glob(".scdm-*"))


def test_models_without_class_rates_are_refused_before_anything_is_read(tmp_path: Path, capsys) -> None:
    tree(tmp_path)
    palette = Palette.from_file(trees.folder_config(tmp_path).classes or "")
    file = tmp_path / "model.safetensors"
    checkpoint.save(file, Model.new(ModelConfig(NETWORK, (16, 16), label_diffusion="uniform"), palette))
    before = Path(run_config(tmp_path)).read_text()
    for more, complaint in (
        (["--model", str(file)], "trained with uniform label diffusion"),
        (["--model", str(tmp_path / "absent")], "absent: there is no such file"),
        (["--model", "scenes"], "there is no such file"),
        (["--set", "label_diffusion.kind=uniform"], "label_diffusion.kind is uniform"),
    ):
        assert run(tmp_path, *more) == 2
        assert complaint in capsys.readouterr().err
    assert (tmp_path / "run.yaml").read_text() == before and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b"\xff",
        b'{"images": 4, "coverage": [1, 2], "present": [1, 2], "read": 4, "of": {}}',
        b'{"images": 4, "coverage": ["a", "b", "c"], "present": [1, 2, 3], "read": 4, "of": {}}',
        b'{"images": "4", "coverage": [1, 2, 3], "present": [1, 2, 3], "read": 4, "of": {}}',
        b'{"images": 4, "coverage": [NaN, 2, 3], "present": [1, 2, 3], "read": 1e999, "of": {}}',
        b"[" * 10**5,
    ],
)
def test_damaged_counts_are_named(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "class_statistics.json").write_bytes(content)
    assert run(tmp_path) == 2
    assert "class_statistics.json is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "run: a\n",
        "run: a # one\n# two\nlabel_diffusion: {kind: classwise, rates: scenes} # three\nbatch: 4\n",
        "run: a\nlabel_diffusion: {}\nbatch: 4\n",
        "run: a\nlabel_diffusion: {kind: classwise} # one\n",
        "label_diffusion:\n  kind: classwise # one\n# two\nrun: a\n",
        "label_diffusion:\n    # one\n    rates: [1, 2,\n      3] # two\n    kind: classwise\nrun: a\n",
        "label_diffusion:\n  kind: classwise\n  rates:\n  - 1\n  - 2\n# one\nrun: a\n",
    ],
)
def test_the_rest_of_a_configuration_stays_as_it_is(text: str) -> None:
    long = RATES * 30
    for rates, numbers in ((RATES, AS_TEXT), (long, AS_TEXT * 30)):
        changed = with_rates(text, rates)
        data = yaml.safe_load(changed)
        assert data.pop("label_diffusion") in ({"kind": "classwise", "rates": numbers}, {"rates": numbers})
        expected = yaml.safe_load(text)
        expected.pop("label_diffusion", None)
        assert data == expected
        assert all(f"# {word}" in changed for word in ("one", "two", "three") if f"# {word}" in text)
        assert max(map(len, changed.splitlines())) <= 125


def test_a_model_without_class_wise_diffusion_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="kind is uniform"):
        with_rates("label_diffusion: {kind: uniform}\n", RATES)
    path = tmp_path / "odd.yaml"
    odd = "x: &x {kind: classwise}\nlabel_diffusion: *x\n"
    path.write_text(odd)
    with pytest.raises(ValueError, match=r"by hand, to \[0.5, 1234.57, 0\]"):
        estimate_class_rates.write_config(path, RATES)
    assert path.read_text() == odd
