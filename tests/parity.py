"""Golden numbers: what the published method computes, recorded (tests/golden/README.md).

One set is read, and it alone: that of SCDM_GOLDEN=FOLDER, else the full one if it lies in ../shared/golden beside the
repository, else the compact copy in tests/golden. Its INDEX.json says which cases there are, and every one is tested: names
and counts of cases stand in no test. What a set does not hold is skipped; pytest's first lines say which set it is.
"""

import functools
import json
import os
import zlib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from scdm.layouts.labels import LabelMap
from scdm.networks import UNet, UNetConfig

REPOSITORY = Path(__file__).parents[1]
COMPACT, FULL = REPOSITORY / "tests" / "golden", REPOSITORY.parent / "shared" / "golden"
CHOSEN = os.environ.get("SCDM_GOLDEN")
SET = Path(CHOSEN) if CHOSEN else FULL if (FULL / "INDEX.json").is_file() else COMPACT

ADE20K_IMAGES = 20210  # of training
RATES = {"ade20k": "ade20k", "celeba": "celebamask_hq", "coco": "coco_stuff"}  # published name -> ours


def arrays(name: str, part: str = "") -> dict[str, Tensor]:
    """The arrays of NAME.safetensors; with `part` only those called "PART.rest", as "rest"."""
    found = load_file(found_file(f"{name}.safetensors"))
    start = f"{part}." if part else ""
    return {key.removeprefix(start): value for key, value in found.items() if key.startswith(start)}


def facts(name: str) -> Any:
    """NAME.json: configuration and scalars."""
    return json.loads(found_file(f"{name}.json").read_text(encoding="utf-8"))


def found_file(name: str) -> Path:
    if name not in index():
        pytest.skip(f"the golden numbers in {SET} hold no {name}")
    return SET / name


@functools.cache
def index(folder: Path = SET) -> dict[str, dict[str, Any]]:
    """INDEX.json: what is in each file of the set."""
    path = folder / "INDEX.json"
    if not path.is_file():
        raise pytest.UsageError(
            f"there is no {path}: SCDM_GOLDEN must name a folder as tests/golden/README.md describes"
        )
    return json.loads(path.read_text(encoding="utf-8"))


def cases(pattern: str) -> list[str]:
    """The names in the set, without folder and suffix, that a pattern such as "unet/*_io" matches."""
    found = {Path(name).with_suffix("") for name in index() if name.endswith((".json", ".safetensors"))}
    return sorted(path.name for path in found if fnmatchcase(path.as_posix(), pattern))


def tensors(name: str) -> list[str]:
    """What the arrays of NAME.safetensors are called; [] if it is not in the set."""
    return list(index().get(f"{name}.safetensors", {}).get("tensors", {}))


def numbers(name: str) -> list[int]:
    """The i of the arrays "i.rest"."""
    return sorted({int(first) for first, dot, _ in (key.partition(".") for key in tensors(name)) if first.isdecimal()})


def downsampled_cases(name: str = "data/label_corruptions") -> list[int]:
    """The N of the arrays "ds.N.rest"."""
    return sorted({int(key.split(".")[1]) for key in tensors(name) if key.startswith("ds.")})


def entries(name: str, key: str | None = None) -> range:
    """The places in the list that NAME.json is, or has under that key; none if it is not in the set."""
    if f"{name}.json" not in index():
        return range(0)
    return range(len(facts(name)[key] if key else facts(name)))


def class_statistics(data: str) -> tuple[np.ndarray, np.ndarray]:
    """Of the classes of a published data set: shares of all pixels, and of the images that hold them; 0 is unknown.

    Facts beside the golden numbers, of no set.
    """
    facts = json.loads((COMPACT / f"{data}_statistics.json").read_text(encoding="utf-8"))
    if data == "ade20k":
        return np.array(facts["area_ratio"]), np.array(facts["train_images"]) / ADE20K_IMAGES
    images, area = (np.array([number or 0 for number in facts[key]]) for key in ("images", "area_percent"))
    return area / 100 * images / facts["of_images"], images / facts["of_images"]


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


def from_one_hot(y: Tensor, num_classes: int) -> LabelMap:
    """(B, C, H, W): the layout of a recorded condition. Zeros are MASK, a channel after those of the classes has borders."""
    value, ids = y[:, :num_classes].max(dim=1)
    edges = y[:, num_classes:] > 0 if y.shape[1] > num_classes else None
    return LabelMap(ids.masked_fill(value == 0, num_classes), num_classes, edges)


def layout(golden: dict[str, Tensor], num_classes: int) -> LabelMap:
    """The clean layout of a case: its `label` and, if there is one, its `edge`."""
    edges = golden["edge"][:, None].bool() if "edge" in golden else None
    return LabelMap.checked(golden["label"], num_classes, edges)
