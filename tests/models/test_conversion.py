"""Published checkpoints become models: nothing is lost, nothing is run, and what is assumed is said."""

import functools
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from scdm.diffusion.label_diffusion import shipped_rates
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette
from scdm.models import checkpoint
from scdm.models.conversion import Assumptions, convert, landscapes, load
from scdm.models.model import Model, ModelConfig
from scdm.networks import UNet, UNetConfig
from tests import parity

NETWORK = UNetConfig(
    num_classes=19,
    edges=True,
    channels=32,
    channel_mult=(1, 1),
    res_blocks=1,
    attention=(2,),
    head_channels=16,
    hidden=4,
)
SPARSE = replace(NETWORK, num_classes=16, edges=False, learn_sigma=False)
HEADS = Assumptions(head_channels=16)
PAINTS = Palette("paints", ("sky", "sea"), ((0, 0, 255), (0, 255, 255)))


@functools.cache
def weights(config: UNetConfig = NETWORK) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in UNet(config).state_dict().items()}
    return {name: 0.1 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def published(path: Path, content: Any = None) -> Path:
    """A checkpoint of torch.save."""
    torch.save(weights() if content is None else content, path)
    return path


def output(network: UNet) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    config = network.config
    x = torch.randn((1, 3, 8, 8), generator=generator)
    ids = torch.randint(config.num_classes + 1, (1, 8, 8), generator=generator)
    labels = LabelMap(ids, config.num_classes, ids[:, None] == 2 if config.edges else None)
    with torch.no_grad():
        return network(x, torch.tensor([500]), labels)


def test_a_converted_model_is_the_published_one_and_survives_our_file(tmp_path: Path) -> None:
    expected = UNet(NETWORK).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    expected.load_state_dict(weights())

    model = load(published(tmp_path / "celeba.pt"), told=HEADS)
    checkpoint.save(tmp_path / "celeba.safetensors", model)
    again = load(tmp_path / "celeba.safetensors")

    assert (
        model.config
        == again.config
        == ModelConfig(NETWORK, (256, 256), label_diffusion="classwise", class_rates=shipped_rates("celebamask_hq"))
    )
    assert model.palette == again.palette == Palette.named("celebamask_hq")
    assert model.provenance == again.provenance
    assert torch.equal(output(model.network), output(expected))
    assert torch.equal(output(again.network), output(model.network))
    assert not any(parameter.requires_grad for parameter in model.network.parameters())


@pytest.mark.parametrize("name", [name for name in parity.index() if name.endswith("_checkpoint.pt")])
def test_the_published_checkpoint_gives_the_published_output(name: str) -> None:
    case, path = name.removesuffix("_checkpoint.pt"), parity.found_file(name)
    golden, network = parity.arrays(f"{case}_io"), parity.network_of(parity.facts(case)["config"])
    heads = Assumptions(**{key: getattr(network, key) for key in ("head_channels", "heads", "qkv_order")})
    model = convert(path, heads)
    with torch.no_grad():
        out = model.network(golden["x"], golden["t"], parity.layout(golden, network.num_classes))
    assert parity.deviation(out, golden["out"]) <= 5e-5
    assert model.provenance["sha256"].isalnum() and len(model.provenance["sha256"]) == 64


def test_provenance_tells_what_was_assumed(tmp_path: Path) -> None:
    model = convert(published(tmp_path / "celeba.pt"), HEADS)
    assert model.provenance["source"] == "celeba.pt"
    assert model.provenance["form"] == "SDM or SCDM"
    assert model.provenance["assumed"] == {
        "palette": "celebamask_hq",
        "label_diffusion": "classwise",
        "size": [256, 256],
        "qkv_order": "head_major",
        "process": "1000 linear steps, eps",
    }


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_wrappings_come_off(tmp_path: Path, suffix: str, prefix: str) -> None:
    wrapped = {prefix + name: tensor.half() for name, tensor in weights().items()}
    path = tmp_path / f"celeba{suffix}"
    if suffix == ".pt":
        published(path, {"state_dict": wrapped, "epoch": 3})
    else:
        save_file(wrapped, path)
    model = load(path, told=HEADS)
    assert model.config.network == NETWORK
    assert all(parameter.dtype == torch.float32 for parameter in model.network.parameters())


def prefixed(prefix: str, table: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in (table or weights()).items()}


OTHER = {
    "criterion.features.weight": torch.zeros(3),
    "criterion.features.num_batches_tracked": torch.zeros((), dtype=torch.int64),
}
OPTIMIZER: dict[str, Any] = {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}


@pytest.mark.parametrize(
    ("content", "entry"),
    [
        (prefixed("_orig_mod."), None),
        (prefixed("module._orig_mod."), None),
        (prefixed("_orig_mod.module."), None),
        ({"model": weights(), "optimizer": OPTIMIZER, "epoch": 3}, "model"),
        ({"model_state_dict": prefixed("module."), "loss": 0.5}, "model_state_dict"),
        ({"state": {"ema": weights()}}, "state.ema"),
        ({"epoch": 1, "state_dict": {**prefixed("network."), **OTHER}}, "state_dict.network"),
        ({"state_dict": prefixed("model._orig_mod."), "hyper_parameters": {"lr": 1}}, "state_dict.model"),
    ],
)
def test_wrappings_of_training_programs_come_off(tmp_path: Path, content: Any, entry: str | None) -> None:
    """torch.compile, DistributedDataParallel, Lightning, and tables beside those of the optimizer."""
    model = convert(published(tmp_path / "checkpoint.pt", content), HEADS)
    assert model.config.network == NETWORK
    assert all(torch.equal(tensor, weights()[name]) for name, tensor in model.network.state_dict().items())
    assert model.provenance.get("entry") == entry
    others = content.get("state_dict", {}).keys() & OTHER.keys()
    assert model.provenance.get("left out") == ("2 tensors beside the network's" if others else None)


def test_wrappings_come_off_safetensors_too(tmp_path: Path) -> None:
    path = tmp_path / "compiled.safetensors"
    save_file(prefixed("module._orig_mod.", {name: tensor.half() for name, tensor in weights().items()}), path)
    assert convert(path, HEADS).config.network == NETWORK


def test_of_several_networks_one_is_chosen(tmp_path: Path) -> None:
    average = {name: tensor + 1 for name, tensor in weights().items()}
    path = published(tmp_path / "checkpoint.pt", {"model": weights(), "ema": {"module": average}, "opt": OPTIMIZER})
    with pytest.raises(ValueError, match=r"it holds model, ema\.module: choose one by its name .*--entry"):
        convert(path, HEADS)
    for entry in ("ema", "ema.module", "module"):
        model = convert(path, replace(HEADS, entry=entry))
        assert torch.equal(model.network.state_dict()["out.2.bias"], average["out.2.bias"])
    with pytest.raises(ValueError, match="not one that 'student' is meant by alone"):
        convert(path, replace(HEADS, entry="student"))
    flat = published(tmp_path / "flat.pt", {**prefixed("online_model."), **prefixed("ema_model.", average)})
    model = convert(flat, replace(HEADS, entry="ema_model"))
    assert torch.equal(model.network.state_dict()["out.2.bias"], average["out.2.bias"])


def test_the_state_of_an_optimizer_is_named_and_what_lies_beside_it(tmp_path: Path) -> None:
    path = published(tmp_path / "opt010000.pt", OPTIMIZER)
    with pytest.raises(ValueError, match=r"the state of an optimizer, .* such as ema_0\.9999_010000\.pt"):
        convert(path)
    for name in ("model010000.pt", "ema_0.9999_010000.pt", "ema_0.9999_020000.pt"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"give ema_0\.9999_010000\.pt or model010000\.pt, which lies beside it"):
        convert(path)


def test_what_leaves_no_trace_can_be_told(tmp_path: Path) -> None:
    """Heads of the decoder, and a process that is not the published one: wrong ones load without an error."""
    path = published(tmp_path / "celeba.pt")
    told = Assumptions(
        head_channels=None,
        heads=2,
        heads_up=4,
        prediction="x0",
        noise_schedule="cosine",
        steps=500,
        label_diffusion="none",
    )
    model = convert(path, told)
    network = model.config.network
    assert (network.heads_at(32), network.heads_at(32, decoder=True)) == (2, 4)
    assert (model.config.prediction, model.config.noise_schedule, model.config.steps) == ("x0", "cosine", 500)
    assert not {"process", "heads_up"} & model.provenance["assumed"].keys()
    some = convert(path, replace(HEADS, prediction="v")).provenance["assumed"]
    assert some["process"] == "noise schedule linear, steps 1000"
    assert convert(path, Assumptions(head_channels=None, heads=2)).provenance["assumed"]["heads_up"] == "2, as heads"


def test_the_process_of_sparse_layouts_can_be_told(tmp_path: Path) -> None:
    path = tmp_path / "flickr_32.safetensors"
    save_file(weights(SPARSE), path)
    config = convert(path, replace(HEADS, prediction="eps", steps=1000, noise_schedule="linear")).config
    assert (config.prediction, config.steps, config.noise_schedule, config.distilled_steps) == (
        "eps",
        1000,
        "linear",
        None,
    )


def test_the_model_does_not_hang_on_the_file(tmp_path: Path) -> None:
    path = published(tmp_path / "celeba.pt")
    model = convert(path, HEADS)
    before = output(model.network)
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert torch.equal(output(model.network), before)


@pytest.mark.parametrize(
    ("num_classes", "edges", "palette", "size", "label_diffusion"),
    [
        (151, False, "ade20k", (256, 256), "classwise"),
        (183, True, "coco_stuff", (256, 256), "classwise"),
        (35, True, "cityscapes", (256, 512), "none"),
        (16, True, None, (), ""),
        (16, False, None, (), ""),  # 16 channels, but a learned variance
    ],
)
def test_the_label_channels_tell_the_data_set(
    tmp_path: Path, num_classes: int, edges: bool, palette: str | None, size: tuple[int, int], label_diffusion: str
) -> None:
    network = replace(NETWORK, num_classes=num_classes, edges=edges)
    path = published(tmp_path / "model.pt", weights(network))
    if palette is None:
        with pytest.raises(ValueError, match=r"reads 1[67] label channels, and no published model does"):
            convert(path, HEADS)
        return
    model = convert(path, HEADS)
    assert model.config.network == network
    assert (model.palette.name, model.config.size, model.config.label_diffusion) == (palette, size, label_diffusion)


@pytest.mark.parametrize("edges", [False, True])
def test_other_classes_need_their_palette(tmp_path: Path, edges: bool) -> None:
    path = published(tmp_path / "model.pt", weights(replace(NETWORK, num_classes=2, edges=edges)))
    model = convert(path, replace(HEADS, palette=PAINTS, size=(64, 64)))
    assert model.palette == PAINTS
    assert model.config.network.edges == edges
    assert (model.config.label_diffusion, model.config.size) == ("none", (64, 64))


def test_what_is_told_replaces_what_is_assumed(tmp_path: Path) -> None:
    path = published(tmp_path / "celeba.pt")
    assert convert(path, replace(HEADS, label_diffusion="none")).config.label_diffusion == "none"
    uniform = convert(path, replace(HEADS, label_diffusion="uniform"))
    assert uniform.config.label_diffusion == "uniform" and "label_diffusion" not in uniform.provenance["assumed"]
    rates = tuple(float(i) for i in range(19))
    assert convert(path, replace(HEADS, class_rates=rates)).config.class_rates == rates
    heads = convert(path, Assumptions(head_channels=None, heads=8, qkv_order="qkv_major")).network.config
    assert (heads.heads_at(32), heads.qkv_order) == (8, "qkv_major")


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        (Assumptions(), "attention heads of 64 channels do not fill a level of 32"),
        (replace(HEADS, palette=PAINTS), r"palette paints has 2 classes, the network expects 20"),
        (
            replace(HEADS, palette=replace(Palette.named("celebamask_hq"), name="mine"), label_diffusion="classwise"),
            "mine",
        ),
        (replace(HEADS, class_rates=(1.0, 2.0)), "2 class rates for 19 classes"),
        (replace(HEADS, label_diffusion="none", class_rates=(1.0,) * 19), "only that, needs class rates"),
        (replace(HEADS, size=(100, 101)), "multiples of 2"),
    ],
)
def test_wrong_assumptions_are_contradicted(tmp_path: Path, told: Assumptions, complaint: str) -> None:
    path = published(tmp_path / "celeba.pt")
    with pytest.raises(ValueError, match=complaint) as caught:
        convert(path, told)
    assert str(path) in str(caught.value)


