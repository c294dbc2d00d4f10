"""EditSession: what a painter can rely on from edit to edit, shown on a small network with random weights."""

from __future__ import annotations

import errno
import io
import json
import os
import threading
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import scdm
from scdm.editing import history
from scdm.editing.session import Cancelled, EditSession
from scdm.files.images import from_levels, to_levels
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette
from scdm.models.model import Model, ModelConfig
from scdm.networks import UNet, UNetConfig
from scdm.pipeline import GenerateOptions, generate
from tests.weights import randomize

CLASSES = 4
PALETTE = Palette("test", ("sky", "sea", "sand", "tree"), ((9, 0, 0), (0, 9, 0), (0, 0, 9), (9, 9, 9)))
FAST = GenerateOptions(steps=3, sampler="ddim", seed=5)


def build(seed: int = 0, palette: Palette = PALETTE) -> Model:
    network = UNetConfig(
        palette.num_classes, channels=32, channel_mult=(1, 1), res_blocks=1, attention=(), head_channels=None, hidden=8
    )
    model = Model.new(ModelConfig(network, size=(16, 16), label_diffusion="uniform", prediction="x0"), palette)
    randomize(model.network, seed)
    model.network.eval()
    return model.to("cpu")


@pytest.fixture(scope="module")
def model() -> Model:
    return build()


