"""Networks: what turns a noisy image, its step and a layout into a prediction."""

from .compiled import CompiledUNet
from .unet import Features, UNet, UNetConfig

__all__ = ["CompiledUNet", "Features", "UNet", "UNetConfig"]