# Sparse layouts


@pytest.mark.parametrize(
    ("n_timesteps", "time_scale", "distilled"),
    [(1024, 1, None), (32, 32, "ddim32"), (1024, 32, "ddim32"), (256, 4, "ddim256")],
)
def test_sparse_layouts_from_torch(tmp_path: Path, n_timesteps: int, time_scale: int, distilled: str | None) -> None:
    content = {"G": weights(SPARSE), "n_timesteps": n_timesteps, "time_scale": time_scale}
    model = convert(published(tmp_path / "model.pt", content), HEADS)
    assert model.config == ModelConfig(
        SPARSE, (256, 256), "cosine", 1024, "v", label_diffusion="none", distilled_steps=distilled
    )
    assert model.palette == landscapes()
    assert (model.provenance["form"], model.provenance["guidance"]) == ("sparse layouts", 1.5)


@pytest.mark.parametrize(("name", "distilled"), [("flickr_32", "ddim32"), ("flickr_1", None), ("flickr", None)])
def test_sparse_layouts_from_safetensors(tmp_path: Path, name: str, distilled: str | None) -> None:
    path = tmp_path / f"{name}.safetensors"
    save_file(weights(SPARSE), path)
    model = convert(path, HEADS)
    assert (model.config.prediction, model.config.distilled_steps) == ("v", distilled)
    assert model.provenance["assumed"]["distilled to"] == f"{distilled or 'no few steps'}, by the file's name"
    checkpoint.save(tmp_path / "ours.safetensors", model)
    assert checkpoint.load(tmp_path / "ours.safetensors").config == model.config


