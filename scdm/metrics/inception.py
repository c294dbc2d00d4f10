"""Features of the Inception network that FID and KID are defined by, from weights in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ..files.images import to_levels
from .optional import digest, library, state_dict

SIDE = 299  # pixels

Resize = Literal["bilinear", "clean"]


class Inception:
    """Images -> 2048 features (`FeatureExtractor`).

    path: weights-inception-2015-12-05-6726825d.pth, which comes with releases of torch-fidelity and pytorch-fid.
    resize: how images come to 299 x 299: "bilinear", by the rule of the papers, which does not smooth what it makes
        smaller, or "clean", by Pillow's bicubic filter, which does ("On Aliased Resizing", 2022).
    """

    def __init__(self, path: str | Path, resize: Resize = "bilinear", device: torch.device | str = "cpu") -> None:
        weights = state_dict(path, "weights of Inception (weights-inception-2015-12-05-6726825d.pth)")
        self.network = _network(weights, path).to(device)
        self.resize, self.device = resize, torch.device(device)
        self.name = f"inception {resize} {digest(path)}"

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] -> (B, 2048)."""
        resized = resized_bilinear(images.to(self.device)) if self.resize == "bilinear" else resized_clean(images)
        return self.network(resized.to(self.device)).cpu()


def resized_bilinear(images: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] -> (B, 3, 299, 299)."""
    return F.interpolate(images, size=(SIDE, SIDE), mode="bilinear", align_corners=False)


def resized_clean(images: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] -> (B, 3, 299, 299): levels of 8 bits, resized as floats and not rounded."""
    levels = to_levels(images).astype(np.float32)
    resized = [
        [Image.fromarray(image[..., channel]).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for channel in range(3)]
        for image in levels
    ]
    return (
        torch.from_numpy(np.array([[np.asarray(plane) for plane in image] for image in resized])).clamp(0, 255) / 128
        - 1
    )


def _network(weights: dict[str, Tensor], path: str | Path) -> nn.Sequential:
    """torch-fidelity's network up to the pooled features, without its own resizing: its layers, one after the other."""
    extractors = library("torch_fidelity.feature_extractor_inceptionv3", "FID or KID")
    try:
        # It reads the file by itself, and would run code in it: but we have just read it without.
        whole = extractors.FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(path))
    except RuntimeError as error:
        raise ValueError(f"{path} does not hold the weights of the Inception network of FID") from error
    layers = [layer for name, layer in whole.named_children() if name != "fc"]
    return nn.Sequential(*layers, nn.Flatten()).eval()
