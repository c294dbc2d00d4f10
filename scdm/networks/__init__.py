"""Networks: what turns a noisy image, its step and a layout into a prediction."""

from .unet import Features, UNet, UNetConfig

__all__ = ["Features", "UNet", "UNetConfig"]
