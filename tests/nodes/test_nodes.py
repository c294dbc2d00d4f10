"""The nodes without a server: what they declare, what they refuse and in which words, what they make."""

import asyncio
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).parents[2]
SKY, GRASS = (120, 192, 250), (124, 190, 66)


@pytest.fixture
def folders(pack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """ComfyUI's folders, all of them empty."""
    pack("nodes")
    import folder_paths

    for name in ("input", "output", "temp", "models"):
        (tmp_path / name).mkdir()
    for name in ("input", "output", "temp"):
        monkeypatch.setattr(folder_paths, f"{name}_directory", str(tmp_path / name))
    suffixes = folder_paths.folder_names_and_paths["scdm"][1]
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "scdm", ([str(tmp_path / "models")], suffixes))
    return folder_paths


def painted(path: Path, size: tuple[int, int] = (8, 16)) -> Path:
    """A layout file of the given (height, width): sky above grass."""
    pixels = np.full((*size, 3), SKY, np.uint8)
    pixels[size[0] // 2 :] = GRASS
    Image.fromarray(pixels).save(path)
    return path


def load_layout(pack: Any, image: str, palette: str = "scenes", width: int = 0, height: int = 0) -> Any:
    result = pack("nodes.layouts").LoadLayout.execute(image, palette, 16.0, width, height)
    return result.result[0]


def untrained(pack: Any) -> Any:
    """A tiny model of palette "scenes", managed by ComfyUI."""
    model, networks = pack("scdm.model"), pack("scdm.networks")
    network = networks.UNetConfig(
        14, channels=32, channel_mult=(1, 1), res_blocks=1, attention=(), head_channels=32, hidden=8
    )
    config = model.ModelConfig(network, (16, 16), label_diffusion="uniform")
    return pack("nodes.models").ManagedModel.wrap(model.Model.new(config, pack("scdm.palette").Palette.named("scenes")))


def generate(pack: Any, layout: Any, model: Any = None, **changed: Any) -> Any:
    node = pack("nodes.generate").Generate
    inputs = {spec.id: spec.default for spec in node.define_schema().inputs[2:]}
    inputs |= {"steps": 3, **changed}
    return node.execute(model or untrained(pack), layout, **inputs).result[0]


def test_nodes_explain_themselves(pack: Any) -> None:
    nodes = asyncio.run(pack("").comfy_entrypoint().get_node_list())
    schemas = [node.GET_SCHEMA() for node in nodes]
    assert [schema.node_id for schema in schemas] == ["SCDM_LoadModel", "SCDM_LoadLayout", "SCDM_Generate"]
    for schema in schemas:
        assert schema.category == "SCDM" and schema.description and schema.display_name
        assert all(socket.tooltip for socket in (*schema.inputs, *schema.outputs))
        page = (ROOT / "web" / "docs" / f"{schema.node_id}.md").read_text(encoding="utf-8")
        assert all(f"**{spec.id}**" in page for spec in schema.inputs), "the help page describes every input"


def test_models_are_the_embedded_ones_and_files(pack: Any, folders: Any, tmp_path: Path) -> None:
    for name in ("mine.safetensors", "published.pt", "notes.txt"):
        (tmp_path / "models" / name).touch()
    load_model = pack("nodes.models").LoadModel
    embedded = pack("scdm.checkpoint").embedded_models()
    assert load_model.define_schema().inputs[0].options == [*embedded, "mine.safetensors", "published.pt"]
    assert load_model.validate_inputs("mine.safetensors") is True
    assert load_model.validate_inputs(None) is True
    (tmp_path / "secret.pt").touch()
    for name in ("gone.safetensors", "notes.txt", "../secret.pt", str(tmp_path / "secret.pt"), ""):
        assert "choose from the list" in load_model.validate_inputs(name)
    with pytest.raises(ValueError, match=r"mine\.safetensors"):
        load_model.execute("mine.safetensors")


def test_the_users_own_models_folders_are_kept(pack: Any, folders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(folders.folder_names_and_paths, "scdm", (["/elsewhere"], set()))
    pack("nodes.models").register_models_folder()
    places, suffixes = folders.folder_names_and_paths["scdm"]
    assert places == ["/elsewhere", str(Path(folders.models_dir) / "scdm")] and suffixes == {".safetensors", ".pt"}


def test_a_saved_model_generates(pack: Any, folders: Any, tmp_path: Path) -> None:
    pack("scdm.checkpoint").save(tmp_path / "models" / "tiny.safetensors", untrained(pack).model)
    model = pack("nodes.models").LoadModel.execute("tiny.safetensors").result[0]
    painted(tmp_path / "input" / "a.png", (16, 16))
    assert generate(pack, load_layout(pack, "a.png"), model).shape == (1, 16, 16, 3)


def test_layouts_are_the_examples_and_images(pack: Any, folders: Any, tmp_path: Path) -> None:
    painted(tmp_path / "input" / "a.png")
    (tmp_path / "input" / "notes.txt").touch()
    assert pack("nodes.layouts").layout_names() == ["example: landscape", "a.png"]
    assert load_layout(pack, "example: landscape").labels.ids.unique().numel() > 10


def test_a_layout_holds_the_classes_painted(pack: Any, folders: Any, tmp_path: Path) -> None:
    (tmp_path / "input" / "sub").mkdir()
    painted(tmp_path / "input" / "sub" / "a.png")
    painted(tmp_path / "output" / "b.png")
    for name in ("sub/a.png", "sub/a.png [input]", "b.png [output]", "sub/../sub/a.png"):
        layout = load_layout(pack, name)
        assert layout.palette.name == "scenes"
        assert layout.labels.ids.tolist() == [[[0] * 16] * 4 + [[6] * 16] * 4]
    assert pack("nodes.layouts").summary(layout.labels, layout.palette) == "16 x 8: sky 50%, grass 50%"


@pytest.mark.parametrize(
    ("asked", "given"), [((0, 0), (8, 16)), ((32, 0), (16, 32)), ((0, 4), (4, 8)), ((5, 7), (7, 5)), ((1, 0), (1, 1))]
)
def test_layouts_are_resized_in_proportion(
    pack: Any, folders: Any, tmp_path: Path, asked: tuple[int, int], given: tuple[int, int]
) -> None:
    painted(tmp_path / "input" / "a.png")
    labels = load_layout(pack, "a.png", width=asked[0], height=asked[1]).labels
    assert (labels.height, labels.width) == given


def test_a_changed_layout_is_read_again(pack: Any, folders: Any, tmp_path: Path) -> None:
    fingerprint = pack("nodes.layouts").LoadLayout.fingerprint_inputs
    path = painted(tmp_path / "input" / "a.png")
    before = fingerprint("a.png", palette="scenes")
    os.utime(path, (0, 0))
    assert fingerprint("a.png", palette="scenes") == before, "touched, but the same"
    painted(path, (8, 17))
    assert fingerprint("a.png", palette="scenes") != before
    assert fingerprint(None) != fingerprint(None), "linked: not known before it runs"


def test_layouts_that_cannot_be_read_are_refused_in_words(pack: Any, folders: Any, tmp_path: Path) -> None:
    node = pack("nodes.layouts").LoadLayout
    painted(tmp_path / "secret.png")
    (tmp_path / "input" / "notes.png").write_text("no picture")
    assert node.validate_inputs("notes.png") is True and node.validate_inputs(None) is True
    assert "there is no layout 'gone.png'" in node.validate_inputs("gone.png")
    assert "there is no layout" in node.validate_inputs("")
    for name in ("../secret.png", str(tmp_path / "secret.png"), "../secret.png [output]", "example: ../../classes/x"):
        assert "outside the folder" in node.validate_inputs(name)
    with pytest.raises(ValueError, match="outside the folder"):
        load_layout(pack, "../secret.png")
    with pytest.raises(ValueError, match="not an image"):
        load_layout(pack, "notes.png")
    with pytest.raises(ValueError, match="no palette 'none'"):
        load_layout(pack, "example: landscape", palette="none")
    with pytest.raises(ValueError, match="no pixel has a colour of palette cityscapes"):
        load_layout(pack, "example: landscape", palette="cityscapes")


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
    with pytest.raises(ValueError, match="151 classes of palette ade20k, the model those of scenes"):
        generate(pack, load_layout(pack, "ids.png", palette="ade20k"))
