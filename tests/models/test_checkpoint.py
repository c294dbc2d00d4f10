"""Model files: they say everything of themselves, are written whole, and every bad one is described."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import scdm
from scdm.files import config as configuration
from scdm.layouts.palette import Palette
from scdm.models import checkpoint
from scdm.models.model import Model, ModelConfig
from scdm.networks import UNetConfig

NETWORK = UNetConfig(
    num_classes=2, channels=32, channel_mult=(1,), res_blocks=1, attention=(), head_channels=32, hidden=4
)
CONFIG = ModelConfig(NETWORK, (8, 16), label_diffusion="classwise", class_rates=(0.25, 1e6))
PALETTE = Palette("paints", ("sky", "Möwe"), ((0, 0, 255), None), unlabelled=1, note="two")
PROVENANCE = {"data": "scenes", "steps": 20_000, "hours": 1.5, "licence": None, "parents": ["a", {"b": True}]}


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    model = Model.new(CONFIG, PALETTE, **PROVENANCE)
    for parameter in model.network.parameters():
        nn.init.normal_(parameter)
    return model


@pytest.fixture
def path(tmp_path: Path, model: Model) -> Path:
    checkpoint.save(tmp_path / "model.safetensors", model)
    return tmp_path / "model.safetensors"


def with_header(path: Path, **changes: Any) -> Path:
    """The file with other values in its header; None removes one."""
    with safe_open(path, framework="pt") as file:
        content = json.loads(file.metadata()[checkpoint.HEADER])
    content = {key: value for key, value in {**content, **changes}.items() if value is not None}
    return with_text(path, json.dumps(content))


def with_text(path: Path, header: str) -> Path:
    tensors = load_file(path)
    save_file(tensors, path, metadata={checkpoint.HEADER: header})
    return path


def test_a_model_is_loaded_as_it_was_saved(path: Path, model: Model) -> None:
    again = checkpoint.load(path)
    assert (again.config, again.palette, again.provenance) == (CONFIG, PALETTE, PROVENANCE)
    expected = model.network.state_dict()
    assert again.network.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in again.network.state_dict().items())
    assert not again.network.training and not any(p.requires_grad for p in again.network.parameters())


def test_a_moved_model_is_saved_as_well(tmp_path: Path, model: Model) -> None:
    """Its weights lie in memory in another order then."""
    expected = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    checkpoint.save(tmp_path / "moved.safetensors", model.to("cpu"))
    assert all(
        torch.equal(tensor, expected[name]) for name, tensor in load_file(tmp_path / "moved.safetensors").items()
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_halves_the_file(path: Path, model: Model, dtype: torch.dtype) -> None:
    whole = path.stat().st_size
    checkpoint.save(path, model, dtype=dtype)
    assert path.stat().st_size < 0.6 * whole
    assert all(tensor.dtype == dtype for tensor in load_file(path).values())
    for name, parameter in checkpoint.load(path).network.named_parameters():
        assert torch.equal(parameter, model.network.get_parameter(name).to(dtype).float())
    assert all(parameter.dtype == torch.float32 for parameter in model.network.parameters())


def test_the_header_is_read_without_the_weights(path: Path) -> None:
    assert checkpoint.read_header(path) == checkpoint.Header(CONFIG, PALETTE, PROVENANCE)
    with safe_open(path, framework="pt") as file:
        content = json.loads(file.metadata()["scdm"])
    assert set(content) == {"version", "config", "palette", "provenance"}
    assert content["config"]["network"]["num_classes"] == 2 and content["config"]["class_rates"] == [0.25, 1e6]
    assert content["palette"]["classes"][1] == {"id": 1, "name": "Möwe"}


def test_headers_of_u_nets_are_written_as_ever() -> None:
    text = checkpoint.Header(CONFIG, PALETTE, {}).to_json()
    network = (
        '{"num_classes": 2, "edges": false, "channels": 32, "channel_mult": [1], "res_blocks": 1, "attention": [], '
        '"head_channels": 32, "heads": 4, "heads_up": null, "qkv_order": "head_major", "scale_shift_norm": true, '
        '"resblock_updown": true, "hidden": 4, "dropout": 0.0, "learn_sigma": true}'
    )
    assert text.startswith(
        f'{{"version": 1, "config": {{"network": {network}, "size": [8, 16], "noise_schedule": "linear"'
    )
    named = text.replace('{"num_classes"', '{"kind": "unet", "num_classes"')
    assert checkpoint.Header.from_json(named).to_json() == text


def test_headers_of_files_from_before_a_setting_take_its_default(path: Path) -> None:
    config = configuration.to_dict(CONFIG)
    del config["distilled_steps"]
    assert checkpoint.load(with_header(path, config=config)).config == CONFIG


PATCHED = replace(NETWORK, patch=4, layout_width=8, head=4, sized=True, roughness=True)


def test_models_of_patches_are_saved_and_loaded(tmp_path: Path) -> None:
    config = replace(CONFIG, network=PATCHED, prediction="x0", noise_shift=0.25, window=8)
    saved = Model.new(config, PALETTE)
    checkpoint.save(tmp_path / "patched.safetensors", saved)
    again = checkpoint.load(tmp_path / "patched.safetensors")
    assert again.config == config and again.digest() == saved.digest()


@pytest.mark.parametrize(
    ("setting", "value", "complaint"),
    [
        ("patch", 8, "input_blocks.0.0.weight is (32, 48, 3, 3), expected (32, 192, 3, 3)"),
        ("patch", 1, "leave both at 0, or set patch to 2, 4 or 8"),
        ("patch", 3, "patch"),
        ("layout_width", 16, "layout_embed.weight is (8, 2, 4, 4), expected (16, 2, 4, 4)"),
        ("layout_width", 0, "the weights are not those of the network"),
        ("head", 0, "head.0.bias is (4,), expected none"),
        ("sized", False, "size_embed.0.bias is (128,), expected none"),
        ("roughness", False, "roughness_embed.0.bias is (128,), expected none"),
    ],
)
def test_patches_that_a_file_does_not_hold_are_described(
    tmp_path: Path, setting: str, value: Any, complaint: str
) -> None:
    path = tmp_path / "patched.safetensors"
    checkpoint.save(path, Model.new(replace(CONFIG, size=(8, 16), network=PATCHED), PALETTE))
    config = configuration.to_dict(replace(CONFIG, size=(8, 16), network=PATCHED))
    with_header(path, config={**config, "network": {**config["network"], setting: value}})
    with pytest.raises(ValueError) as refused:
        checkpoint.load(path)
    assert str(path) in str(refused.value) and complaint in str(refused.value)


@pytest.mark.parametrize(
    ("setting", "value"), [("patch", 4), ("sized", True), ("roughness", True), ("conditioning", "concat")]
)
def test_files_of_pixels_are_not_read_as_patches(path: Path, setting: str, value: Any) -> None:
    config = configuration.to_dict(CONFIG)
    with_header(path, config={**config, "network": {**config["network"], setting: value}})
    with pytest.raises(ValueError, match="the weights are not those of the network that the file describes"):
        checkpoint.load(path)


def test_a_save_that_fails_leaves_the_old_file(path: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_full(tensors: Any, beside: Path, metadata: Any) -> None:
        beside.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr(checkpoint, "save_file", disk_full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(path, model)
    monkeypatch.undo()
    with pytest.raises(TypeError):
        checkpoint.save(path, replace(model, provenance={"path": path}))  # not JSON
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_is_an_error_that_names_the_file(path: Path, model: Model) -> None:
    resource = pytest.importorskip("resource", reason="disks are filled as Unix lets one")
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=rf"File too large: '{path}'"):
            checkpoint.save(path, model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(("value", "dtype"), [(70000.0, torch.float16), (float("inf"), None), (float("nan"), None)])
def test_what_could_not_be_loaded_is_not_saved(
    path: Path, model: Model, value: float, dtype: torch.dtype | None
) -> None:
    before = path.read_bytes()
    model.network.get_parameter("out.2.bias").data[1] = value
    with pytest.raises(ValueError, match=r"not written: out\.2\.bias is NaN or infinite in float"):
        checkpoint.save(path, model, dtype)
    assert path.read_bytes() == before


def test_a_save_needs_its_folder(tmp_path: Path, model: Model) -> None:
    with pytest.raises(ValueError, match="no folder"):
        checkpoint.save(tmp_path / "nowhere" / "model.safetensors", model)


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.01, 0.5, 0.999])
def test_truncated_files_are_incomplete(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    for read in (checkpoint.load, checkpoint.read_header):
        with pytest.raises(ValueError, match="incomplete") as caught:
            read(path)
        assert str(path) in str(caught.value)
    assert not checkpoint.is_model(path)


@pytest.mark.parametrize(
    "content",
    [
        b"<html></html>",
        (2**63).to_bytes(8, "little") + b"{}",  # claims a header larger than any memory
        (4).to_bytes(8, "little") + b"\xff\xfe\xfd\xfc",
        (74).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4000000]}}',
    ],
)
def test_other_files_are_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a safetensors file or checkpoint, or incomplete"):
        checkpoint.load(path)
    assert not checkpoint.is_model(path)


def test_absent_files_and_folders_are_no_model(tmp_path: Path) -> None:
    for path, complaint in ((tmp_path, "is a folder"), (tmp_path / "model.safetensors", "there is no such file")):
        with pytest.raises(ValueError, match=complaint):
            checkpoint.load(path)
        assert not checkpoint.is_model(path)


def test_checkpoints_of_other_programs_are_pointed_to_conversion(path: Path) -> None:
    assert checkpoint.is_model(path)
    for metadata in (None, {"format": "pt"}):
        save_file({"weight": torch.zeros(3)}, path, metadata=metadata)
        with pytest.raises(ValueError, match=r"another program.*scdm convert"):
            checkpoint.load(path)
        assert not checkpoint.is_model(path)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"version": 2}, "format version is 2, this program reads 1: update"),
        ({"version": 2, "sampler": {}}, "format version is 2"),  # whatever else a later version holds
        ({"version": "1"}, "format version is '1'"),
        ({"colour": "blue"}, "colour: known are version|provenance is missing"),
        ({"provenance": None}, "colour: known are version|provenance is missing"),
        ({"config": 5}, "config must be a section, not 5"),
        ({"provenance": []}, "provenance must be a section"),
        ({"palette": []}, "a class table is a mapping"),
        ({"palette": {"classes": [{"name": "sky"}]}}, "palette has 1 classes, its network expects 2"),
    ],
)
def test_wrong_headers_are_described(path: Path, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        checkpoint.load(with_header(path, **changes))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        ("{", "not valid JSON"),
        ("[]", "must be a mapping"),
        ("null", "must be a mapping"),
        ("[" * 100_000, "not valid JSON"),
        pytest.param(json.dumps(["x"] * 10**6), r"must be a mapping, not \['x', 'x'", id="long"),
    ],
)
def test_headers_that_are_not_ours_are_described(path: Path, header: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        checkpoint.load(with_text(path, header))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("setting", "value", "complaint"),
    [
        ("network.chanels", 32, r"unknown setting config\.network\.chanels: did you mean 'config.network.channels'"),
        ("network.channels", "wide", r"config\.network\.channels must be a whole number"),
        ("network.channels", 64, "weights are not those of the network that the file describes"),
        ("network.channels", 1e400, r"config\.network\.channels must be a whole number"),
        ("network.channels", 10**9, "channels must be a whole number from 1 to"),
        ("network.num_classes", 10**15, "num_classes must be a whole number from 1 to"),
        ("network.hidden", 10**15, "hidden must be a whole number from 1 to"),
        ("network.res_blocks", 10**9, "res_blocks must be a whole number from 1 to"),
        ("network.channel_mult", [1] * 10**4, "channel_mult must hold 1 to 8"),
        ("network.channel_mult", [float("inf")], "channel_mult must be several numbers above 0"),
        ("network.head_channels", 0, "head_channels must be a whole number from 1"),
        ("network.learn_sigma", False, r"out\.2\.weight is \(6, 32, 3, 3\), expected \(3, 32, 3, 3\)"),
        ("size", [10**9, 8], "size must be 2 numbers from 1 to 8192"),
        ("steps", 10**12, "steps must be a whole number from 1 to 100000"),
        ("steps", 10, "at least 21 steps, not 10"),
        ("network.attention", {"x" * 10**6: 1}, "must be a list, not {'xxx"),
        ("network.channel_mult", [1] * 10**5, "channel_mult must hold 1 to 8"),
        ("class_rates", [1.0], "1 class rates for 2 classes"),
        ("class_rates", [1.0, float("nan")], "must be a number, not nan"),
        ("prediction", "u", "must be eps, v, x0 or flow"),
        (
            "distilled_steps",
            "trailing0",
            "cannot be distilled to the steps 'trailing0': cannot take 0 steps of a section",
        ),
        ("distilled_guidance", 0.5, "distilled_guidance must be a number from 1 to 100"),
    ],
)
def test_wrong_and_absurd_settings_are_described(path: Path, setting: str, value: Any, complaint: str) -> None:
    """Before any memory is taken: none of these would fit."""
    config = configuration.to_dict(CONFIG)
    *sections, key = setting.split(".")
    section = config
    for name in sections:
        section = section[name]
    section[key] = value
    with pytest.raises(ValueError, match=complaint) as caught:
        checkpoint.load(with_header(path, config=config))
    assert str(path) in str(caught.value) and len(str(caught.value)) < 1000


def test_the_largest_network_that_a_header_may_ask_for_takes_no_memory(path: Path) -> None:
    largest = UNetConfig(
        num_classes=2, channels=8192, channel_mult=(2,) * 8, res_blocks=8, attention=(1, 2, 4), hidden=8192
    )
    config = configuration.to_dict(replace(CONFIG, network=largest, size=(512, 512)))
    with pytest.raises(ValueError, match=r"expected \(32768, 8192\); .* and \d+ more"):
        checkpoint.load(with_header(path, config=config))


def test_missing_and_foreign_tensors_are_named(path: Path, model: Model) -> None:
    def rewrite(tensors: dict[str, torch.Tensor]) -> None:
        with safe_open(path, "pt") as file:
            header = file.metadata()
        save_file(tensors, path, metadata=header)

    weights = model.network.state_dict()
    bias = weights.pop("out.2.bias")
    rewrite(weights)
    with pytest.raises(ValueError, match=r"out\.2\.bias is missing, expected \(6,\)"):
        checkpoint.load(path)
    rewrite({**weights, "out.2.bias": bias, "extra": bias.clone()})
    with pytest.raises(ValueError, match=r"extra is \(6,\), expected none"):
        checkpoint.load(path)
    rewrite({**weights, "out.2.bias": bias, "x\x1b" * 10**5: bias.clone()})
    with pytest.raises(ValueError, match=r"x\\u001bx") as caught:
        checkpoint.load(path)
    assert len(str(caught.value)) < 1000


def test_a_model_does_not_hang_on_its_file(path: Path, model: Model) -> None:
    """Copying another file over it would else change the weights, or end the process."""
    loaded = checkpoint.load(path)
    with path.open("r+b") as file:
        file.truncate(100)
    for own, read in zip(model.network.parameters(), loaded.network.parameters(), strict=True):
        assert torch.equal(own, read)


def test_a_model_at_an_address_is_loaded_with_the_checks_of_a_file(path: Path, model: Model) -> None:
    fsspec = pytest.importorskip("fsspec", reason="addresses need the extra 'remote'")
    memory = fsspec.filesystem("memory")
    try:
        memory.put(str(path), "/models/paints.safetensors")
        loaded = scdm.load("memory://models/paints.safetensors")
        assert loaded.digest() == model.digest() and loaded.provenance == PROVENANCE
        memory.pipe("/models/paints.safetensors", path.read_bytes()[:-10])
        with pytest.raises(ValueError, match=r"^memory://models/paints\.safetensors: .*incomplete"):
            scdm.load("memory://models/paints.safetensors")
    finally:
        memory.store.clear()
