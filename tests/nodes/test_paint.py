"""Paint Layout: what its widget gives becomes a layout in the classes that are wanted, and bad documents a sentence."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from scdm.layouts import paintings
from scdm.layouts.palette import Palette
from tests.nodes.test_nodes import untrained

SCENES = Palette.named("scenes")
SKY, WATER = SCENES.names.index("sky"), SCENES.names.index("water")
NOTHING = SCENES.num_classes


def document(ids: np.ndarray, palette: Palette = SCENES) -> bytes:
    file = io.BytesIO()
    paintings.write(file, palette, ids)
    return file.getvalue()


def inline(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def picture() -> np.ndarray:
    ids = np.full((6, 8), NOTHING)
    ids[:2], ids[4:] = SKY, WATER
    return ids


def paint(pack: Any, painting: str = "", palette: str = "scenes", width: int = 0, height: int = 0, **more: Any) -> Any:
    return pack("nodes.paint").PaintLayout.execute(palette, width, height, painting, **more)


def test_a_document_becomes_a_layout_its_colours_and_what_is_unpainted(pack: Any, folders: Any) -> None:
    output = paint(pack, inline(document(picture())))
    layout, image, unpainted = output.result
    assert np.array_equal(layout.labels.ids[0].numpy(), picture()) and layout.palette.name == "scenes"
    assert image.shape == (1, 6, 8, 3) and (image[0, 0, 0] * 255).round().tolist() == list(SCENES.colors[SKY] or ())
    assert not image[0, 2:4].any() and torch.equal(unpainted[0], torch.from_numpy(picture() == NOTHING).float())
    assert output.ui["text"] == ["8 x 6: unpainted 33%, water 33%, sky 33%"] or "sky 33%" in output.ui["text"][0]


def test_an_uploaded_document_is_found_by_its_name_and_known_by_its_content(pack: Any, folders: Any) -> None:
    node = pack("nodes.paint").PaintLayout
    folder = Path(folders.get_input_directory()) / "scdm"
    folder.mkdir()
    (folder / "a.png").write_bytes(document(picture()))
    name = "scdm/a.png [input]"
    assert node.validate_inputs(name) is True
    assert np.array_equal(paint(pack, name).result[0].labels.ids[0].numpy(), picture())
    assert node.fingerprint_inputs(name) == node.fingerprint_inputs(inline(document(picture())), palette="scenes")
    (folder / "a.png").write_bytes(document(picture()[::-1]))
    assert node.fingerprint_inputs(name) != node.fingerprint_inputs(inline(document(picture())))


def test_nothing_painted_is_a_blank_layout_of_the_size_that_is_wanted(pack: Any, folders: Any) -> None:
    for value, size in (("", (512, 512)), ("  ", (512, 512))):
        labels = paint(pack, value).result[0].labels
        assert (labels.height, labels.width) == size and (labels.ids == NOTHING).all()
    assert paint(pack, width=24, height=16).result[0].labels.ids.shape == (1, 16, 24)
    assert pack("nodes.paint").PaintLayout.validate_inputs("") is True


def test_the_size_that_is_asked_for_is_made(pack: Any, folders: Any) -> None:
    assert paint(pack, inline(document(picture())), width=16).result[0].labels.ids.shape == (1, 12, 16)


def test_a_model_says_classes_and_size(pack: Any, folders: Any) -> None:
    """And the front end is told them, for the header of its file may say nothing."""
    model = untrained(pack)
    source = pack("nodes.native").scdm_model(model)
    output = paint(pack, palette="ade20k", model=model)
    layout, (told,) = output.result[0], output.ui["scdm_painting"]
    assert layout.palette == source.palette
    assert (layout.labels.height, layout.labels.width) == source.config.taught.preferred
    assert [name for name, _ in told["classes"]] == list(source.palette.names)
    assert told["size"] == [layout.labels.width, layout.labels.height]


def test_classes_are_kept_by_name_and_what_is_lost_is_said(pack: Any, folders: Any) -> None:
    output = paint(pack, inline(document(picture())), palette="ade20k")
    ids, ade20k = output.result[0].labels.ids[0].numpy(), Palette.named("ade20k")
    assert (ids[:2] == ade20k.names.index("sky")).all()
    ids = paint(pack, inline(document(picture())), palette="cityscapes").result[0].labels.ids[0].numpy()
    cityscapes = Palette.named("cityscapes")
    assert (ids[:2] == cityscapes.names.index("sky")).all() and (ids[4:] == cityscapes.num_classes).all()
    (text,) = paint(pack, inline(document(picture())), palette="cityscapes").ui["text"]
    assert "has no class 'water': 33 % of the painting became unpainted" in text


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("scdm/gone.png [input]", "there is no painting 'scdm/gone.png' in the folder input: paint it again"),
        ("../../etc/passwd", "there is no painting"),
        ("data:image/png;base64,%%", "the painting is damaged: paint it again"),
        ("data:image/png;base64,é", "the painting is damaged: paint it again"),
        (5, "a painting is a document or the name of one, not 5: paint it again"),
        ({}, "a painting is a document or the name of one, not {}: paint it again"),
    ],
)
def test_what_is_no_document_is_refused_before_the_graph_runs(
    pack: Any, folders: Any, value: Any, complaint: str
) -> None:
    assert complaint in pack("nodes.paint").PaintLayout.validate_inputs(value)


def test_files_that_cannot_be_read_are_refused_before_the_graph_runs(
    pack: Any, folders: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = pack("nodes.paint").PaintLayout
    file = Path(folders.get_input_directory()) / "a.png"
    file.write_bytes(document(picture()))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", Mock(side_effect=PermissionError(13, "Permission denied")))
        assert node.validate_inputs("a.png") == "the painting a.png: cannot be read (Permission denied)"
    monkeypatch.setattr(pack("scdm.layouts.paintings"), "MOST_FILE_BYTES", 2**4)
    assert node.validate_inputs("a.png").startswith("the painting a.png has more than")


def test_an_underlay_without_pixels_is_refused_in_words(pack: Any, folders: Any) -> None:
    for empty in (torch.zeros(0, 4, 4, 3), torch.zeros(1, 0, 4, 3)):
        with pytest.raises(ValueError, match="or an empty one: check the node"):
            paint(pack, underlay=empty)


def test_damaged_and_foreign_documents_are_sentences(pack: Any, folders: Any) -> None:
    content = document(picture())
    with pytest.raises(ValueError, match="the painting is damaged or incomplete"):
        paint(pack, inline(content[:80]))
    with pytest.raises(ValueError, match="the painting is no document of the painter"):
        paint(pack, inline(b"GIF89a"))


def test_an_underlay_is_shown_by_the_painter_and_changes_nothing(pack: Any, folders: Any) -> None:
    plain = paint(pack, inline(document(picture())))
    output = paint(pack, inline(document(picture())), underlay=torch.rand(2, 5, 7, 3))
    assert torch.equal(output.result[0].labels.ids, plain.result[0].labels.ids)
    file = output.ui["scdm_painting"][0]["underlay"]
    assert file["type"] == "temp" and (Path(folders.get_temp_directory()) / file["filename"]).is_file()


def test_the_front_end_is_told_classes_colours_and_sizes(pack: Any, folders: Any) -> None:
    """Of the palettes and models that can be chosen, with the node's definition."""
    schema = pack("nodes.paint").PaintLayout.GET_SCHEMA()
    (given,) = [spec for spec in schema.inputs if spec.id == "painting"]
    known = given.as_dict()
    assert known["socketless"] and known["default"] == ""
    assert known["scdm_palettes"]["scenes"][SKY] == ["sky", SCENES.colors[SKY]]
    assert {"ade20k", "ade20k_golden_angle"} <= known["scdm_palettes"].keys()
    assert [name for name, _ in known["scdm_values"]["ade20k"]] == ["ids", "annotations"], "for id maps"
    assert known["scdm_models"]["scenes-fast"]["classes"] == known["scdm_palettes"]["scenes"]
    assert len(known["scdm_models"]["scenes-fast"]["size"]) == 2
