"""Several processes, and killed ones, end with the weights of a single one that was left alone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from scdm.datasets import DataConfig
from scdm.files.config import to_dict
from scdm.training.loop import train
from tests.training.tiny import apart, assert_close, config, learned

REPOSITORY = Path(__file__).parents[2]
HERE = {**os.environ, "PYTHONPATH": str(REPOSITORY), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}


def test_two_processes_learn_what_one_does(tmp_path):
    """With the whole model each, with micro-batches, sharded, resumed sharded or by one process, and one's by two."""
    with apart():
        train(config(tmp_path / "grown", steps=2))
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    script = REPOSITORY / "tests" / "training" / "processes.py"
    done = subprocess.run([*launch, str(script), str(tmp_path)], env=HERE, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-5000:]
    train(config(tmp_path / "one"))
    train(config(tmp_path / "two"))
    one = learned(tmp_path / "one", 4)
    for name in ("two", "two_in_parts", "grown", "sharded"):
        assert_close(learned(tmp_path / name, 4), one)


@pytest.mark.parametrize(
    ("signum", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_stopped_at_any_moment_a_run_ends_with_the_same_weights(tmp_path, signum, status):
    """All of its processes are stopped, also those that read ahead, as a cluster does it."""
    run = config(tmp_path / "stopped", data=DataConfig(size=16, workers=1), steps=100_000, save_every=2)
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(to_dict(run)))
    command = [sys.executable, str(REPOSITORY / "training" / "train.py"), "--config", str(file)]
    same_threads = {**HERE, "OMP_NUM_THREADS": str(torch.get_num_threads())}  # sums depend on their number
    # To the bit is a promise within one process (test_loop.py); another may lay its memory out so that sums differ.
    with subprocess.Popen(command, env=same_threads, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        begun = time.monotonic()
        while not saved(tmp_path / "stopped"):
            assert process.poll() is None and time.monotonic() < begun + 120
            time.sleep(0.01)
        time.sleep(random.random())
        os.killpg(process.pid, signum)
    assert process.returncode == status
    steps = saved(tmp_path / "stopped") + 2
    train(replace(run, steps=steps))
    train(config(tmp_path / "whole", steps=steps, save_every=steps))
    assert_close(learned(tmp_path / "stopped", steps), learned(tmp_path / "whole", steps))


def saved(run: Path) -> int:
    """The last step that was saved, 0 if none."""
    return max((int(state.stem[6:]) for state in run.glob("state-*.pt")), default=0)
