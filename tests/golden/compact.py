"""Makes the compact copy of the golden numbers that the repository carries.

    python tests/golden/compact.py FULL [--facts FACTS]

FULL is the folder of all golden numbers, FACTS that of the class tables with ADE20K's statistics. What is left out: weights
(a function of their names), draws (a function of their seed), whatever another array of the case says already, all but the
first sample of single layers, all but three steps of a trajectory, and the largest cases.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from scdm.files.untrusted import sha256_of

HERE = Path(__file__).parent

# Whole cases, and the arrays that another one of the same case says already.
WHOLE = {
    "data/condition": [],
    "data/dataset_items": [f"{i}.y" for i in range(8)],
    "data/instance_edges": [],
    "data/label_corruptions": [],
    "data/resize_crop": [f"{i}.{kind}" for i in range(20) if i % 4 for kind in ("image", "label", "instance")],
    "data/metrics": [],
    "diffusion/beta_schedules": [],
    "diffusion/dynamic_threshold": [],
    "diffusion/label_keep_probability": [],
    "diffusion/label_masks": ["celeba.full.out_onehot"],
    "diffusion/likelihood": [],
    "diffusion/p_mean_variance": [],
    "diffusion/q_sample": [],
    "diffusion/respacing": [],
    "diffusion/train_celeba": [],
    "diffusion/training_losses": [],
    "modules/qkv_attention": [],
    "modules/timestep_embedding": [],
    "unet/tiny_a_io": ["y"],
    "unet/tiny_b_io": ["y", "out_f64"],
    "unet/small_c_io": ["out_f64"],
    "unet/small_d_io": ["out_f64"],
}
TABLES = [
    "unet/tiny_a",
    "unet/tiny_b",
    "unet/small_c",
    "unet/small_d",
    "unet/checkpoint_keys_published",
    "unet/checkpoint_keys_other",
    "diffusion/second_moment_sampler",
]
LAYERS = [
    "attention_head_major",
    "attention_qkv_major",
    "downsample_conv",
    "res_down",
    "res_noss",
    "res_plain",
    "res_up_noss",
    "spade_down8",
    "spade_down_odd",
    "spade_res_noss",
    "spade_res_plain",
    "spade_res_up",
    "upsample_conv",
]
TRAJECTORIES = [
    "trajectory_scdm_ade20k_10",
    "trajectory_scdm_celeba_ddim25",
    "trajectory_scdm_meanstd_5",
    "trajectory_scdm_uniform_ddim10",
    "trajectory_sdm_celeba_10",
    "ddim_sdm_ddim10_eta0.0",
    "ddim_sdm_ddim10_eta0.5",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("full", type=Path)
    parser.add_argument("--facts", type=Path)
    arguments = parser.parse_args()
    full = arguments.full
    for name, redundant in WHOLE.items():
        arrays = load_file(full / f"{name}.safetensors")
        store(name, {key: value for key, value in arrays.items() if key not in redundant})
        if (full / f"{name}.json").is_file():
            store_table(name, load_table(full, name))
    for name in TABLES:
        store_table(name, load_table(full, name))
    for name in LAYERS:
        store_layer(full, f"modules/{name}")
    for name in TRAJECTORIES:
        store_trajectory(full, f"diffusion/{name}")
    if arguments.facts:
        classes = json.loads((arguments.facts / "classes" / "ade20k.json").read_text(encoding="utf-8"))["classes"]
        store_table("ade20k_statistics", {key: [c[key] for c in classes] for key in ("area_ratio", "train_images")})
    index = indexed(HERE)
    (HERE / "INDEX.json").write_text(json.dumps(index, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{sum(entry['bytes'] for entry in index.values()) / 1e6:.2f} MB")


def indexed(folder: Path) -> dict[str, dict[str, Any]]:
    """What INDEX.json says of each file of a set: its size, its digest and, of arrays, their types and shapes."""
    index: dict[str, dict[str, Any]] = {}
    for path in sorted(path for path in folder.glob("*/*") if path.suffix in (".json", ".pt", ".safetensors")):
        entry = index[path.relative_to(folder).as_posix()] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
            entry["tensors"] = {key: [found.get_dtype(), found.get_shape()] for key, found in slices.items()}
    return index


def store_layer(full: Path, name: str) -> None:
    """The first sample; weights are a function of their names."""
    arrays = load_file(full / f"{name}.safetensors")
    store(name, {key: value[:1].clone() for key, value in arrays.items() if not key.startswith("param.")})
    store_table(name, load_table(full, name))


def store_trajectory(full: Path, name: str) -> None:
    """The first step, the middle and the last; draws are a function of their seed."""
    arrays, table = load_file(full / f"{name}.safetensors"), load_table(full, name)
    saved = table.get("saved_steps", list(range(len(table["original_timesteps"]))))
    chosen = [0, len(saved) // 2, len(saved) - 1]
    table["saved_steps"] = [saved[i] for i in chosen]
    for key in ("samples", "pred_xstart"):
        arrays[key] = arrays[key][chosen]
    drawn = ("init_noise", "step_noise", "step_u")
    store(name, {key: value for key, value in arrays.items() if key not in drawn})
    store_table(name, table)


def load_table(full: Path, name: str) -> Any:
    return json.loads((full / f"{name}.json").read_text(encoding="utf-8"))


def store(name: str, arrays: dict[str, Tensor]) -> None:
    path = HERE / f"{name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(save(arrays))


def store_table(name: str, table: Any) -> None:
    text = json.dumps(table, separators=(",", ":"))
    (HERE / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
