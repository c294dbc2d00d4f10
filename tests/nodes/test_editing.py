"""Edit Image: what it keeps, what it paints anew, what it remembers and refuses."""

from __future__ import annotations

import copy
import gc
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.nodes.server import Server, inputs, serving, template

MARGIN = 2


@pytest.fixture
def model(pack: Any) -> Any:
    """A tiny model of palette "scenes" with random weights, managed by ComfyUI."""
    models, networks = pack("scdm.models.model"), pack("scdm.networks")
    network = networks.UNetConfig(
        14, channels=32, channel_mult=(1, 1), res_blocks=1, attention=(), head_channels=32, hidden=8
    )
    config = models.ModelConfig(network, (16, 16), label_diffusion="uniform", prediction="x0")
    made = models.Model.new(config, pack("scdm.layouts.palette").Palette.named("scenes"))
    generator = torch.Generator().manual_seed(0)
    for parameter in made.network.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    return pack("nodes.native").managed(made)


@pytest.fixture
def layout(pack: Any) -> Callable[..., Any]:
    """Layouts (16, 24) of class 0, with another class in a box (top, left, bottom, right)."""

    def make(box: tuple[int, int, int, int] = (0, 0, 0, 0), painted: int = 7, size: tuple[int, int] = (16, 24)) -> Any:
        ids = torch.zeros(1, *size, dtype=torch.long)
        ids[:, box[0] : box[2], box[1] : box[3]] = painted
        labels = pack("scdm.layouts.labels").LabelMap(ids, 14)
        return pack("nodes.sockets").Layout(labels, pack("scdm.layouts.palette").Palette.named("scenes"))

    return make


@pytest.fixture
def edit(pack: Any, model: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., torch.Tensor]:
    """Runs the node as the node of that number in a graph, and gives its image (H, W, 3)."""
    module = pack("nodes.editing")
    module._made.clear()

    def run(layout: Any, node: str | None = "7", **changed: Any) -> torch.Tensor:
        given = {spec.id: spec.default for spec in module.EditImage.define_schema().inputs[2:] if not spec.optional}
        given |= {"model": model, "steps": 3, "sampler": "ddim", "margin": MARGIN, **changed}
        monkeypatch.setattr(module.EditImage, "hidden", SimpleNamespace(unique_id=node))
        (image,) = module.EditImage.execute(layout=layout, **given).result[0]
        return image

    return run


BOX = (4, 6, 8, 10)


def far() -> torch.Tensor:
    """(H, W) bool: what is surely further from BOX than the margin."""
    where = torch.ones(16, 24, dtype=torch.bool)
    where[BOX[0] - MARGIN : BOX[2] + MARGIN, BOX[1] - MARGIN : BOX[3] + MARGIN] = False
    return where


def test_the_first_image_is_that_of_generate(pack: Any, model: Any, edit: Any, layout: Any) -> None:
    node = pack("nodes.generate").Generate
    given = {spec.id: spec.default for spec in node.define_schema().inputs[2:] if not spec.optional}
    given |= {"steps": 3, "sampler": "ddim", "seed": 3}
    expected = node.execute(model, layout(BOX), **given).result[0][0]
    assert (edit(layout(BOX), seed=3) - expected).abs().max() <= 0.5001 / 255, "in the levels of files"


def test_a_node_remembers_what_it_made_last(edit: Any, layout: Any) -> None:
    before = edit(layout())
    after = edit(layout(BOX))
    assert torch.equal(after[far()], before[far()])
    assert (after != before)[4:8, 6:10].float().mean() > 0.5
    again = edit(layout(BOX))
    assert torch.equal(again, after), "nothing has changed"
    back = edit(layout())
    assert torch.equal(back[far()], before[far()])


def test_other_nodes_and_other_means_begin_afresh(pack: Any, edit: Any, layout: Any) -> None:
    before, whole = edit(layout()), edit(layout(BOX), node=None)
    assert not torch.equal(whole[far()], before[far()])
    assert torch.equal(edit(layout(BOX), node="8"), whole), "another node's memory"
    edited = edit(layout(BOX), margin=1, feather=1)
    assert torch.equal(edited[far()], before[far()]), "how it is edited is no matter"
    for changed in ({"seed": 1}, {"steps": 4}, {"guidance": 3.0}, {"sampler": "dpmpp_2m"}, {"label_noise": "none"}):
        edit(layout())
        assert torch.equal(edit(layout(BOX), **changed), edit(layout(BOX), node=None, **changed))
    assert edit(layout(size=(24, 16))).shape == (24, 16, 3)