def test_numbers_in_other_names_mean_nothing(tmp_path: Path) -> None:
    path = tmp_path / "celeba_256.safetensors"
    save_file(weights(), path)
    assert convert(path, HEADS).config.distilled_steps is None


@pytest.mark.parametrize(
    "process",
    [
        {},
        {"n_timesteps": 1024},
        {"n_timesteps": 1000, "time_scale": 1},
        {"n_timesteps": 32, "time_scale": 16},
        {"n_timesteps": 1024, "time_scale": 0},
        {"n_timesteps": 1024, "time_scale": float("nan")},
        {"n_timesteps": 1024, "time_scale": [32]},
    ],
)
def test_impossible_time_scales_are_refused(tmp_path: Path, process: dict[str, Any]) -> None:
    path = published(tmp_path / "model.pt", {"G": weights(SPARSE), **process})
    with pytest.raises(ValueError, match="time scale that divides it"):
        convert(path, HEADS)
    save_file(weights(SPARSE), tmp_path / "model_1000.safetensors")
    with pytest.raises(ValueError, match="time_scale 1000"):
        convert(tmp_path / "model_1000.safetensors", HEADS)


def test_landscapes_are_numbered_and_distinct() -> None:
    palette = landscapes()
    assert palette.num_classes == 16 and palette.unlabelled == 15 and palette.names[15] == "unlabelled"
    assert not palette.duplicates and None not in palette.colors
    assert "not known" in palette.note
    assert Palette.from_dict(palette.to_dict()) == palette


