"""Networks: what turns a noisy image, its step and a layout into a prediction."""

from .compiled import Compiled
from .network import Network, NetworkConfig
from .registry import NETWORKS, build, described
from .unet import UNet, UNetConfig

__all__ = ["NETWORKS", "Compiled", "Network", "NetworkConfig", "UNet", "UNetConfig", "build", "described"]
