"""Segmentation evaluators: classes are matched by name or order, else refused; segmenters in files and in folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from scdm.layouts.palette import Palette
from scdm.metrics import SmallSegmenter, open_evaluator, open_extractor
from scdm.metrics.evaluators import TransformersSegmenter, matched
from scdm.metrics.segmenter import Segmenter, save

IMAGES = torch.rand(2, 3, 24, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1


def palette(*names: str, unlabelled: int | None = None) -> Palette:
    return Palette("test", names, (None,) * len(names), unlabelled)


def test_classes_are_matched_by_name_whatever_their_order_and_spelling() -> None:
    ours = palette("unlabeled", "traffic light", "road", "sky")
    assert matched(["Road", "traffic_light"], ours).tolist() == [2, 1]
    assert matched(["road, route", "sky;heaven"], ours).tolist() == [2, 3]


def test_as_many_classes_are_matched_in_order_unless_a_name_speaks_against_it() -> None:
    ours = palette("wall", "none", "building", unlabelled=1)
    assert matched(["LABEL_0", "LABEL_1"], ours).tolist() == [0, 2]
    assert matched(["wall", "edifice"], ours).tolist() == [0, 2]
    with pytest.raises(ValueError, match=r"2 classes are not those of test \(2\): edifice"):
        matched(["edifice", "wall"], ours)
    with pytest.raises(ValueError, match=r"3 classes are not those"):
        matched(["a", "b", "c"], ours)


def test_published_segmenters_of_cityscapes_know_its_19_classes() -> None:
    names = "road sidewalk building wall fence pole traffic_light traffic_sign vegetation terrain sky person rider car truck"
    ids = matched([*names.split(), "bus", "train", "motorcycle", "bicycle"], Palette.named("cityscapes"))
    assert ids.tolist() == [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]


def test_a_file_is_evaluator_and_extractor(tmp_path: Path) -> None:
    torch.manual_seed(0)
    segmenter = Segmenter(palette("a", "b", "c", unlabelled=1), channels=(8, 16)).eval()
    save(tmp_path / "segmenter.safetensors", segmenter, torch.float32)
    evaluator = open_evaluator(tmp_path / "segmenter.safetensors", segmenter.palette)
    assert isinstance(evaluator, SmallSegmenter)
    assert evaluator.known.tolist() == [True, False, True]
    assert torch.equal(evaluator.ids(IMAGES), segmenter.ids(IMAGES)) and not (evaluator.ids(IMAGES) == 1).any()
    assert evaluator(IMAGES).shape == (2, 16) and not torch.equal(evaluator(IMAGES)[0], evaluator(IMAGES)[1])
    with pytest.raises(ValueError, match="the other of scenes"):
        open_evaluator(tmp_path / "segmenter.safetensors", Palette.named("scenes"))


def test_the_name_of_a_file_says_what_is_in_it(tmp_path: Path) -> None:
    names = []
    for seed, path in ((0, tmp_path / "one"), (0, tmp_path / "two"), (1, tmp_path / "three")):
        torch.manual_seed(seed)
        segmenter = Segmenter(palette("a", "b"), channels=(8,))
        save(path, segmenter)
        names.append(SmallSegmenter(path, segmenter.palette).name)
    assert names[0] == names[1] != names[2]


def test_a_folder_of_transformers_is_read_in_the_palettes_ids(optional: Any, tmp_path: Path) -> None:
    optional("transformers.models.segformer.modeling_segformer")
    transformers = optional("transformers")
    torch.manual_seed(0)
    config = transformers.SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 16],
        patch_sizes=[3, 3],
        strides=[2, 2],
        num_attention_heads=[1, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=16,
        id2label={0: "sky", 1: "road", 2: "car"},
        label2id={"sky": 0, "road": 1, "car": 2},
    )
    network = transformers.SegformerForSemanticSegmentation(config).eval()
    with torch.no_grad():
        network.decode_head.classifier.bias.copy_(torch.tensor([-100.0, 0, 0]))  # it never sees the sky
    network.save_pretrained(tmp_path)
    transformers.SegformerImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)

    evaluator = open_evaluator(tmp_path, palette("car", "tree", "sky", "road"))
    assert isinstance(evaluator, TransformersSegmenter)
    assert evaluator.known.tolist() == [True, False, True, True]
    ids = evaluator.ids(IMAGES)
    assert ids.shape == (2, 24, 40) and ids.dtype == torch.int64
    assert set(ids.unique().tolist()) <= {0, 3}
    with pytest.raises(ValueError, match="are not those of test"):
        open_evaluator(tmp_path, palette("cat", "dog"))
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match="holds no semantic segmenter"):
        open_evaluator(tmp_path, palette("sky", "road", "car"))


class Brightness:
    name = "brightness"

    def __init__(self, device: torch.device | str) -> None: ...

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3))


def broken(device: torch.device | str) -> None:
    raise RuntimeError(f"no such network on {device}")


def test_a_feature_extractor_is_imported_by_name() -> None:
    extractor = open_extractor(f"{__name__}:Brightness")
    assert extractor.name == "brightness" and extractor(IMAGES).shape == (2, 3)
    with pytest.raises(ValueError, match="gives no feature extractor"):
        open_extractor(f"{__name__}:Darkness")
    with pytest.raises(ValueError, match="gives no feature extractor"):
        open_extractor("there.is.no.such.module:maker")
    with pytest.raises(ValueError, match="gives no feature extractor"):
        open_extractor("nothing")
    with pytest.raises(ValueError, match="gives no feature extractor: no such network on cpu"):
        open_extractor(f"{__name__}:broken")
    with pytest.raises(ValueError, match="called with images, and has a name"):
        open_extractor("torch:device")
