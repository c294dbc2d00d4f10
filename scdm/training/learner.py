"""The network with all that training changes, and the step that changes it: optimizer, learning rate, averaged weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict

from .config import RunConfig
from .objective import ImportantSteps, Losses, Task
from .posthoc import gamma_of
from .stream import DrawnBatch

FUSED = ("cpu", "cuda")  # devices whose fused optimizer leaves a step out without asking the host
WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)  # on the main process, whatever the processes share


class Outcome(NamedTuple):
    """Of a step, all of it on the device: to look at a number is to wait for the step.

    losses: of this process's examples.
    norm: float (), of the gradient over all processes, before it was clipped.
    taken: bool (), false if the gradient was not finite, and the weights were left as they were.
    """

    losses: Losses
    norm: Tensor
    taken: Tensor


class Learner:
    """Takes over the network of the task's model, which lies on the accelerator's device from then on."""

    def __init__(self, config: RunConfig, task: Task, accelerator: Accelerator):
        _require_supported(accelerator)
        self.config, self.accelerator, model = config, accelerator, task.model
        self.plain = model.network  # the network itself; `network` may wrap it
        model.to(accelerator.device)
        if accelerator.distributed_type == DistributedType.FSDP:  # shards want plain rows
            model.network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        if config.checkpointing:
            model.network.checkpoint_activations()
        if config.compile:
            model.network.compile(dynamic=False)  # sizes are few, and each is faster by itself
        optimizer = torch.optim.AdamW(
            model.network.parameters(),
            lr=config.optimizer.lr,
            weight_decay=config.optimizer.weight_decay,
            fused=accelerator.device.type in FUSED,
        )
        self.network, self.optimizer = accelerator.prepare(model.network.train(), optimizer)
        self.ema = {decay: EMA(self.plain, decay, config.ema_warmup) for decay in config.decays}
        widths = config.posthoc_widths if config.posthoc_every is not None else ()
        self.posthoc = {width: PowerEMA(self.plain, gamma_of(width)) for width in widths}
        self.objective = task.objective(self.network)
        self.timesteps = self.objective.timesteps

    def step(self, drawn: Sequence[DrawnBatch], number: int, lr: float) -> Outcome:
        """One update of the weights from this process's micro-batches, at step `number` of the run."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        if self.plain.config.dropout:
            torch.manual_seed(self._dropout_seed(number))  # dropout draws from no generator but the global one
        share = 1.0 if self.config.micro_batch_sum else 1 / len(drawn)
        parts = []
        for part in drawn:
            together = nullcontext() if part is drawn[-1] else self.accelerator.no_sync(self.network)
            with together:
                losses = self.objective(part, self.accelerator.device)
                self.accelerator.backward((losses.total * losses.weight).mean() * share)
            parts.append(Losses(*(term.detach() for term in losses)))
        limit = self.config.optimizer.clip_norm or math.inf
        norm = gathered(self.accelerator.clip_grad_norm_(self.network.parameters(), limit))
        taken = norm.isfinite()
        self._update(taken)
        self.optimizer.zero_grad()
        losses = Losses(*(torch.cat(term) for term in zip(*parts, strict=True)))
        self._remember(losses, taken)
        return Outcome(losses, norm, taken)

    def _update(self, taken: Tensor) -> None:
        """Changes the weights, if `taken`. A fused optimizer reads `taken` on the device, without a wait."""
        inner = self.optimizer.optimizer
        if self.accelerator.scaler is not None:  # which leaves the step out itself, and learns from it
            self.optimizer.step()
        elif inner.defaults["fused"]:
            inner.grad_scale, inner.found_inf = None, (~taken).float()
            self.optimizer.step()
        elif taken:
            self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Whole on the main process. Every process must call it."""
        network, optimizer = get_state_dict(self.plain, self.optimizer.optimizer, options=WHOLE)
        scaler = self.accelerator.scaler
        return {
            "network": network,
            "optimizer": optimizer,
            "ema": {decay: ema.state_dict(self.accelerator.is_main_process) for decay, ema in self.ema.items()},
            "timesteps": self.objective.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else None,
            **({"posthoc": self.posthoc_state()} if self.posthoc else {}),
        }

    def posthoc_state(self) -> dict[float, dict[str, Any]]:
        """The power-function averages by their widths. Every process must call it."""
        return {width: ema.state_dict(self.accelerator.is_main_process) for width, ema in self.posthoc.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        set_state_dict(
            self.plain,
            self.optimizer.optimizer,
            model_state_dict=state["network"],
            optim_state_dict=state["optimizer"],
            options=WHOLE,
        )
        for decay, ema in self.ema.items():
            ema.load_state_dict(state["ema"][decay])
        for width, power in self.posthoc.items():
            power.load_state_dict(state["posthoc"][width])
        self.objective.load_state_dict(state["timesteps"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])

    def _remember(self, losses: Losses, taken: Tensor) -> None:
        for ema in (*self.ema.values(), *self.posthoc.values()):
            ema.update(self.plain, taken)
        if isinstance(self.timesteps, ImportantSteps):
            t, loss = (self.accelerator.gather(v) for v in (losses.t, losses.total))
            self.timesteps.update(t, loss, taken)

    def _dropout_seed(self, step: int) -> int:
        key = self.config.seed, step, self.accelerator.process_index
        return int(np.random.SeedSequence(key).generate_state(1)[0])


def learning_rate(step: int, config: RunConfig) -> float:
    """Rises over the first `optimizer.warmup` steps, falls over the last `optimizer.decay`; never 0 before `config.steps`.

    With a decay over all N steps it is the published annealing: lr at step 0, then lr (1 - (step - 1) / N).
    """
    warm = min(1.0, (step + 1) / max(1, config.optimizer.warmup))
    left = min(1.0, (config.steps + 1 - step) / (config.optimizer.decay or 1))
    return config.optimizer.lr * warm * max(0.0, left)


class EMA:
    """The average of a network in training: p <- decay * p + (1 - decay) * new after every step, from the first weights on.

    With `warmup` the n-th update's decay is at most (1 + n) / (10 + n): the average of a young run then forgets the
    untrained weights that it started from. Of a network that is sharded, every process averages its own part.

    All of it, the count of updates too, lives on the network's device: the host never waits for a number.
    """

    def __init__(self, network: nn.Module, decay: float, warmup: bool = False):
        self.decay, self.warmup = decay, warmup
        self.weights = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
        self.updates = torch.zeros((), dtype=torch.int64, device=next(network.parameters()).device)

    @torch.no_grad()
    def update(self, network: nn.Module, taken: Tensor | None = None) -> None:
        """taken: bool (), on the network's device. If it is false, nothing changes."""
        self.updates += 1 if taken is None else taken
        share = self.share()
        if taken is not None:
            share = share * taken
        averages, news = ([_own(v) for v in values] for values in (self.weights.values(), network.parameters()))
        torch._foreach_lerp_(averages, news, [share] * len(averages))

    def share(self) -> Tensor:
        """float32 (), of what is new."""
        share = torch.full_like(self.updates, 1 - self.decay, dtype=torch.float32)
        return share.maximum(9 / (10 + self.updates)) if self.warmup else share  # 1 - (1 + n) / (10 + n)

    def whole(self, wanted: bool = True) -> dict[str, Tensor]:
        """The averaged weights on the CPU, for reading only. Every process must call it, wanted there or not."""
        weights = ((name, gathered(weight)) for name, weight in self.weights.items())
        return {name: weight.cpu() for name, weight in weights if wanted}

    def state_dict(self, wanted: bool = True) -> dict[str, Any]:
        return {"updates": int(self.updates), "weights": self.whole(wanted)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.updates.fill_(state["updates"])
        for name, weight in self.weights.items():
            weight.copy_(_spread_like(weight, state["weights"][name].to(weight.device)))


class PowerEMA(EMA):
    """p <- b p + (1 - b) new with b = (1 - 1 / n)^(gamma + 1) after the n-th update: weights of update s count as s^gamma
    (Karras et al. 2024, equation 4). The first update replaces the untrained weights."""

    def __init__(self, network: nn.Module, gamma: float):
        super().__init__(network, 0.0)
        self.gamma = gamma

    def share(self) -> Tensor:
        n = self.updates.clamp(min=1).float()  # while nothing has been taken, nothing is changed
        return -torch.expm1((self.gamma + 1) * torch.log1p(-1 / n))  # 1 - b, without a difference of numbers near 1


def _own(tensor: Any) -> Tensor:
    """What this process holds of a tensor."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor  # a DTensor of torch.distributed


def gathered(tensor: Any) -> Tensor:
    """The whole of a tensor that may be sharded over the processes, all of which must call this."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def _spread_like(own: Any, whole: Tensor) -> Tensor:
    if not hasattr(own, "full_tensor"):
        return whole
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(whole, own.device_mesh, own.placements)


def _require_supported(accelerator: Accelerator) -> None:
    kind = accelerator.distributed_type
    sharded_the_old_way = kind == DistributedType.FSDP and not accelerator.is_fsdp2
    if sharded_the_old_way or kind in (DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM):
        raise ValueError(
            f"accelerate is set up for {kind.value}{' version 1' if sharded_the_old_way else ''}, which training does not "
            "support: launch with one of the files in training/configs/accelerate (--config_file)"
        )
