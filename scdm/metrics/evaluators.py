"""Networks that look at images for a metric: evaluators read the layout back, extractors say what they see in numbers."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ..files.images import to_levels
from ..files.untrusted import brief, shown
from ..layouts.palette import Palette
from . import segmenter
from .optional import digest, library


class Evaluator(Protocol):
    """A segmenter for the classes of a palette.

    name: which it is, for a report. known: (num_classes,) bool, the classes that it can tell.
    """

    name: str
    known: Tensor

    def ids(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] -> the class of every pixel, (B, H, W) int64, all of them known."""


def true_ids(evaluator: Evaluator, ids: Tensor) -> Tensor:
    """Classes (B, H, W) as an evaluator may be asked for them: those that it does not know, and MASK, are none."""
    known = torch.cat([evaluator.known, torch.tensor([False])])
    return ids.masked_fill(~known[ids], len(evaluator.known))


class FeatureExtractor(Protocol):
    """Features for a Frechet or a kernel distance. `name` says which they are: no others are ever called the same."""

    name: str

    def __call__(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] -> (B, D)."""


def open_evaluator(path: str | Path, palette: Palette, device: torch.device | str = "cpu") -> Evaluator:
    """The small segmenter in a file, or the one that the transformers library has saved in a folder.

    ValueError if it reads other classes than the palette's.
    """
    if Path(path).is_dir():
        return TransformersSegmenter(path, palette, device)
    return SmallSegmenter(path, palette, device)


class SmallSegmenter:
    """A file of `training/train_segmenter.py`, as an evaluator and as an extractor of features."""

    def __init__(self, path: str | Path, palette: Palette, device: torch.device | str = "cpu") -> None:
        self.network, self.device = segmenter.load(path, device), torch.device(device)
        self.network.palette.require_same(palette, str(path), "the data set")
        self.known = self.network.known
        self.name = f"segmenter {digest(path)}"

    def ids(self, images: Tensor) -> Tensor:
        return self.network.ids(images.to(self.device)).cpu()

    def __call__(self, images: Tensor) -> Tensor:
        return self.network.features(images.to(self.device)).cpu()


class TransformersSegmenter:
    """A model for semantic segmentation in a folder of `save_pretrained`: Segformer, UperNet, BEiT, DPT, ..."""

    def __init__(self, folder: str | Path, palette: Palette, device: torch.device | str = "cpu") -> None:
        transformers = library("transformers", "a segmenter in a folder")
        try:
            self.processor = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True)
            network = transformers.AutoModelForSemanticSegmentation.from_pretrained(folder, local_files_only=True)
            labels = [str(network.config.id2label[i]) for i in range(len(network.config.id2label))]
        except Exception as error:  # on odd settings and weights the library raises almost anything
            raise ValueError(f"{folder} holds no semantic segmenter of transformers: {brief(str(error))}") from error
        self.network: Any = network.eval().requires_grad_(False).to(device)
        self.id_of = matched(labels, palette)
        self.known = torch.zeros(palette.num_classes, dtype=torch.bool).scatter(0, self.id_of, True)
        self.device = torch.device(device)
        self.name = f"{type(network).__name__} {Path(folder).resolve().name}"

    @torch.no_grad()
    def ids(self, images: Tensor) -> Tensor:
        inputs = self.processor(list(to_levels(images)), return_tensors="pt").to(self.device)
        sizes = [tuple(images.shape[2:])] * len(images)
        maps = self.processor.post_process_semantic_segmentation(self.network(**inputs), target_sizes=sizes)
        return self.id_of[torch.stack([torch.as_tensor(map_) for map_ in maps]).cpu()]


def matched(names: list[str], palette: Palette) -> Tensor:
    """(len(names),) int64 ids in the palette of a segmenter's classes: by name, or in their order if there are as many.

    ValueError if neither is certain.
    """
    wanted = [_plain(name) for name in palette.names]
    ids = [wanted.index(_plain(name)) if _plain(name) in wanted else None for name in names]
    if None not in ids and len(set(ids)) == len(ids):
        return torch.tensor(ids)
    in_order = [i for i in range(palette.num_classes) if i != palette.unlabelled]
    agree = all(i is None or i == place for i, place in zip(ids, in_order, strict=False))
    if len(names) == len(in_order) and agree:
        return torch.tensor(in_order)
    strange = brief(", ".join(name for name, i in zip(names, ids, strict=True) if i is None) or "in another order", 200)
    ours = f"{palette.name} ({len(in_order)})"
    raise ValueError(f"the segmenter's {len(names)} classes are not those of {ours}: {strange}")


def _plain(name: str) -> str:
    """The first of a class's names, whatever its spelling: "signboard, sign" and "Sign_board" are not far apart."""
    return re.sub(r"[\W_]+", " ", re.split("[,;]", name)[0]).strip().lower()


def open_extractor(name: str, device: torch.device | str = "cpu") -> FeatureExtractor:
    """An extractor of the user's own: "package.module:maker", where maker(device) gives a `FeatureExtractor`."""
    module, _, maker = name.partition(":")
    try:
        extractor = getattr(import_module(module), maker)(device)
    except Exception as error:  # it is not our code
        raise ValueError(f"{shown(name)} gives no feature extractor: {brief(str(error))}") from error
    if not callable(extractor) or not isinstance(getattr(extractor, "name", None), str):
        raise ValueError(f"{shown(name)} gives no feature extractor: one is called with images, and has a name")
    return extractor
