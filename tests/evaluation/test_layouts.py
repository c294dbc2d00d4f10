"""Corrupted layouts: what the published benchmark feeds to a model, through the files of a data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from scdm.datasets import DataConfig, open_dataset
from scdm.diffusion.corruption import CORRUPTIONS, corrupt, edges_removed, resampled
from scdm.evaluation import LayoutCorruption, Layouts, PaintedLayouts
from scdm.evaluation.layouts import BENCHMARKS
from scdm.files.images import write_image
from scdm.layouts.labels import LabelMap, instance_borders
from scdm.layouts.palette import Palette
from tests.evaluation.conftest import write_maps
from tests.parity import arrays, downsampled_cases

Make = Callable[[Sequence[np.ndarray]], Path]
UNLABELLED = 150  # of ADE20K


def layouts(config: DataConfig, kind: str = "clean", **settings: object) -> Layouts:
    return Layouts(open_dataset(config, "val"), config, LayoutCorruption(kind, **settings))


def as_ids(raw: torch.Tensor) -> torch.Tensor:
    """Values of ADE20K's files -> ids."""
    ids = raw.to(torch.int64) - 1
    return ids.masked_fill(ids < 0, UNLABELLED)


def test_downsampled_layouts_are_the_published_ones_of_whatever_size(ade20k: Make) -> None:
    golden = [arrays("data/label_corruptions", f"ds.{i}") for i in downsampled_cases()]
    root = ade20k([case["label"].numpy() for case in golden])
    corrupted = layouts(DataConfig("ade20k", str(root), size=256), "downsample")
    for case, example in zip(golden, corrupted, strict=True):
        assert torch.equal(example.ids, as_ids(case["loaded_256"]))


def test_layouts_without_edges_are_the_published_ones(tmp_path: Path) -> None:
    """Of a folder with instance maps, at the size in which they are stored."""
    golden = arrays("data/label_corruptions", "edge")
    names = "\n".join(f"- {{name: class {i}}}" for i in range(256))
    (tmp_path / "classes.yaml").write_text(f"edge_channel: true\nunlabelled_channel: 0\nclasses:\n{names}")
    labels = golden["label"].numpy()
    write_maps(tmp_path / "val" / "labels", labels)
    write_maps(tmp_path / "val" / "instances", golden["instance"].numpy())
    write_maps(tmp_path / "val" / "images", np.stack([labels] * 3, axis=-1))
    config = DataConfig("folder", str(tmp_path), str(tmp_path / "classes.yaml"), size=tuple(labels.shape[1:]))
    for i, example in enumerate(layouts(config, "edges", removed="class")):
        assert torch.equal(example.ids, golden["out"][i].to(torch.int64))
        assert example.edges is not None
        assert torch.equal(example.edges[0], golden["edges"][i].bool())  # the borders of instances stay
    sparse = layouts(config, "patterns")[0]
    assert sparse.edges is not None and torch.equal(sparse.edges, instance_borders(sparse.ids[None])[0])  # not these


def test_edges_lie_between_classes_where_there_are_no_instances(ade20k: Make) -> None:
    labels = np.repeat(np.repeat(np.array([[1, 2], [0, 3]], np.uint8), 8, axis=0), 8, axis=1)
    config = DataConfig("ade20k", str(ade20k([labels])), size=16)
    expected = edges_removed(LabelMap(as_ids(torch.from_numpy(labels))[None], 151), [0]).ids[0]
    assert torch.equal(layouts(config, "edges")[0].ids, expected)
    assert (expected == 151).sum() == 16 * 16 - 4 * 5 * 5  # two pixels at each side of a border


def test_borders_between_classes_are_those_of_the_corrupted_layout() -> None:
    """As of CelebAMask-HQ, whose models read borders and which has no instances."""
    faces = layouts(DataConfig(size=32), "downsample", strength={"size": 4})
    clean = faces.clean[0]
    faces.clean = [clean._replace(edges=instance_borders(clean.ids[None])[0])]  # type: ignore[assignment]
    corrupted = faces[0]
    assert corrupted.edges is not None
    assert torch.equal(corrupted.edges, instance_borders(corrupted.ids[None])[0])
    assert not torch.equal(corrupted.edges, faces.clean[0].edges)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_layout_i_has_the_seed_plus_i_whatever_is_asked_for_before(kind: str) -> None:
    config = DataConfig(size=24)
    corrupted, clean = layouts(config, kind, seed=7), layouts(config)
    third = corrupted[3].ids
    assert torch.equal(third, [example.ids for _, example in zip(range(4), corrupted, strict=False)][3])
    if kind != "downsample":
        assert torch.equal(third, corrupt(LabelMap(clean[3].ids[None], 14), kind, seed=10).ids[0])
    assert torch.equal(corrupted[3].image, clean[3].image)


