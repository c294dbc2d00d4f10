"""What each of the processes of test_processes.py does: python tests/training/processes.py FOLDER, by a launcher."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.optim import AdamW, Optimizer

from scdm.training import loop
from scdm.training.command import part_from_other_processes
from tests.training.tiny import config


class Sharding(Accelerator):
    """Shards as FSDP 2 does, which accelerate leaves to GPUs."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        AcceleratorState._shared_state["fsdp_plugin"] = SimpleNamespace(fsdp_version=2)
        for state in (AcceleratorState, PartialState):
            state._shared_state["distributed_type"] = DistributedType.FSDP

    def prepare(self, network: Any, optimizer: Optimizer) -> tuple[nn.Module, Optimizer]:  # type: ignore[override]
        for stage in network.blocks():
            fully_shard(stage)
        fully_shard(network)
        self._models.append(network)
        return network, self.prepare_optimizer(AdamW(network.parameters(), weight_decay=0.0))


def main(folder: Path) -> None:
    loop.train(config(folder / "two", steps=2))
    loop.train(config(folder / "two_in_parts", micro_batches=2))
    loop.train(config(folder / "grown"))
    loop.Accelerator = Sharding  # type: ignore[misc]
    loop.train(config(folder / "sharded", steps=2))
    loop.train(config(folder / "sharded"))
    part_from_other_processes()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
