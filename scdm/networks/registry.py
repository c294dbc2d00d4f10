"""The kinds of networks, and the one place that makes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..files import config as configuration
from .dit import DiT, DiTConfig
from .network import Network, NetworkConfig
from .unet import UNet, UNetConfig
from .weights import fill


class Kind(NamedTuple):
    config: type[NetworkConfig]
    network: type[Network]


# By the `kind` that files give. The first is the one of files without it.
NETWORKS = {
    "unet": Kind(UNetConfig, UNet),
    "dit": Kind(DiTConfig, DiT),
}
configuration.declare_kinds(NetworkConfig, lambda: {name: kind.config for name, kind in NETWORKS.items()})


def build(
    config: NetworkConfig,
    weights: Mapping[str, Tensor] | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    operations: Any = nn,
    *,
    copy: bool = False,
) -> Network:
    """The network of a configuration: untrained, with initial weights of the global generator, or with `weights`, ready to
    sample. Without `device` its weights are where they come from, without `dtype` in float32.

    copy: the weights, which lie in a file that may be written again.
    ValueError if the weights are not the network's, or not finite. No memory is taken before that is known.
    """
    make: Any = NETWORKS[configuration.kind_of(config)].network
    if weights is None:
        return make(config, operations).placed(device, dtype)
    with torch.device("meta"):
        network: Network = make(config, operations)
    fill(network, weights, copy)
    return network.eval().requires_grad_(False).placed(device, dtype)


def described(config: NetworkConfig) -> dict[str, Any]:
    """The settings with their kind, whatever it is."""
    return {**configuration.to_dict(config), "kind": configuration.kind_of(config)}