def test_another_model_begins_afresh(pack: Any, model: Any, edit: Any, layout: Any) -> None:
    before = edit(layout())
    assert torch.equal(edit(layout(BOX), model=model.clone())[far()], before[far()]), "the same network"
    source = pack("nodes.native").scdm_model(model)
    retrained = pack("scdm.models.model").Model.new(source.config, source.palette)
    retrained.network.load_state_dict({name: 0.9 * weight for name, weight in source.network.state_dict().items()})
    other = pack("nodes.native").managed(retrained)
    assert torch.equal(edit(layout(BOX), model=other), edit(layout(BOX), model=other, node=None))
    assert torch.equal(edit(layout()), before), "and back, which is another edit than the last"


def test_few_nodes_are_remembered(pack: Any, edit: Any, layout: Any) -> None:
    module = pack("nodes.editing")
    for node in range(module.MOST_REMEMBERED + 3):
        edit(layout(), node=str(node), steps=1)
    assert list(module._made) == [str(node) for node in range(3, module.MOST_REMEMBERED + 3)]


def test_a_node_goes_on_from_its_last_image_as_if_that_were_connected(
    pack: Any, model: Any, edit: Any, layout: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With other margins, and after an update that failed."""
    edits = [(layout(BOX), 2), (layout((2, 1, 9, 7), 3), 1), (layout((2, 1, 9, 7), 3), 2), (layout(), 3)]
    image = edit(layout())
    last, continued, rebuilt = layout(), [], []
    for now, margin in edits:
        image = edit(now, node=None, previous_image=image[None], previous_layout=last, margin=margin)
        rebuilt.append(image)
        last = now
    for now, margin in edits:
        with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="broken"):
            patch.setattr(pack("scdm.editing.session"), "generate", broken)
            edit(layout((0, 0, 3, 3), 5))
        continued.append(edit(now, margin=margin))
    assert all(torch.equal((a * 255).round(), (b * 255).round()) for a, b in zip(continued, rebuilt, strict=True))


def broken(*_: Any, **__: Any) -> None:
    raise RuntimeError("broken")


def test_what_a_node_made_outlives_its_model_and_serves_the_same_model_loaded_anew(
    pack: Any, model: Any, edit: Any, layout: Any
) -> None:
    """ComfyUI empties its caches (/free, or for want of memory) and loads the model from its file again."""
    import comfy.model_management

    native = pack("nodes.native")
    first = native.managed(copy.deepcopy(native.scdm_model(model)))
    gone = weakref.ref(first.model)
    before = edit(layout(), model=first)
    comfy.model_management.unload_all_models()
    del first
    gc.collect()
    assert gone() is None, "an image does not keep the weights that made it"
    after = edit(layout(BOX), model=native.managed(copy.deepcopy(native.scdm_model(model))))
    assert torch.equal(after[far()], before[far()]) and not torch.equal(after, before)


def test_the_same_weights_with_other_classes_begin_afresh(pack: Any, model: Any, edit: Any, layout: Any) -> None:
    native = pack("nodes.native")
    source = copy.deepcopy(native.scdm_model(model))
    names = (*source.palette.names[:-1], "lava")
    renamed = native.managed(replace(source, palette=replace(source.palette, names=names)))
    edit(layout())
    given = replace(layout(BOX), palette=renamed.model.scdm.palette)
    assert torch.equal(edit(given, model=renamed), edit(given, model=renamed, node=None))


def test_a_connected_image_is_edited_whatever_is_remembered(edit: Any, layout: Any) -> None:
    edit(layout())
    image = torch.rand(1, 16, 24, 3, generator=torch.Generator().manual_seed(0))  # finer than levels
    after = edit(layout(BOX), previous_image=image, previous_layout=layout())
    assert (after - image[0])[far()].abs().max() < 1e-6
    assert (after - image[0])[4:8, 6:10].abs().mean() > 0.05
    assert (edit(layout(), previous_image=image, previous_layout=layout()) - image[0]).abs().max() < 1e-6


def test_a_connected_image_of_another_size_is_made_to_fit(edit: Any, layout: Any) -> None:
    image = torch.full((1, 32, 32, 3), 0.25)
    large = layout(tuple(2 * side for side in BOX), size=(32, 32))
    for fit, rows, columns in (("resize", slice(None), slice(None)), ("crop", slice(None), slice(None))):
        after = edit(layout(), previous_image=image, previous_layout=layout(size=(32, 32)), fit=fit)
        assert (after[rows, columns] - 0.25).abs().max() < 1e-6, "nothing has changed"
    padded = edit(layout(), previous_image=image, previous_layout=layout(size=(32, 32)), fit="pad")
    assert (padded[:, 7:17] - 0.25).abs().max() < 1e-6 and (padded[:, [0, 1, 22, 23]] - 0.25).abs().mean() > 0.05
    edited = edit(layout(), previous_image=image, previous_layout=large, fit="resize")
    assert (edited - 0.25).abs().max() > 0.05, "the box has gone"


def test_an_interrupted_edit_is_still_to_be_made(
    pack: Any, edit: Any, layout: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import comfy.utils

    class Interrupted(Exception):
        pass

    seen: list[Any] = []

    def hook(value: int, total: int, preview: Any, node_id: Any = None) -> None:
        seen.append((value, total, preview))
        if value == 2:
            raise Interrupted

    before = edit(layout())
    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    with pytest.raises(Interrupted):
        edit(layout(BOX))
    assert [(value, total) for value, total, _ in seen] == [(1, 3), (2, 3)]
    kind, picture, _ = seen[0][2]
    assert kind == "JPEG" and picture.size == (24, 16)
    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", None)
    after = edit(layout(BOX))
    assert torch.equal(after[far()], before[far()]) and not torch.equal(after, before)


def test_what_does_not_fit_is_refused_in_a_sentence(pack: Any, edit: Any, layout: Any) -> None:
    image = torch.zeros(1, 16, 24, 3)
    for given in ({"previous_image": image}, {"previous_layout": layout()}):
        with pytest.raises(ValueError, match="connect both previous_image and previous_layout, or neither"):
            edit(layout(), **given)
    with pytest.raises(ValueError, match="one image is edited at a time, not 2"):
        edit(layout(), previous_image=image.repeat(2, 1, 1, 1), previous_layout=layout())
    sockets, ade20k = pack("nodes.sockets"), pack("scdm.layouts.palette").Palette.named("ade20k")
    foreign = sockets.Layout(
        pack("scdm.layouts.labels").LabelMap(torch.zeros(1, 16, 24, dtype=torch.long), 151), ade20k
    )
    for given in ({"layout": foreign}, {"layout": layout(), "previous_image": image, "previous_layout": foreign}):
        with pytest.raises(
            ValueError, match="151 classes, the model expects 14: load the layout with the palette scenes"
        ):
            edit(**given)
    two = sockets.Layout(layout().labels.expanded(2), layout().palette)
    with pytest.raises(ValueError, match="one layout is edited at a time, not 2"):
        edit(two)


@pytest.mark.parametrize(
    "failure", [torch.OutOfMemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_want_of_memory_is_said(
    pack: Any, edit: Any, layout: Any, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cramped(*_: Any) -> None:
        raise failure

    monkeypatch.setattr(pack("nodes.editing").EditSession, "update", cramped)
    with pytest.raises(ValueError, match="not enough memory for an image of 24 x 16"):
        edit(layout())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from serving(tmp_path_factory.mktemp("comfyui"))


def edit_of_a_layout(server: Server) -> tuple[dict[str, Any], dict[str, Any]]:
    """A prompt that edits before.png, beside which after.png lies, where a square has another class; and its Edit Image."""
    layout = np.full((64, 64), 6, np.uint8)
    Image.fromarray(layout).save(server.base / "input" / "before.png")
    layout[40:50, 20:30] = 8
    Image.fromarray(layout).save(server.base / "input" / "after.png")
    prompt = template("layout_to_image", server.get("/object_info"))
    (node,) = [node for node in prompt.values() if node["class_type"] == "SCDM_Generate"]
    node["class_type"] = "SCDM_EditImage"
    node["inputs"] |= {"steps": 2, "margin": MARGIN, "feather": 0.0}
    inputs(prompt, "SCDM_LoadLayout").update(image="before.png")
    return prompt, node


def margin_around_the_edit() -> np.ndarray:
    """(64, 64) bool: the square, and what is repainted around it."""
    edited = np.zeros((64, 64), dtype=bool)
    edited[40 - MARGIN : 50 + MARGIN, 20 - MARGIN : 30 + MARGIN] = True
    return edited


def test_a_server_can_be_interrupted_and_goes_on_from_the_image_before(server: Server) -> None:
    prompt, node = edit_of_a_layout(server)
    (before,) = server.run(prompt)
    inputs(prompt, "SCDM_LoadLayout").update(image="after.png")
    node["inputs"]["steps"] = 1000  # another setting, so all of it: there is time to interrupt
    running = server.queue(prompt)
    server.wait_until(lambda: server.get("/queue")["queue_running"], "start of a prompt")
    time.sleep(3)
    server.request("/interrupt", {"prompt_id": running})
    assert "execution_interrupted" in dict(server.outcome(running)["status"]["messages"])
    node["inputs"]["steps"] = 2
    (after,) = server.run(prompt)
    edited = margin_around_the_edit()
    assert np.array_equal(after[~edited], before[~edited])
    assert (after != before)[40:50, 20:30].mean() > 0.5


def test_an_edit_goes_on_after_the_server_has_freed_its_memory(server: Server) -> None:
    prompt, _ = edit_of_a_layout(server)
    (before,) = server.run(prompt)
    server.request("/free", {"unload_models": True, "free_memory": True})
    inputs(prompt, "SCDM_LoadLayout").update(image="after.png")
    (after,) = server.run(prompt)
    edited = margin_around_the_edit()
    assert np.array_equal(after[~edited], before[~edited]) and not np.array_equal(after, before)