# Files that are something else


class Malicious:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    path = published(tmp_path / "model.pt", {**weights(), "step": Malicious(proof)})
    with pytest.raises(ValueError, match=r"refused, because it holds more than tensors and numbers, namely .*mkdir"):
        convert(path, HEADS)
    path.write_bytes(pickle.dumps(Malicious(proof)))
    with pytest.raises(ValueError, match="a pickle of Python: it may run code, so it is not opened"):
        convert(path, HEADS)
    assert not proof.exists()
    pickle.loads(path.read_bytes())
    assert proof.exists(), "there was nothing to be afraid of"


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_truncated_files_are_incomplete(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"model{suffix}"
    torch.save(weights(), path) if suffix == ".pt" else save_file(weights(), path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match="incomplete") as caught:
        convert(path, HEADS)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"<!DOCTYPE html><html>Virus scan warning</html>", "it looks like a web page"),
        (b"\n <html>", "it looks like a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a Git LFS pointer"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not a safetensors file or checkpoint"),
        (b"\xff" * 100, "not a safetensors file or checkpoint"),
        (None, "no such file"),
    ],
)
def test_files_that_are_no_checkpoint(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    path = tmp_path / "model.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=complaint) as caught:
        convert(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_archives_are_not_unpacked(tmp_path: Path, compression: int) -> None:
    """A deflated archive could unpack to any size."""
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("readme.txt", "checkpoints")
    expected = "unpack it first" if compression else "no checkpoint of PyTorch"
    with pytest.raises(ValueError, match=expected):
        convert(path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ([1, 2, 3], "this holds a list"),
        ({}, "no table of named tensors"),
        ({"state_dict": 5}, "no table of named tensors"),
        ({"G": None, "n_timesteps": 1024, "time_scale": 1}, "no table of named tensors"),
        ({"step": 5}, "entry 'step' is none"),
        ({7: torch.zeros(1)}, "entry 7 is none"),
        ({"ids": torch.zeros(3, dtype=torch.int64)}, "entry 'ids' is none"),
        ({"empty": torch.zeros(3, device="meta")}, "entry 'empty' is none"),
        ({"sparse": torch.eye(3).to_sparse()}, "entry 'sparse' is none"),
        ({"nested": torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])}, "entry 'nested' is none"),
        ({"small": torch.zeros(3, dtype=torch.float8_e4m3fn)}, "entry 'small' is none"),
        ({"x" * 10**6: 5}, "entry 'xxx.*xxx' is none"),
        ({"out.2.weight": torch.zeros(1).expand(10**9, 10**6)}, "claim to be larger than the file"),
        (
            {"model.diffusion_model.out.2.weight": torch.zeros(4, 320, 3, 3)},
            "a model of Stable Diffusion's kind",
        ),
    ],
)
def test_tables_that_are_no_network(tmp_path: Path, content: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        convert(published(tmp_path / "model.pt", content))


def test_archives_of_the_future_are_refused(tmp_path: Path) -> None:
    """The version that an entry needs stands six bytes into its place in the directory; ours is one of 11.0."""
    path = published(tmp_path / "model.pt")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 110
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"zip file version 11\.0"):
        convert(path, HEADS)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_weights_that_are_no_numbers_are_named(tmp_path: Path, value: float) -> None:
    broken = {name: tensor.double() for name, tensor in weights().items()}
    broken["out.2.bias"][1] = value
    with pytest.raises(ValueError, match=r"out\.2\.bias holds NaN or infinite values"):
        convert(published(tmp_path / "model.pt", broken), HEADS)


