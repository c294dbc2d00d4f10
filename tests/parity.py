"""Golden numbers: what the published method computes, recorded (tests/golden/README.md).

Tests read the compact copy in tests/golden; what it leaves out, they read from the full set if that lies in
../shared/golden beside the repository, and skip otherwise. SCDM_GOLDEN=FOLDER puts another folder first.
"""

import functools
import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from scdm.labels import LabelMap
from scdm.networks import UNet, UNetConfig

REPOSITORY = Path(__file__).parents[1]
FOLDERS = [REPOSITORY / "tests" / "golden", REPOSITORY.parent / "shared" / "golden"]
if "SCDM_GOLDEN" in os.environ:
    FOLDERS.insert(0, Path(os.environ["SCDM_GOLDEN"]))

RATES = {"ade20k": "ade20k", "celeba": "celebamask_hq", "coco": "coco_stuff"}  # published name -> ours


def arrays(name: str, part: str = "") -> dict[str, Tensor]:
    """The arrays of NAME.safetensors; with `part` only those called "PART.rest", as "rest"."""
    found = load_file(_found(f"{name}.safetensors"))
    start = f"{part}." if part else ""
    return {key.removeprefix(start): value for key, value in found.items() if key.startswith(start)}


def facts(name: str) -> Any:
    """NAME.json: configuration and scalars."""
    return json.loads(_found(f"{name}.json").read_text(encoding="utf-8"))


def _found(name: str) -> Path:
    for folder in FOLDERS:
        if (folder / name).is_file():
            return folder / name
    pytest.skip(f"golden/{name} is only in the full set, which is not here")


def deviation(actual: Tensor, expected: Tensor) -> float:
    """The largest |actual - expected|; nan, which no tolerance admits, where either is nan."""
    assert actual.shape == expected.shape
    return (actual.detach().double() - expected.double()).abs().max().item()


def relative_deviation(actual: Tensor, expected: Tensor) -> float:
    """The largest |actual - expected| / max(1, |expected|)."""
    assert actual.shape == expected.shape
    expected = expected.double()
    return ((actual.detach().double() - expected) / expected.abs().clamp(min=1)).abs().max().item()


def recipe(name: str, shape: list[int], seed: int) -> Tensor:
    """The weights called `name`: a function of name, shape and seed, so that none need be stored. All are halves."""
    generator = np.random.RandomState((zlib.crc32(name.encode()) + seed) % 2**32)
    u = 2 * generator.random_sample(tuple(shape)) - 1
    if not name.endswith("weight"):
        w = 0.1 * u
    elif len(shape) == 1:
        w = 1 + 0.2 * u
    elif "mlp_shared." in name:
        w = 0.5 * u
    else:
        w = np.sqrt(3 / np.prod(shape[1:])) * u
    return torch.from_numpy(w.astype(np.float16).astype(np.float32))


def weights(shapes: dict[str, list[int]], seed: int, prefix: str = "") -> dict[str, Tensor]:
    return {name: recipe(prefix + name, shape, seed) for name, shape in shapes.items()}


LEFT_OUT = {  # by some cases
    "channel_mult": "",
    "num_heads": 4,
    "num_head_channels": -1,
    "num_heads_upsample": -1,
    "use_new_attention_order": False,
    "dropout": 0.0,
}


def network_of(flags: dict[str, Any]) -> UNetConfig:
    """The network that the published programs build from their command-line flags, as the golden cases record them.

    `attention_resolutions` are sides of the feature maps of an image of `image_size`, -1 stands for "not given", and where
    `channel_mult` is empty the image's size decides.
    """
    flags = {**LEFT_OUT, **flags}
    side = flags["image_size"]
    default = {64: "1,2,3,4", 128: "1,1,2,3,4", 256: "1,1,2,2,4,4", 512: "0.5,1,1,2,2,4,4"}
    resolutions = map(int, flags["attention_resolutions"].split(","))
    given = {name: None if flags[name] == -1 else flags[name] for name in ("num_head_channels", "num_heads_upsample")}
    return UNetConfig(
        num_classes=flags["num_classes"],
        edges=not flags["no_instance"],
        channels=flags["num_channels"],
        channel_mult=tuple(float(part) for part in (flags["channel_mult"] or default[side]).split(",")),
        res_blocks=flags["num_res_blocks"],
        attention=tuple(sorted(side // resolution for resolution in resolutions)),
        head_channels=given["num_head_channels"],
        heads=flags["num_heads"],
        heads_up=given["num_heads_upsample"],
        qkv_order="qkv_major" if flags["use_new_attention_order"] else "head_major",
        scale_shift_norm=flags["use_scale_shift_norm"],
        resblock_updown=flags["resblock_updown"],
        dropout=flags["dropout"],
        learn_sigma=flags["learn_sigma"],
    )


@functools.cache
def unet(case: str) -> UNet:
    """The network of a golden case, weights by recipe. Tests share it: what they change, they change in a copy."""
    golden = facts(case)
    with torch.device("meta"):  # no time is lost on weights that are replaced
        network = UNet(network_of(golden["config"])).eval()
    shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
    network.load_state_dict(weights(shapes, golden["weights"]["seed"]), assign=True)
    return network


def layout(golden: dict[str, Tensor], num_classes: int) -> LabelMap:
    """The clean layout of a case: its `label` and, if there is one, its `edge`."""
    edges = golden["edge"][:, None].bool() if "edge" in golden else None
    return LabelMap.checked(golden["label"], num_classes, edges)