def test_removed_pixels_are_mask_or_the_class_that_files_have_for_them(ade20k: Make) -> None:
    root = ade20k([np.full((40, 40), 5, np.uint8)])
    config = DataConfig("ade20k", str(root), size=40)
    masked, unlabelled = (layouts(config, "random", removed=removed)[0].ids for removed in ("mask", "class"))
    assert set(masked.unique().tolist()) == {4, 151}
    assert torch.equal(unlabelled, masked.masked_fill(masked == 151, UNLABELLED))
    scenes = DataConfig(size=16)  # which have no such class
    assert (layouts(scenes, "random", removed="class")[0].ids == 14).any()


def test_a_cropped_image_has_its_layout_cropped_alike(ade20k: Make) -> None:
    labels = np.repeat(np.arange(1, 129, dtype=np.uint8)[None], 64, axis=0)  # a class for each column
    config = DataConfig("ade20k", str(ade20k([labels])), size=64, fit="center_crop")
    clean, corrupted = layouts(config)[0], layouts(config, "random", strength={"share": 0.5})[0]
    assert clean.ids[0].tolist() == list(range(32, 96))
    kept = corrupted.ids != 151
    assert torch.equal(corrupted.ids[kept], clean.ids[kept]) and 0.4 < kept.float().mean() < 0.6


def test_strength_is_checked_before_any_layout_is_read() -> None:
    with pytest.raises(ValueError, match="random: share must be a number from 0 and below 1, not 2"):
        LayoutCorruption("random", strength={"share": 2})
    assert LayoutCorruption("diffuse", strength={"rates": [1.0, 2.0]}).strength["rates"] == [1.0, 2.0]
    for kind, strength in (("random", {"share": "much"}), ("downsample", {"size": 1.5}), ("edges", {"radius": None})):
        with pytest.raises(ValueError, match=f"{kind}: {next(iter(strength))} must be a"):
            LayoutCorruption(kind, strength=strength)
    with pytest.raises(ValueError, match="has no setting 'size'"):
        LayoutCorruption("edges", strength={"size": 2})
    with pytest.raises(ValueError, match="clean layouts have no setting 'share'"):
        LayoutCorruption(strength={"share": 0.1})
    with pytest.raises(ValueError, match="no corruption 'blur': choose one of downsample, edges"):
        LayoutCorruption("blur")


def test_the_published_benchmark_removes_borders_and_pixels_at_256_pixels(ade20k: Make) -> None:
    """As the papers' scripts do, which resize first: two pixels are then twice as far as at 512."""
    labels = np.zeros((512, 768), np.uint8)
    labels[100:300, 200:500], labels[150:250, 50:700] = 7, 9
    config = DataConfig("ade20k", str(ade20k([labels])), size=256)
    _, _, edges, random = BENCHMARKS["published"]
    published = Layouts(open_dataset(config, "val"), config, edges)[0].ids
    small = resampled(as_ids(torch.from_numpy(labels))[None], 256, 256)
    removed = edges_removed(LabelMap(small, 151), [0]).ids[0]
    assert torch.equal(published, removed.masked_fill(removed == 151, UNLABELLED))
    as_stored = layouts(config, "edges")[0].ids
    assert (removed == 151).sum() > 1.8 * (as_stored == 151).sum() > 0
    fewer = Layouts(open_dataset(config, "val"), config, random)[0].ids
    assert torch.equal(fewer, corrupt(LabelMap(small, 151), "random").ids[0].clamp(max=UNLABELLED))


def test_the_published_benchmark_is_the_papers() -> None:
    assert [corruption.kind for corruption in BENCHMARKS["published"]] == ["clean", "downsample", "edges", "random"]
    assert {corruption.removed for corruption in BENCHMARKS["published"]} == {"class"}
    with pytest.raises(ValueError, match="resized belongs to the corruptions edges and random, not to patterns"):
        LayoutCorruption("patterns", resized=256)


