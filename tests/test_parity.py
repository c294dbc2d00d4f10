"""The golden numbers themselves: a set is what its index says, and no case in it is passed over."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests import parity
from tests.golden.compact import indexed

READ = [  # by tests: everything that a set may hold
    *(f"data/{name}" for name in ("condition", "dataset_items", "instance_edges", "label_corruptions", "metrics")),
    "data/resize_crop",
    *(f"diffusion/{name}" for name in ("beta_schedules", "dynamic_threshold", "label_keep_probability", "label_masks")),
    *(f"diffusion/{name}" for name in ("likelihood", "p_mean_variance", "q_sample", "respacing", "training_losses")),
    *(f"diffusion/{name}" for name in ("second_moment_sampler", "trajectory_*", "ddim_*", "train_*")),
    "modules/*",
    *(f"unet/{name}" for name in ("checkpoint_keys_other", "checkpoint_keys_published", "*_weights", "*_checkpoint")),
]


@pytest.mark.parametrize("folder", {parity.SET, parity.COMPACT})
def test_a_set_is_what_its_index_says(folder: Path) -> None:
    assert indexed(folder) == parity.index(folder)


def test_no_file_of_the_set_is_passed_over() -> None:
    networks = [f"unet/{name.removesuffix('_io')}{part}" for name in parity.cases("unet/*_io") for part in ("", "_io")]
    passed_over = [
        name for name in parity.index() if not any(fnmatchcase(name.rpartition(".")[0], p) for p in (*READ, *networks))
    ]
    assert passed_over == []


def collected(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *arguments]
    environment = {**os.environ, "SCDM_GOLDEN": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=parity.REPOSITORY)


def test_another_set_brings_its_own_cases_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "modules").mkdir()
    for suffix in (".json", ".safetensors"):
        shutil.copy(parity.COMPACT / "modules" / f"res_down{suffix}", tmp_path / "modules" / f"smaller{suffix}")
    (tmp_path / "INDEX.json").write_text(json.dumps(indexed(tmp_path)))
    found = collected(tmp_path, "tests/networks/test_layers.py", "tests/diffusion/test_schedules.py", "-k", "published")
    assert "test_layer_is_the_published_one[smaller]" in found.stdout and "res_down" not in found.stdout
    assert "test_steps_and_tables_are_the_published_ones[NOTSET]" in found.stdout  # which is skipped


def test_a_folder_that_is_no_set_is_refused(tmp_path: Path) -> None:
    found = collected(tmp_path, "tests/diffusion/test_likelihood.py")
    assert found.returncode != 0 and f"there is no {tmp_path / 'INDEX.json'}" in found.stdout + found.stderr
