"""The nodes without a server: what they declare, what they refuse and in which words, what they make."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).parents[2]
SKY, GRASS = (120, 192, 250), (124, 190, 66)


def painted(path: Path, size: tuple[int, int] = (8, 16)) -> Path:
    """A layout file of the given (height, width): sky above grass."""
    pixels = np.full((*size, 3), SKY, np.uint8)
    pixels[size[0] // 2 :] = GRASS
    Image.fromarray(pixels).save(path)
    return path


def load_layout(pack: Any, image: str, palette: str = "scenes", width: int = 0, height: int = 0) -> Any:
    result = pack("nodes.layouts").LoadLayout.execute(image, palette, 16.0, width, height, "resize")
    return result.result[0]


def untrained(pack: Any) -> Any:
    """A tiny model of palette "scenes", managed by ComfyUI."""
    model, networks = pack("scdm.models.model"), pack("scdm.networks")
    network = networks.UNetConfig(
        14, channels=32, channel_mult=(1, 1), res_blocks=1, attention=(), head_channels=32, hidden=8
    )
    config = model.ModelConfig(network, (16, 16), label_diffusion="uniform")
    return pack("nodes.native").managed(model.Model.new(config, pack("scdm.layouts.palette").Palette.named("scenes")))


def generate(pack: Any, layout: Any, model: Any = None, **changed: Any) -> Any:
    node = pack("nodes.generate").Generate
    inputs = {spec.id: spec.default for spec in node.define_schema().inputs[2:] if not spec.optional}
    inputs |= {"steps": 3, **changed}
    return node.execute(model or untrained(pack), layout, **inputs).result[0]


def test_nodes_explain_themselves(pack: Any, folders: Any) -> None:
    nodes = asyncio.run(pack("").comfy_entrypoint().get_node_list())
    schemas = [node.GET_SCHEMA() for node in nodes]
    assert len({schema.node_id for schema in schemas}) == len(schemas) == 15
    for schema in schemas:
        assert (
            schema.node_id.startswith("SCDM_")
            and schema.category == "SCDM"
            and schema.description
            and schema.display_name
        )
        sockets = [socket for socket in (*schema.inputs, *schema.outputs) if socket.id != "painting"]
        assert all(socket.tooltip for socket in sockets), "but for the painter, which it would lie over"
        page = (ROOT / "web" / "docs" / f"{schema.node_id}.md").read_text(encoding="utf-8")
        assert all(f"**{spec.id}**" in page for spec in schema.inputs), "the help page describes every input"


SAMPLERS = ["auto", "ddpm", "ddim", "dpmpp_2m", "dpmpp_2m_sde", "unipc"]
SAMPLING = [  # id, kind, default, and the bounds or the choices
    ("seed", "INT", 0, 0, 2**64 - 1),
    ("steps", "INT", 0, 0, 1000),
    ("sampler", "COMBO", "auto", SAMPLERS),
    ("guidance", "FLOAT", 0, 0, 100),
    ("label_noise", "COMBO", "fresh", ["fresh", "coupled", "none"]),
]
PRECISION = ("precision", "COMBO", "auto", ["auto", "float32", "bfloat16", "float16"])
VARIANCE = ("variance", "COMBO", "learned", ["learned", "fixed_large", "fixed_small"])
REPEATS = ("repeats", "INT", 1, 1, 100)
ETA = ("eta", "FLOAT", 0, 0, 1)
TRUST = [("roughness", "FLOAT", -0.05, -0.05, 1), ("layout_end", "FLOAT", 1, 0.05, 1)]
FIT = ("fit", "COMBO", "resize", ["resize", "crop", "pad"])
WIDGETS = {
    "Generate": [
        *SAMPLING,
        ("dynamic_threshold", "FLOAT", 0, 0, 1),
        ("extrapolation", "FLOAT", 0, 0, 10),
        ("denoise", "FLOAT", 1, 0.01, 1),
        ("batch_size", "INT", 1, 1, 64),
        REPEATS,
        ("feather", "FLOAT", 0, 0, 1024),
        PRECISION,
        VARIANCE,
        ETA,
        *TRUST,
        FIT,
    ],
    "EditImage": [
        *SAMPLING,
        ("margin", "INT", 0, 0, 1024),
        ("feather", "FLOAT", 0, 0, 1024),
        PRECISION,
        VARIANCE,
        REPEATS,
        ETA,
        *TRUST,
        FIT,
    ],
}


def widgets(node: Any) -> list[tuple[Any, ...]]:
    inputs = [spec for spec in node.define_schema().inputs if hasattr(spec, "default")]
    sides = [[spec.options] if spec.io_type == "COMBO" else [spec.min, spec.max] for spec in inputs]
    return [(spec.id, spec.io_type, spec.default, *side) for spec, side in zip(inputs, sides, strict=True)]


@pytest.mark.parametrize("module, name", [("generate", "Generate"), ("editing", "EditImage")])
def test_widgets_stay_where_saved_workflows_have_them(pack: Any, module: str, name: str) -> None:
    """A workflow holds their values in order: new ones come last, and are optional."""
    node = getattr(pack(f"nodes.{module}"), name)
    assert widgets(node) == WIDGETS[name]
    last = WIDGETS[name].index(PRECISION)
    optional = [spec.optional for spec in node.define_schema().inputs if hasattr(spec, "default")]
    assert optional == [place >= last for place in range(len(optional))]


def test_a_new_sampler_and_its_options_are_there(
    pack: Any, folders: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samplers, options = pack("scdm.diffusion.samplers"), pack("scdm.files.options")

    def toy(denoise: Any, x: Any, schedule: Any, noise: Any, *, gain: Any = 1.0) -> Any:
        gains.append(gain)
        return samplers.ddim(denoise, x, schedule, noise)

    gains: list[float] = []
    toy.__annotations__["gain"] = Annotated[float, options.Option("a factor", ge=0, le=2)]
    monkeypatch.setitem(samplers.SAMPLERS, "toy", toy)
    found = {spec.id: spec for spec in pack("nodes.generate").Generate.define_schema().inputs}
    assert found["sampler"].options == [*SAMPLERS, "toy"]
    assert widgets(pack("nodes.generate").Generate)[-1] == ("gain", "FLOAT", 1.0, 0, 2)
    assert found["gain"].optional and found["gain"].tooltip == "toy: a factor."
    painted(tmp_path / "input" / "a.png", (16, 16))
    layout, model = load_layout(pack, "a.png"), untrained(pack)
    generate(pack, layout, model, sampler="toy", gain=0.5)
    assert gains == [0.5]
    with pytest.raises(ValueError, match="gain belongs to the sampler toy, not to ddpm"):
        generate(pack, layout, model, gain=0.5)
    assert generate(pack, layout, model, gain=1.0).shape == (1, 16, 16, 3), "what has no effect is left alone"


def test_models_are_the_embedded_ones_and_files(pack: Any, folders: Any, tmp_path: Path) -> None:
    for name in ("mine.safetensors", "published.pt", "notes.txt"):
        (tmp_path / "models" / name).touch()
    load_model = pack("nodes.models").LoadModel
    embedded = pack("scdm.assets").embedded_models()
    assert load_model.define_schema().inputs[0].options == [*embedded, "mine.safetensors", "published.pt"]
    assert load_model.validate_inputs("mine.safetensors") is True
    assert load_model.validate_inputs(None) is True
    (tmp_path / "secret.pt").touch()
    for name in ("gone.safetensors", "notes.txt", "../secret.pt", str(tmp_path / "secret.pt"), ""):
        assert "choose from the list" in load_model.validate_inputs(name)
    with pytest.raises(ValueError, match=r"mine\.safetensors"):
        load_model.execute("mine.safetensors")


def test_workflows_with_a_former_name_of_a_model_still_run(
    pack: Any, folders: Any, caplog: pytest.LogCaptureFixture
) -> None:
    load_model = pack("nodes.models").LoadModel
    assert load_model.validate_inputs("scenes64-fast") is True
    assert load_model.fingerprint_inputs("scenes64-fast") is None
    former, current = (load_model.execute(name).result[0].model.scdm for name in ("scenes64-fast", "scenes-fast"))
    assert former.digest() == current.digest()
    assert caplog.messages == ["the model scenes64-fast is called scenes-fast now"]


def test_sizes_that_the_model_was_not_taught_are_remarked_on(
    pack: Any, folders: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = untrained(pack)
    painted(tmp_path / "input" / "near.png", (16, 24))
    painted(tmp_path / "input" / "far.png", (48, 48))
    generate(pack, load_layout(pack, "near.png"), model)
    assert not caplog.messages
    far = load_layout(pack, "far.png")
    generate(pack, far, model, steps=1)
    pack("nodes.encode").EncodeLayout.execute(model, far, "fresh", 1)
    remark = "the model was taught images of 16x16 pixels; at 48x48 shapes may repeat"
    assert len(caplog.messages) == 2 and all(message.startswith(remark) for message in caplog.messages)


def test_the_users_own_models_folders_are_kept(pack: Any, folders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(folders.folder_names_and_paths, "scdm", (["/elsewhere"], set()))
    pack("nodes.models").register_models_folder()
    places, suffixes = folders.folder_names_and_paths["scdm"]
    assert places == ["/elsewhere", str(Path(folders.models_dir) / "scdm")] and suffixes == {".safetensors", ".pt"}


def test_a_saved_model_generates(pack: Any, folders: Any, tmp_path: Path) -> None:
    pack("scdm.models.checkpoint").save(tmp_path / "models" / "tiny.safetensors", untrained(pack).model.scdm)
    model = pack("nodes.models").LoadModel.execute("tiny.safetensors").result[0]
    painted(tmp_path / "input" / "a.png", (16, 16))
    assert generate(pack, load_layout(pack, "a.png"), model).shape == (1, 16, 16, 3)


def test_images_are_comfys_and_belong_to_their_seeds(pack: Any, folders: Any, tmp_path: Path) -> None:
    painted(tmp_path / "input" / "a.png", (16, 24))
    layout, model = load_layout(pack, "a.png"), untrained(pack)
    images = generate(pack, layout, model, seed=7, batch_size=2)
    assert images.shape == (2, 16, 24, 3) and images.dtype == torch.float32 and images.device.type == "cpu"
    assert images.min() >= 0 and images.max() <= 1
    assert torch.allclose(images[1:], generate(pack, layout, model, seed=8), atol=1e-4)


def test_every_step_is_shown_and_can_be_the_last(pack: Any, folders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import comfy.utils

    class Interrupted(Exception):
        pass

    seen: list[Any] = []

    def hook(value: int, total: int, preview: Any, node_id: Any = None) -> None:
        seen.append((value, total, preview))
        if value == 3:
            raise Interrupted

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    layout = load_layout(pack, "example: landscape", width=16)
    with pytest.raises(Interrupted):
        generate(pack, layout, steps=5)
    assert [(value, total) for value, total, _ in seen] == [(1, 5), (2, 5), (3, 5)]
    kind, picture, _ = seen[0][2]
    assert kind == "JPEG" and picture.size == (16, 16) and picture.mode == "RGB"


def test_classes_of_another_palette_are_refused(pack: Any, folders: Any, tmp_path: Path) -> None:
    Image.new("L", (16, 16)).save(tmp_path / "input" / "ids.png")
    with pytest.raises(ValueError, match="151 classes, the model expects 14: load the layout with the palette scenes"):
        generate(pack, load_layout(pack, "ids.png", palette="ade20k"))


@pytest.mark.parametrize(
    "failure", [torch.OutOfMemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError()]
)
def test_images_too_many_for_the_memory_are_made_in_parts(
    failure: Exception, pack: Any, folders: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    painted(tmp_path / "input" / "a.png", (16, 16))
    layout, model = load_layout(pack, "a.png"), untrained(pack)
    expected = generate(pack, layout, model, seed=7, batch_size=5)
    module, sizes = pack("nodes.generate"), []
    real = module.generate

    def cramped(ready: Any, labels: Any, *arguments: Any, **options: Any) -> Any:
        sizes.append(labels.batch)
        if labels.batch > room:
            raise failure
        return real(ready, labels, *arguments, **options)

    monkeypatch.setattr(module, "generate", cramped)
    room = 2
    assert torch.allclose(generate(pack, layout, model, seed=7, batch_size=5), expected, atol=1e-4)
    assert sizes == [5, 2, 3, 1, 2]
    room = 0
    with pytest.raises(ValueError, match="not enough memory for an image of 16 x 16"):
        generate(pack, layout, model, batch_size=2)


def test_a_mask_protects_the_image(pack: Any, folders: Any, tmp_path: Path) -> None:
    painted(tmp_path / "input" / "a.png", (16, 24))
    layout, model = load_layout(pack, "a.png"), untrained(pack)
    image = torch.randint(0, 256, (2, 16, 24, 3)) / 255
    mask = torch.zeros(1, 16, 24)
    mask[:, 4:12, 6:18] = 1
    made = generate(pack, layout, model, image=image, mask=mask, batch_size=2)
    assert made.shape == (4, 16, 24, 3), "two images, twice"
    kept = mask[0] == 0
    assert (made[:, kept] - image.repeat(2, 1, 1, 1)[:, kept]).abs().max() < 1e-6
    assert (made[:, ~kept] - image.repeat(2, 1, 1, 1)[:, ~kept]).abs().mean() > 0.05
    little = generate(pack, layout, model, image=image, denoise=0.01, steps=100)
    assert (little - image).abs().mean() < (made - image.repeat(2, 1, 1, 1)).abs()[:, ~kept].mean() / 2
    with pytest.raises(ValueError, match="mask 1 of 2 is empty"):
        generate(pack, layout, model, image=image, mask=torch.zeros(1, 16, 24))
    with pytest.raises(ValueError, match="2 images cannot serve a batch of 3"):
        generate(pack, layout, model, image=image, mask=mask.repeat(3, 1, 1))
    with pytest.raises(ValueError, match="give the image too"):
        generate(pack, layout, model, mask=mask)


def test_an_image_and_a_mask_of_another_size_are_made_to_fit(
    pack: Any, folders: Any, tmp_path: Path, caplog: Any
) -> None:
    """As the layout of a painting of that size is placed. What a padded image does not reach is painted anew."""
    painted(tmp_path / "input" / "a.png", (16, 24))
    layout, model = load_layout(pack, "a.png"), untrained(pack)
    image, mask = torch.rand(1, 32, 32, 3), torch.zeros(1, 32, 32)
    mask[:, 8:24, 8:24] = 1
    node = pack("nodes.generate").Generate
    given = {spec.id: spec.default for spec in node.define_schema().inputs[2:] if not spec.optional}

    def made(fit: str, **inputs: Any) -> tuple[torch.Tensor, str]:
        output = node.execute(model, layout, **given | {"steps": 2, "fit": fit} | inputs)
        return output.result[0], "\n".join(output.ui["text"])

    def whole(value: float) -> torch.Tensor:
        return torch.full((1, 32, 32, 3), value)

    out, words = made("resize", image=whole(0.25), mask=mask)
    kept = (out - 0.25).abs().amax(-1)[0] < 1e-6
    assert out.shape == (1, 16, 24, 3) and kept[:4].all() and kept[:, :6].all() and not kept[5:11, 8:16].any()
    assert (
        "the image is 32 x 32 pixels, the layout 24 x 16: fitted by resize" in words and "the mask is 32 x 32" in words
    )
    kept = (made("crop", image=whole(0.25), mask=mask)[0] - 0.25).abs().amax(-1)[0] < 1e-6
    assert kept[:2].all() and kept[:, :6].all() and not kept[3:13, 7:17].any()
    kept = (made("pad", image=whole(0.25), mask=mask)[0] - 0.25).abs().amax(-1)[0] < 1e-6
    assert kept[:4, 4:20].all() and not kept[:, :4].any() and not kept[:, 20:].any(), "beyond the image all is new"
    assert made("pad", image=image, denoise=0.5)[0].shape == (1, 16, 24, 3)
    assert not made("pad", image=torch.rand(1, 16, 24, 3), mask=torch.eye(16, 24)[None])[1]
    with pytest.raises(ValueError, match="the mask is empty"):
        made("resize", image=image, mask=torch.zeros(1, 64, 64))
    with pytest.raises(ValueError, match="fits by resize, crop, pad, not 'stretch'"):
        made("stretch", image=image, mask=mask)


def test_repeats_without_a_mask_are_said_to_have_no_effect(pack: Any, folders: Any, caplog: Any) -> None:
    layout, model = load_layout(pack, "example: landscape", width=16), untrained(pack)
    assert torch.equal(generate(pack, layout, model, repeats=4), generate(pack, layout, model))
    assert "repeats settles the seam around a mask, and has no effect without one" in caplog.text


def test_masks_of_zero_and_one_of_255_are_white(pack: Any, folders: Any, tmp_path: Path, caplog: Any) -> None:
    """As Load Image gives the masks that segmenters write."""
    painted(tmp_path / "input" / "a.png", (16, 24))
    layout, model = load_layout(pack, "a.png"), untrained(pack)
    image, mask = torch.rand(1, 16, 24, 3), torch.zeros(1, 16, 24)
    mask[:, 4:12, 6:18] = 1
    expected = generate(pack, layout, model, image=image, mask=mask)
    assert not caplog.records
    assert torch.equal(generate(pack, layout, model, image=image, mask=mask / 255), expected)
    assert "the mask has the levels 0 and 1 of 255: 1 is taken for white" in caplog.text
    paint = pack("nodes.painting").PaintClass.execute
    full, faint = (paint(layout, given, "tree").result[0].labels.ids for given in (mask, mask / 255))
    assert torch.equal(full, faint) and not torch.equal(full, layout.labels.ids)