def test_what_is_written_of_a_corruption_is_what_older_folders_hold() -> None:
    assert set(LayoutCorruption("edges").record()) == {"kind", "seed", "removed", "strength"}
    assert LayoutCorruption("edges", resized=256).record()["resized"] == 256


def test_downsampling_to_as_many_blocks_as_pixels_is_said_to_change_hardly_anything() -> None:
    assert "64 blocks a side hardly changes layouts of 64x48" in LayoutCorruption("downsample").no_effect((48, 64))
    assert LayoutCorruption("downsample").no_effect((48, 65)) == ""
    assert LayoutCorruption("downsample", strength={"size": 4}).no_effect((4, 4))
    assert LayoutCorruption("edges").no_effect((2, 2)) == ""


def test_what_is_done_to_layouts_is_said_in_few_words(ade20k: Make) -> None:
    """For a line of a result: advice is for the terminal. Downsampling removes no pixel and draws none."""
    config = DataConfig("ade20k", str(ade20k([np.full((40, 40), 5, np.uint8)])), size=40)
    assert layouts(config).in_words == "clean"
    assert layouts(config, "downsample").in_words == "downsample, to 64x64, which hardly changes them"
    assert layouts(config, "downsample", strength={"size": 8}).in_words == "downsample, to 8x8"
    assert layouts(config, "random", seed=3).in_words == "random, seed 3, removed pixels are MASK"
    edges = layouts(config, "edges", removed="class", resized=256, strength={"radius": 4})
    unlabelled = 'removed pixels are the class "unlabelled"'
    assert edges.in_words == f"edges, radius 4, at 256x256, seed 0, {unlabelled}"
    scenes = DataConfig(size=16)  # which have no such class
    assert layouts(scenes, "random", removed="class").in_words.endswith("are MASK")


def paint(path: Path, name: str, side: int = 32) -> torch.Tensor:
    """A picture with a class of scenes in its upper half, and nothing below: its ids."""
    palette = Palette.named("scenes")
    ids = torch.full((side, side), palette.num_classes)
    ids[: side // 2] = palette.names.index(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, palette.to_image(LabelMap(ids[None], palette.num_classes))[0])
    return ids


def test_painted_layouts_stand_for_those_of_their_images_alone(tmp_path: Path) -> None:
    """What is not painted is MASK; a picture larger than the images is brought to their size as a stored map is."""
    config = DataConfig(size=16)
    sky, tree = paint(tmp_path / "scene_00001.png", "sky"), paint(tmp_path / "scene_00003.png", "tree")
    painted, all_ = PaintedLayouts(open_dataset(config, "val"), config, tmp_path), layouts(config)
    assert list(painted.names) == ["scene_00001", "scene_00003"] and len(painted) == len(painted.clean) == 2
    for place, ids, example, clean in zip((1, 3), (sky, tree), painted, painted.clean, strict=True):
        assert torch.equal(example.ids, ids[::2, ::2])
        assert torch.equal(example.image, all_[place].image) and torch.equal(clean.ids, all_[place].ids)
    assert painted.record() == {"kind": "painted", "digest": painted.digest} and painted.digest in painted.in_words
    paint(tmp_path / "scene_00003.png", "rock")
    assert PaintedLayouts(open_dataset(config, "val"), config, tmp_path).digest != painted.digest


def test_painted_layouts_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    config = DataConfig(size=16)
    data = open_dataset(config, "val")
    with pytest.raises(ValueError, match="there is no folder"):
        PaintedLayouts(data, config, tmp_path / "absent")
    with pytest.raises(ValueError, match=r"has no layouts: they are called like the images, such as scene_00000\.png"):
        PaintedLayouts(data, config, tmp_path)
    paint(tmp_path / "scene_0001.png", "sky")
    with pytest.raises(ValueError, match=r"scene_0001\.png is the layout of no image"):
        PaintedLayouts(data, config, tmp_path)
    (tmp_path / "scene_0001.png").unlink()
    write_image(tmp_path / "scene_00001.png", np.full((16, 24, 3), Palette.named("scenes").colors[0], np.uint8))
    with pytest.raises(ValueError, match="is 24x16, and the label map of its image 16x16: crop or scale it"):
        PaintedLayouts(data, config, tmp_path)