def test_the_first_offenders_are_named(tmp_path: Path) -> None:
    less = {name: tensor for name, tensor in weights().items() if name != "input_blocks.1.0.in_layers.0.bias"}
    with pytest.raises(ValueError, match=r"input_blocks\.1\.0\.in_layers\.0\.bias is missing, expected \(32,\)"):
        convert(published(tmp_path / "less.pt", less), HEADS)
    more = {**weights(), **{f"class_embed.{i}": torch.zeros(1) for i in range(5)}}
    with pytest.raises(ValueError, match=r"class_embed\.0 is \(1,\), expected none; .* and 2 more"):
        convert(published(tmp_path / "more.pt", more), HEADS)
    other = {**weights(), "out.0.bias": torch.zeros(33)}
    with pytest.raises(ValueError, match=r"out\.0\.bias is \(33,\), expected \(32,\)"):
        convert(published(tmp_path / "other.pt", other), HEADS)


def test_our_own_files_are_loaded_not_converted(tmp_path: Path) -> None:
    path = tmp_path / "ours.safetensors"
    config = ModelConfig(replace(NETWORK, num_classes=2, edges=False), (8, 8), label_diffusion="none")
    checkpoint.save(path, Model.new(config, PAINTS))
    with pytest.raises(ValueError, match="is a model file already"):
        convert(path)
    assert load(path).config == config
    with pytest.raises(ValueError, match="there is no model 'nowhere'"):
        load("nowhere")


@pytest.mark.parametrize("length", [0x3C20, 0x80, 0x180])
def test_headers_of_any_length_are_those_of_safetensors(tmp_path, length):
    """The first bytes of such a file are a number, which may look like a web page (" <") or a pickle."""
    path = tmp_path / "weights.safetensors"
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    path.write_bytes(length.to_bytes(8, "little") + header.ljust(length) + bytes(4))
    with pytest.raises(ValueError, match="not the weights of a network of SDM's kind"):
        convert(path)


def test_an_average_is_chosen_by_what_all_call_it(tmp_path: Path) -> None:
    average = {name: tensor + 1 for name, tensor in weights().items()}
    path = published(tmp_path / "checkpoint.pt", {"state_dict": weights(), "state_dict_ema": average})
    with pytest.raises(ValueError, match=r"'state_dict_ema' is usually the best"):
        convert(path, HEADS)
    model = convert(path, replace(HEADS, entry="ema"))
    assert torch.equal(model.network.state_dict()["out.2.bias"], average["out.2.bias"])


def test_the_state_of_an_optimizer_is_named_under_a_name_of_its_own(tmp_path: Path) -> None:
    path = published(tmp_path / "opt010000.pt", {"optimizer": OPTIMIZER, "epoch": 3})
    with pytest.raises(ValueError, match="the state of an optimizer"):
        convert(path)