def box(top: int, left: int, bottom: int, right: int, size: tuple[int, int] = (16, 16)) -> torch.Tensor:
    mask = torch.zeros(size, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return mask


def begun(
    model: Model, size: tuple[int, int] = (16, 16), options: GenerateOptions = FAST, margin: int = 2
) -> EditSession:
    """A session with some sky, and its first image."""
    session = EditSession(model, size, options, margin=margin)
    session.paint(box(0, 0, size[0] // 2, size[1], size), "sky")
    session.update()
    return session


def state(session: EditSession) -> tuple[torch.Tensor, torch.Tensor | None]:
    return session.labels.ids, session.image


def same(one: tuple[torch.Tensor, ...], other: tuple[torch.Tensor, ...]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_it_is_public() -> None:
    assert scdm.EditSession is EditSession and "EditSession" in scdm.__all__


def test_the_first_image_is_the_librarys_own_in_the_levels_of_files(model: Model) -> None:
    ids = torch.randint(0, CLASSES + 1, (1, 15, 18), generator=torch.Generator().manual_seed(1))
    labels = LabelMap(ids, CLASSES)
    session = EditSession(model, labels, FAST)
    assert session.image is None
    update = session.update()
    assert torch.equal(update.image, from_levels(to_levels(generate(model, labels, FAST))))
    assert update.region.all() and update.seconds > 0
    assert torch.equal(session.image, update.image)


def test_nothing_painted_is_an_unconditional_image(model: Model) -> None:
    session = EditSession(model, (16, 16), FAST)
    assert session.labels.unpainted.all()
    assert torch.equal(session.update().image, from_levels(to_levels(generate(model, session.labels, FAST))))


@pytest.mark.parametrize("size", [(16, 16), (40, 56)])
def test_only_the_change_and_its_margin_are_painted_anew(model: Model, size: tuple[int, int]) -> None:
    session = begun(model, size)
    before = session.image
    session.paint(box(9, 4, 12, 8, size), "tree")
    session.erase(box(0, 0, 1, 1, size).numpy())
    update = session.update()
    expected = torch.zeros(size, dtype=torch.bool)
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    for row, column in (*torch.cartesian_prod(torch.arange(9, 12), torch.arange(4, 8)).tolist(), (0, 0)):
        expected |= (rows - row) ** 2 + (columns - column) ** 2 <= 2**2
    assert torch.equal(update.region, expected)
    assert torch.equal(update.image[..., ~expected], before[..., ~expected])
    assert (update.image != before)[..., box(9, 4, 12, 8, size)].float().mean() > 0.9
    assert session.labels.ids[0, 10, 5] == PALETTE.names.index("tree") and session.labels.ids[0, 0, 0] == CLASSES


def test_what_changes_nothing_costs_nothing(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    session = begun(model)
    before = session.image
    monkeypatch.setattr(UNet, "encode", lambda *_: pytest.fail("the network was asked"))
    session.paint(box(0, 0, 0, 0), "tree")
    session.paint(box(0, 0, 4, 4), "sky")  # as it is
    update = session.update()
    assert torch.equal(update.image, before) and not update.region.any()
    session.paint(box(0, 0, 4, 4), "tree")
    session.paint(box(0, 0, 4, 4), "sky")  # and back
    assert not session.update().region.any()


def test_noise_belongs_to_the_canvas_and_not_to_the_edit(model: Model) -> None:
    """The same edit gives the same pixels, whatever was done elsewhere before, and though only a window is computed."""
    options = replace(FAST, label_noise="coupled")
    session = begun(model, (64, 64), options)
    other = begun(model, (64, 64), options)
    other.paint(box(60, 60, 64, 64, (64, 64)), "sea")
    other.update()
    for each in (session, other):
        each.paint(box(10, 10, 14, 14, (64, 64)), "tree")
    one, two = session.update(), other.update()
    assert torch.equal(one.region, two.region)
    assert torch.equal(one.image[..., one.region], two.image[..., one.region])


def test_a_new_draw_somewhere_is_of_no_matter_to_what_is_painted_elsewhere(model: Model) -> None:
    """Though it is painted in the same update: each pixel's noise is its own."""
    size = (64, 64)
    far, near = box(56, 56, 64, 64, size), box(10, 10, 14, 14, size)
    one, other = begun(model, size), begun(model, size)
    other.again(box(0, 0, 1, 1, size))  # one draw ahead
    other.undo()
    for session in (one, other):
        session.again(far)
        session.paint(near, "tree")
        session.update()
    change = (one.image - other.image).abs().mean(dim=(0, 1))
    assert change[far].mean() > 0.02
    assert change[near].mean() < 0.2 * change[far].mean(), "the network sees all, but the noise is the same"


def test_a_small_edit_on_a_large_canvas_computes_a_window_only(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, encode = [], UNet.encode

    def counted(self: UNet, x: torch.Tensor, t: torch.Tensor, height: int | None = None) -> object:
        pixels.append(x.shape[-2] * x.shape[-1])
        return encode(self, x, t, height)

    monkeypatch.setattr(UNet, "encode", counted)
    size = (62, 90)  # no multiples of the network's stride
    session = begun(model, size)
    assert pixels == [62 * 90] * 3
    pixels.clear()
    for edit in (box(30, 40, 33, 43, size), box(61, 89, 62, 90, size), box(0, 50, 62, 51, size)):
        before = session.image
        session.paint(edit, "tree")
        update = session.update()
        assert torch.equal(update.image[..., ~update.region], before[..., ~update.region])
    assert max(pixels[:6]) <= 20 * 20 and max(pixels[6:]) <= 62 * 20
    pixels.clear()
    session.options = replace(FAST, dynamic_threshold=0.9)  # which the whole prediction decides
    session.erase(box(30, 40, 33, 43, size))
    session.update()
    assert pixels == [62 * 90] * 3


def test_again_is_another_draw_there_and_only_there(model: Model) -> None:
    session = begun(model)
    seen = [session.image]
    where = box(4, 4, 8, 8)
    for _ in range(3):
        session.again(where)
        update = session.update()
        assert torch.equal(update.image[..., ~update.region], seen[0][..., ~update.region])
        assert not any(torch.equal(update.image, image) for image in seen)
        seen.append(update.image)
        session.undo()
        assert torch.equal(session.image, seen[0])
    session.again()
    update = session.update()
    assert update.region.all()
    other = replace(FAST, seed=FAST.seed + 4)
    assert torch.equal(update.image, from_levels(to_levels(generate(model, session.labels, other))))


def test_undo_and_redo_bring_layout_and_image_back_without_the_network(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = begun(model)
    states = [state(session)]
    for step in range(3):
        session.paint(box(8 + 2 * step, 2, 10 + 2 * step, 6), "sand")
        session.update()
        states.append(state(session))
    monkeypatch.setattr(UNet, "encode", lambda *_: pytest.fail("the network was asked"))
    for back in (2, 1, 0):
        assert session.undo() and same(state(session), states[back])
        assert not session.update().region.any()
    for forth in (1, 2, 3):
        assert session.redo() and same(state(session), states[forth])
    assert not session.redo()
    session.undo()
    monkeypatch.undo()
    session.erase(box(0, 0, 2, 2))
    assert not session.redo(), "another edit took its place"
    assert session.undo() and same(state(session), states[2])


def test_there_is_nothing_to_undo_at_first(model: Model) -> None:
    session = EditSession(model, (16, 16), FAST)
    assert not session.undo() and not session.redo()


def test_an_image_of_ones_own_is_gone_on_from(model: Model) -> None:
    mine = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    labels = LabelMap(torch.zeros(1, 16, 16, dtype=torch.long), CLASSES)
    session = EditSession(model, labels, FAST, margin=1, image=from_levels(to_levels(mine)))
    assert not session.update().region.any()
    changed = labels.ids.clone()
    changed[0, 12:, 12:] = 1
    session.change(LabelMap(changed, CLASSES))
    update = session.update()
    assert 16 < update.region.sum() < 16 + 16
    assert torch.equal(update.image[..., ~update.region], from_levels(to_levels(mine))[..., ~update.region])


def test_who_paints_on_in_a_tensor_of_their_own_makes_edits_only_by_asking(model: Model) -> None:
    ids = torch.zeros(1, 16, 16, dtype=torch.long)
    session = EditSession(model, LabelMap(ids, CLASSES), FAST)
    session.update()
    ids[0, 4:8, 4:8] = 1
    session.labels.ids.fill_(2)
    assert not session.region.any()
    session.change(LabelMap(ids, CLASSES))
    assert session.region[4:8, 4:8].all()


class Stop(Exception):
    pass


def test_an_update_that_is_stopped_leaves_all_as_it_was(model: Model) -> None:
    session = begun(model)
    session.paint(box(9, 4, 12, 8), "tree")
    before, region = state(session), session.region

    def stop(step: object, steps: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        session.update(stop)
    assert same(state(session), before) and torch.equal(session.region, region)
    with pytest.raises(Cancelled):
        session.update(lambda step, steps: session.cancel())
    assert same(state(session), before)
    update = session.update()
    assert torch.equal(update.region, region) and not torch.equal(update.image, before[1])
    assert not any(layer._forward_pre_hooks for layer in model.network.modules()), "nothing stays in the network"


def test_cancelling_from_another_thread_ends_it_within_a_step(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    session = EditSession(model, (16, 16), replace(FAST, steps=1000))
    reached, decode, calls = threading.Event(), UNet.decode, []

    def slow(self: UNet, *arguments: object) -> torch.Tensor:
        calls.append(1)
        reached.set()
        assert cancelled.wait(10)
        return decode(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(UNet, "decode", slow)
    cancelled = threading.Event()
    failures: list[BaseException] = []

    def update() -> None:
        try:
            session.update()
        except BaseException as error:
            failures.append(error)

    worker = threading.Thread(target=update)
    worker.start()
    assert reached.wait(30)
    session.cancel()
    cancelled.set()
    worker.join(30)
    assert [type(failure) for failure in failures] == [Cancelled] and session.image is None
    assert len(calls) == 1, "in the middle of the first step, of which the unguided half was still to come"


def test_cancelling_when_nothing_runs_is_no_matter(model: Model) -> None:
    session = EditSession(model, (16, 16), FAST)
    session.cancel()
    assert session.update().region.all()


def test_an_update_within_an_update_is_not_waited_for(model: Model) -> None:
    session, once = EditSession(model, (16, 16), FAST), iter([True])
    inner: list[torch.Tensor] = []
    outer = session.update(lambda step, steps: inner.append(session.update().image) if next(once, False) else None)
    assert torch.equal(outer.image, inner[0]) and torch.equal(session.image, inner[0])


def test_masks_and_classes_come_as_numpy_has_them(model: Model) -> None:
    session = EditSession(model, (np.int64(16), 16), FAST)
    session.paint(np.flipud(box(0, 0, 2, 16).numpy()), "tree")  # a view that torch cannot read
    assert (session.labels.ids[0, 14:] == 3).all() and session.labels.unpainted[0, :14].all()
    session.paint(np.broadcast_to(np.True_, (16, 16)), np.uint8(2))  # which cannot be written to
    assert (session.labels.ids == 2).all()
    narrow = EditSession(model, (1, 6), FAST, margin=np.int64(1))
    narrow.paint(np.ones((1, 6), bool)[::-1], "sky")
    numbers = replace(PALETTE, names=("3", "2", "1", "0"))
    session = EditSession(build(palette=numbers), (16, 16), FAST)
    session.paint(box(0, 0, 1, 16), 0)
    session.paint(box(1, 0, 2, 16), "0")
    assert session.labels.ids[0, :2, 0].tolist() == [0, 3], "an id is an id, and a name a name"


def test_want_of_memory_is_not_called_damage(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(model).save(tmp_path / "a")
    monkeypatch.setattr("scdm.editing.history._pixels", lambda *_: np.empty(2**62, np.uint8))
    with pytest.raises(MemoryError, match="not enough memory to open"):
        EditSession.open(tmp_path / "a", model)


def test_edits_made_during_an_update_wait_for_the_next(model: Model) -> None:
    session, apart = begun(model), begun(model)
    session.paint(box(9, 4, 12, 8), "tree")
    apart.paint(box(9, 4, 12, 8), "tree")
    first = session.update(lambda step, steps: session.paint(box(0, 12, 2, 14), "sea"))
    assert torch.equal(first.image, apart.update().image)
    apart.paint(box(0, 12, 2, 14), "sea")
    second = session.update()
    assert torch.equal(second.region, apart.region)
    assert torch.equal(second.image, apart.update().image)
    session.undo()
    assert torch.equal(session.image, first.image)


def test_a_reopened_session_goes_on_exactly_like_the_one_that_was_saved(model: Model, tmp_path: Path) -> None:
    session = begun(model, (20, 16), replace(FAST, label_noise="coupled", eta=0.5))
    size = (20, 16)
    session.again(box(0, 0, 3, 3, size))
    session.update()
    session.paint(box(9, 4, 12, 8, size), "tree")
    session.update()
    session.paint(box(2, 2, 5, 5, size), 1)  # not updated yet
    session.undo()
    session.save(tmp_path / "a.scdm")
    assert [file.name for file in tmp_path.iterdir()] == ["a.scdm"]
    reopened = EditSession.open(tmp_path / "a.scdm", model)
    assert same(state(reopened), state(session))

    def go_on(each: EditSession) -> list[torch.Tensor]:
        seen = [each.image]
        each.redo()
        seen += [*state(each), *each.update()[:2]]
        each.again(box(0, 0, 3, 3, size))
        seen += each.update()[:2]
        while each.undo():
            seen += [tensor for tensor in state(each) if tensor is not None]
        return seen  # type: ignore[return-value]

    one, other = go_on(session), go_on(reopened)
    assert len(one) > 12 and same(tuple(one), tuple(other))


def test_a_saved_session_shows_its_images_to_any_program(model: Model, tmp_path: Path) -> None:
    session = begun(model)
    session.save(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        picture = Image.open(io.BytesIO(archive.read("images/0.png")))
    assert np.array_equal(np.asarray(picture), to_levels(session.image)[0])


def test_a_file_with_a_lower_denoising_strength_is_reopened_without(model: Model, tmp_path: Path) -> None:
    session = begun(model)
    session.save(tmp_path / "new")
    old = about(options={**asdict(session.options), "strength": 0.5, "guidance": 0.5})  # as it was once written
    again = EditSession.open(rewritten(tmp_path / "new", tmp_path / "a", old), model)
    assert (again.options.strength, again.options.guidance) == (1, 1) and torch.equal(again.image, session.image)


def test_sessions_of_another_kind_are_refused_in_words(model: Model) -> None:
    with pytest.raises(ValueError, match="gives, not 'scenes'"):
        EditSession("scenes", (16, 16))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"the options are GenerateOptions\(\.\.\.\), not {}"):
        EditSession(model, (16, 16), {})  # type: ignore[arg-type]


def test_a_session_is_of_its_models_classes(model: Model, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the layout has 7 classes, the model"):
        EditSession(model, LabelMap(torch.zeros(1, 16, 16, dtype=torch.long), 7))
    begun(model).save(tmp_path / "a")
    faces = replace(PALETTE, name="faces", names=("hair", "eye", "nose", "lip"))
    with pytest.raises(ValueError, match=r"a was painted in other classes, \['sky'.*than the model's, \['hair'"):
        EditSession.open(tmp_path / "a", build(palette=faces))
    with pytest.warns(UserWarning, match="made with another model"):
        EditSession.open(tmp_path / "a", build(seed=1))


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (
            lambda s: s.paint(box(0, 0, 1, 1, (32, 32)), "tree"),
            r"\(height, width\) = \(16, 16\), not torch.bool of \(32, 32\)",
        ),
        (lambda s: s.erase(torch.zeros(16, 16)), "is bool of .*, not torch.float32"),
        (lambda s: s.erase(np.zeros((16, 16), np.uint8)), r"not uint8 of \(16, 16\): for instance mask > 0\.5"),
        (lambda s: s.again(np.zeros((1, 16, 16), bool)), r"= \(16, 16\), not bool of \(1, 16, 16\)"),
        (lambda s: s.paint(box(0, 0, 1, 1), "tre"), "did you mean 'tree'"),
        (lambda s: s.paint(box(0, 0, 1, 1), 5), "classes 0 to 3, and 4 for unpainted, not 5"),
        (lambda s: s.paint(box(0, 0, 1, 1), -1), "classes 0 to 3, and 4 for unpainted, not -1"),
        (lambda s: s.paint(None, "tree"), "is bool of .*, not None"),
        (
            lambda s: s.change(LabelMap(torch.zeros(1, 8, 8, dtype=torch.long), 4)),
            "the layout is 8x8, the canvas 16x16",
        ),
        (
            lambda s: s.change(LabelMap(torch.zeros(2, 16, 16, dtype=torch.long), 4)),
            "one layout is edited at a time, not 2",
        ),
    ],
)
def test_impossible_edits_are_refused_and_leave_no_trace(
    model: Model, edit: Callable[[EditSession], None], sentence: str
) -> None:
    session = EditSession(model, (16, 16), FAST)
    with pytest.raises(ValueError, match=sentence):
        edit(session)
    assert session.labels.unpainted.all() and not session.undo()


@pytest.mark.parametrize("size", [(0, 5), (5, -1), (2.5, 4), (100_000, 100_000), 5, None, (5,), (5, 5, 5)])
def test_impossible_canvases_are_refused(model: Model, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="a canvas has a height and a width"):
        EditSession(model, size)
    with pytest.raises(ValueError, match=r"leave strength at 1, not 0\.5"):
        EditSession(model, (16, 16), GenerateOptions(strength=0.5))
    with pytest.raises(ValueError, match="margin must be a whole number from 0 to 1024, or None, not -1"):
        EditSession(model, (16, 16), margin=-1)
    with pytest.raises(ValueError, match="the image is 8x8, the layout 16x16"):
        EditSession(model, (16, 16), image=torch.zeros(1, 3, 8, 8))
    for value in (float("nan"), 255.0):
        with pytest.raises(ValueError, match="the image holds"):
            EditSession(model, (16, 16), image=torch.full((1, 3, 16, 16), value))


def test_label_noise_of_ones_own_cannot_be_written(model: Model, tmp_path: Path) -> None:
    options = replace(FAST, label_noise=lambda t, shape: torch.ones(shape))
    with pytest.raises(ValueError, match="label noise that is a function"):
        EditSession(model, (16, 16), options).save(tmp_path / "a")
    with pytest.raises(ValueError, match="there is no folder"):
        begun(model).save(tmp_path / "absent" / "a")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_costs_nothing_that_was_there(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(model).save(tmp_path / "a")
    before = (tmp_path / "a").read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(ValueError, match="a cannot be written, what was there is kept: No space left on device"):
        begun(model).save(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def rewritten(source: Path, target: Path, change: Callable[[dict[str, bytes]], None], **how: int) -> Path:
    """A history file with other members."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w", **how) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target


def record(**changed: object) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        members["history.json"] = json.dumps(json.loads(members["history.json"]) | changed).encode()

    return change


def about(**changed: object) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        whole = json.loads(members["history.json"])
        members["history.json"] = json.dumps(whole | {"about": whole["about"] | changed}).encode()

    return change


def picture(name: str, mode: str, size: tuple[int, int], colour: int = 0) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        content = io.BytesIO()
        Image.new(mode, size, colour).save(content, "PNG")
        members[name] = content.getvalue()

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda members: members.pop("history.json"), r"history\.json is missing"),
        (lambda members: members.update({"history.json": b"[1]"}), "its version is None"),
        (lambda members: members.update({"history.json": b"[" * 100_000}), "not valid JSON"),
        (lambda members: members.pop("images/0.png"), r"images/0\.png is missing"),
        (lambda members: members.update({"images/0.png": members["images/0.png"][:99]}), "damaged"),
        (lambda members: members.update({"images/0.png": b"GIF89a"}), "damaged"),
        (picture("images/0.png", "RGB", (17, 16)), "a picture of 17 x 16"),
        (picture("images/0.png", "L", (16, 16)), "in mode L"),
        (picture("planes/0.png", "L", (16, 16), 5), "holds 5, where 4 is the most"),
        (picture("planes/0.png", "L", (8_000, 8_000)), "a picture of 8000 x 8000"),
        (record(version=2), "update scdm"),
        (record(height=100_000, width=100_000), "its image is 100000 x 100000"),
        (record(at=2), "of 2 moments, number 2 is not one"),
        (record(at=-1), "at must be a whole number from 0"),
        (record(moments=[]), "of 0 moments"),
        (record(at=0, moments=[{"plan": {"ids": 0, "draws": 0}, "image": 0, "made_for": None}]), "half an image"),
        (record(moments=[{"plan": {"ids": 0, "draws": 0}, "image": None, "made_for": None}] * 1001), "more than are"),
        (record(more=1), "unknown setting more"),
        (record(num_classes=0), "num_classes must be a whole number from 1"),
        (about(options={"steps": 0}), "steps must be"),
        (about(options={"label_noise": 7}), "label_noise must be text"),
        (about(options=None), "options must be a section, not None"),
        (about(margin="wide"), "margin must be a whole number"),
        (about(margin=-1), "margin must be a whole number from 0"),
        (about(draws="many"), "draws"),
    ],
)
def test_damaged_histories_are_refused_by_name(
    model: Model, tmp_path: Path, change: Callable[[dict[str, bytes]], None], sentence: str
) -> None:
    begun(model).save(tmp_path / "good")
    with pytest.raises(ValueError, match=rf"bad.*{sentence}"):
        EditSession.open(rewritten(tmp_path / "good", tmp_path / "bad", change), model)


def test_what_is_no_session_or_packed_tighter_is_refused(model: Model, tmp_path: Path) -> None:
    begun(model).save(tmp_path / "good")
    content = (tmp_path / "good").read_bytes()
    for name, written in {"empty": b"", "text": b"hello", "half": content[: len(content) // 2]}.items():
        (tmp_path / name).write_bytes(written)
        with pytest.raises(ValueError, match=f"{name} is no session that can be opened"):
            EditSession.open(tmp_path / name, model)
    place = content.index(b"IDAT") + 10
    (tmp_path / "flipped").write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
    with pytest.raises(ValueError, match="flipped is damaged"):
        EditSession.open(tmp_path / "flipped", model)
    bomb = rewritten(tmp_path / "good", tmp_path / "bomb", lambda members: None, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="too large, or compressed"):
        EditSession.open(bomb, model)
    with pytest.raises(ValueError, match="there is no such file"):
        EditSession.open(tmp_path / "gone", model)


def test_a_larger_canvas_than_is_wanted_is_refused_before_its_pictures_are_read(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(model).save(tmp_path / "good")
    assert history.read(tmp_path / "good", most_side=16).history.now.plan.ids.shape == (16, 16)
    monkeypatch.setattr("scdm.editing.history._pixels", lambda *_: pytest.fail("its pictures were read"))
    with pytest.raises(ValueError, match="its canvas has 16 x 16 pixels, where a side has up to 15"):
        history.read(tmp_path / "good", most_side=15)


def test_an_update_is_kept_however_many_strokes_were_made_meanwhile(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moment that it was made for may be forgotten by then; what came after it still waits for the image."""
    monkeypatch.setattr("scdm.editing.history.MOST_PIXELS_KEPT", 3 * 256)
    session = EditSession(model, (16, 16), FAST, margin=2)
    places = iter(range(16))

    def strokes(*_: object) -> None:
        for _ in range(2):
            row = next(places)
            session.paint(box(row, 0, row + 1, 1), "tree")

    update = session.update(strokes)
    assert torch.equal(session.image, update.image)
    assert session.region.sum() < 100, "only the strokes are left to do"
    while session.undo():
        assert torch.equal(session.image, update.image)


def test_what_was_undone_and_forgotten_meanwhile_does_not_come_back(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scdm.editing.history.MOST_PIXELS_KEPT", 2 * 256)
    photo = torch.zeros(1, 3, 16, 16)
    session = EditSession(model, (16, 16), FAST, margin=1, image=photo)
    session.paint(box(12, 12, 16, 16), "tree")

    def others(*_: object) -> None:
        if session.undo():
            for row in range(3):
                session.paint(box(row, 0, row + 1, 1), "sand")

    session.update(others)
    assert torch.equal(session.image, from_levels(to_levels(photo))) and not session.region[8:, 8:].any()


def test_what_was_undone_meanwhile_does_not_come_back(model: Model) -> None:
    session = begun(model)
    before = session.image
    session.paint(box(9, 4, 12, 8), "tree")

    def another(*_: object) -> None:
        if session.undo():
            session.paint(box(0, 0, 2, 2), "sand")

    session.update(another)
    assert torch.equal(session.image, before)
    assert session.undo() and torch.equal(session.image, before)


@pytest.mark.parametrize("margin", [0, 1, 4])
def test_what_was_asked_for_is_not_left_faint(model: Model, margin: int) -> None:
    """However wide the feather: the part that fades in is the margin's."""
    session, narrow = (begun(model, options=replace(FAST, feather=feather), margin=margin) for feather in (20, margin))
    for each in (session, narrow):
        each.paint(box(9, 4, 15, 12), "tree")
    assert torch.equal(session.update().image, narrow.update().image)


def test_borders_that_cannot_be_edited_are_refused(model: Model) -> None:
    network = replace(model.config.network, edges=True)
    outlined = Model.new(replace(model.config, network=network), PALETTE)
    labels = LabelMap(torch.zeros(1, 16, 16, dtype=torch.long), CLASSES, torch.ones(1, 1, 16, 16, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"cannot be edited: use LabelMap\(labels.ids"):
        EditSession(outlined, labels, FAST)
    assert EditSession(model, labels, FAST).labels.edges is None  # which this model would not see
    assert EditSession(outlined, LabelMap(labels.ids, CLASSES), FAST).update().region.all()


def test_options_that_the_model_does_not_know_are_refused_at_once(model: Model) -> None:
    student = replace(model, config=replace(model.config, distilled_steps="trailing4", distilled_guidance=1.5))
    with pytest.raises(ValueError, match=r"distilled to (steps 4|4 steps)"):
        EditSession(student, (16, 16), FAST)


def test_how_far_to_trust_the_layout_is_the_sessions_and_goes_into_its_file(model: Model, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not read how rough a layout is"):
        EditSession(model, (16, 16), replace(FAST, roughness=0.5))
    network = replace(model.config.network, roughness=True)
    reader = Model.new(replace(model.config, network=network), PALETTE)
    randomize(reader.network)
    session = begun(reader, options=replace(FAST, roughness=0.5, layout_end=0.67))
    trusting = begun(reader, options=replace(FAST, roughness=0.0, layout_end=0.67))
    assert session.image is not None and not torch.equal(session.image, trusting.image)
    session.save(tmp_path / "session")
    again = EditSession.open(tmp_path / "session", reader)
    assert again.options == session.options and again.options.roughness == 0.5
    for one in (session, again):
        one.paint(box(4, 4, 8, 8), "tree")
        one.update()
    assert torch.equal(session.image, again.image)


def test_of_very_many_edits_the_oldest_are_forgotten(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scdm.editing.history.MOST_PIXELS_KEPT", 3 * 256)
    session = begun(model)
    for row in range(8, 16):
        session.paint(box(row, 0, row + 1, 1), "tree")
    assert session.undo() and session.undo() and not session.undo()
    assert session.labels.ids[0, 13, 0] == 3 and session.labels.ids[0, 14, 0] == CLASSES
    session = EditSession(model, (16, 16), FAST, moments=2)
    for row in range(3):
        session.paint(box(row, 0, row + 1, 1), "tree")
    assert session.undo() and not session.undo()


def test_settings_change_between_edits_and_the_image_stays(model: Model) -> None:
    session, apart = begun(model), begun(model)
    before, slow = session.image, replace(FAST, steps=5)
    session.configure(model, slow, margin=1)
    assert torch.equal(session.update().image, before)
    session.paint(box(9, 4, 12, 8), "tree")
    update = session.update()
    assert update.region.sum() < 3 * 4 + 2 * (3 + 4) + 1
    apart.paint(box(9, 4, 12, 8), "tree")
    assert not torch.equal(update.image, apart.update().image)
    with pytest.raises(ValueError, match="leave strength at 1"):
        session.configure(model, replace(FAST, strength=0.5))
    assert session.options is slow and session.undo() and torch.equal(session.image, before)


def test_a_layout_of_before_is_found_again_with_its_image(model: Model) -> None:
    """As painters need it that have an undo of their own."""
    session = begun(model)
    first = session.labels, session.image
    session.paint(box(9, 4, 12, 8), "tree")
    session.update()
    session.again(box(9, 4, 12, 8))
    session.update()
    last = session.labels, session.image
    assert session.return_to(first[0]) and torch.equal(session.image, first[1])
    assert session.return_to(last[0]) and torch.equal(session.image, last[1]), "the latest draw of that layout"
    session.undo()
    drawn = session.image
    assert session.return_to(last[0]) and torch.equal(session.image, drawn), "it is there already"
    other = LabelMap(torch.zeros_like(first[0].ids), CLASSES)
    assert not session.return_to(other) and torch.equal(session.image, drawn)
