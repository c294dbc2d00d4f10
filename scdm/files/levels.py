"""What the levels of a picture mean: a photograph's light, the strength of a mask.

Both pass here before any other use, because Pillow's own conversions clip what has more than 8 bits, drop what is
transparent, and say nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from .profiles import in_srgb

Remark = Callable[[str], None]

DARKEST = 1 / 16  # of white, for the brightest pixel of a photograph; what is darker is of fewer bits than its file
DIM = 1 / 4  # of white: darker ones of 16 bits may be of 14
FLOATS_IN_BYTES = 64  # the brightest of floats in 0..255, above what light beyond 1 comes to
FAINT = 0.01  # the strength of a mask that repaints nothing to be seen
PICTURE = 0.05  # share of a mask's pixels, in colours or between black and white, that makes it a picture
SRGB_GAMMA = 1 / 2.2  # as PNG files write it


def silent(sentence: str) -> None:
    """The remark of those who do not want any."""


def photograph(image: Image.Image, remark: Remark = silent) -> Image.Image:
    """A picture that `read_image` gave, of any mode, in RGB of 8 bits and in sRGB.

    Greys of 16 bits are scaled (65535 is white), floats too (1 is white or, if they reach well beyond 64, 255).
    remark: receives what looks wrong, a sentence at a time: hardly any light, one colour only, transparent parts.
    ValueError if the level of white is uncertain, as for 12 bits in a file of 16.
    """
    info = image.info
    if _is_deep(image):
        image = _eight_bits(image, remark)
    elif "scdm_white" in info:
        image = Image.fromarray((np.asarray(image) * (255 / info["scdm_white"])).round().astype(np.uint8))
    elif remark is not silent:
        _remark_transparency(image, remark)
    image.info = dict(info)
    image = in_srgb(image)
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    if remark is not silent or "scdm_bits" in info:  # in training nobody listens, and it is a look at all pixels
        _remark_light(rgb, info, remark)
    if "scdm_profile_ignored" in rgb.info:
        remark(f"its colour profile is left out: {rgb.info['scdm_profile_ignored']}")
    if "scdm_pictures" in info:
        remark(f"the file holds {info['scdm_pictures']} pictures: the first is read")
    gamma = info.get("gamma")
    if gamma and "srgb" not in info and not info.get("icc_profile") and abs(gamma - SRGB_GAMMA) > 0.05:
        remark(f"the file's levels are light to the power of {gamma:.2g} and are read as sRGB: save it as sRGB")
    return rgb


def mask_strength(image: Image.Image, remark: Remark = silent) -> np.ndarray:
    """A picture that `read_image` gave -> float32 (H, W) in [0, 1]: white is 1, black and transparent are 0.

    remark: receives what `scaled_strength` reports, and that the mask looks like a picture. ValueError as for photographs.
    """
    if _is_deep(image):
        values = _finite(image)
        return scaled_strength(values / _mask_white(image, values, remark), remark)
    levels = np.asarray(image.convert("RGBA")).astype(np.float32)  # (H, W, 4)
    colours, alpha = levels[..., :3], levels[..., 3] / 255
    doubt = _doubt_of_mask(colours, alpha)
    if doubt:
        remark(doubt)
    strength = colours.mean(axis=-1) / image.info.get("scdm_white", 255) * alpha
    return scaled_strength(strength, remark, scale=doubt is None)


def scaled_strength(strength: np.ndarray, remark: Remark = silent, scale: bool = True) -> np.ndarray:
    """A mask in [0, 1], of any shape, in float32. Where it has two levels, 0 and another, that becomes white, unless it is
    hardly above 0 and not 1 of 255.

    remark: receives that, or that the mask repaints nothing visible. scale: False to keep the levels.
    """
    strength = strength.astype(np.float32)
    high = float(strength.max(initial=0))
    if 0 < high < FAINT:
        steps = strength * 255
        if np.isclose(steps, steps.round(), atol=1e-3).all() and round(high * 255) == 1:
            remark("the mask has the levels 0 and 1 of 255: 1 is taken for white")
            return steps.round()
        remark(
            f"the mask repaints hardly anything: its brightest level is {high * 255:.2g} of 255, and white is repainted"
        )
    elif scale and 0 < high < 1 and _two_levels(strength, high):
        remark(f"the mask has the levels 0 and {high * 255:.3g} of 255: {high * 255:.3g} is taken for white")
        return (strength > 0).astype(np.float32)
    return strength


def require_lossless(image: Image.Image) -> None:
    """ValueError if the file that a picture was read from is of a format that ids do not survive."""
    if lossy := image.info.get("scdm_lossy"):
        raise ValueError(f"ids do not survive {lossy}, which changes pixels along borders: save the map as PNG")


def _is_deep(image: Image.Image) -> bool:
    return image.mode == "F" or image.mode.startswith("I")


def _finite(image: Image.Image) -> np.ndarray:
    values = np.asarray(image).astype(np.float64 if image.mode == "I" else np.float32)
    if not np.isfinite(values).all():
        raise ValueError("the image holds NaN or infinite values: replace them")
    return values


def _eight_bits(image: Image.Image, remark: Remark) -> Image.Image:
    values = _finite(image)
    white = _white(image, values)
    if image.mode != "F" and white == 65535 and values.max() < DIM * white:
        remark(f"its brightest level is {values.max():.0f} of {white}: if it has 14 bits or fewer, scale them to 16")
    return Image.fromarray((values * (255 / white)).round().astype(np.uint8))


def _white(image: Image.Image, values: np.ndarray) -> int:
    """The level of white of a grey picture of more than 8 bits. ValueError if it is uncertain."""
    if "scdm_white" in image.info:
        return int(image.info["scdm_white"])
    low, high = float(values.min()), float(values.max())
    if image.mode != "F" and low >= 0 and high <= 65535:
        _require_light(high, 65535)
        return 65535
    if image.mode == "F" and low >= 0 and (DARKEST <= high <= 1 or FLOATS_IN_BYTES <= high <= 255):
        return 1 if high <= 1 else 255
    floats = f"floats from {low:.4g} to {high:.4g}, so that the level of white is uncertain: scale them to 0..1"
    whole = f"levels from {low:.0f} to {high:.0f}, not 0 to 65535: scale them"
    raise ValueError(f"the image holds {floats if image.mode == 'F' else whole}, or save it with 8 bits")


def _mask_white(image: Image.Image, values: np.ndarray, remark: Remark) -> float:
    """As `_white`, but where a photograph would be too dark, the brightest of two levels is white, and 255 in integers."""
    high = float(values.max())
    if "scdm_white" in image.info or values.min() < 0:
        return _white(image, values)
    if image.mode == "F" and high <= 1:
        return 1
    if high > 0 and high not in (255, 65535) and ((values == 0) | (values == high)).all():
        remark(f"the mask has the levels 0 and {high:g}: {high:g} is taken for white")
        return high
    return 255 if high <= 255 else _white(image, values)


def _two_levels(strength: np.ndarray, high: float) -> bool:
    dark = strength == 0
    return bool(dark.any() and (dark | (strength == high)).all())


def _require_light(high: float, white: int) -> None:
    if high < DARKEST * white:
        raise ValueError(
            f"the image has more than 8 bits, but its brightest level is {high:.0f} of {white}, as of 12 bits in 16: "
            f"scale its levels to 0..{white}, or save it with 8 bits"
        )


def _remark_light(rgb: Image.Image, info: dict, remark: Remark) -> None:
    extrema = rgb.getextrema()
    high = max(most for _, most in extrema)  # type: ignore[misc]
    if info.get("scdm_bits") == 16:
        _require_light(high * 256 + 255, 65535)
        if high < DIM * 256:
            remark(f"its brightest level is {high} of 255: if it has 14 bits or fewer, scale them to 16")
    elif high < DARKEST * 256:
        remark(f"it is black, or nearly: its brightest level is {high} of 255")
    if high >= DARKEST * 256 and all(least == most for least, most in extrema):  # type: ignore[misc]
        remark("all its pixels have the same colour")


def _remark_transparency(image: Image.Image, remark: Remark) -> None:
    if image.has_transparency_data:
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
        if share := float((alpha < 255).mean()):
            remark(f"{max(share, 0.01):.0%} of its pixels are transparent: the colours below are taken")


def _doubt_of_mask(colours: np.ndarray, alpha: np.ndarray) -> str | None:
    """What a mask that looks like a picture may have been meant for. colours: (H, W, 3) of 0..255, alpha: (H, W) of 0..1."""
    seen = alpha >= 0.5
    holes = not seen.all()
    if not seen.any():
        return None
    shown = colours[seen]
    bright = shown[shown.max(axis=-1) > 16]
    coloured = bool(len(bright)) and float(((bright.max(axis=-1) - bright.min(axis=-1)) > 32).mean()) > PICTURE
    shaded = bool(len(bright)) and float((bright.mean(axis=-1) < 239).mean()) > PICTURE
    if holes and (coloured or shaded):
        return (
            "the mask looks like a picture with a transparent part: transparent is kept, and the rest repainted as far as "
            "it is bright. To repaint the transparent part, make it white and all else black"
        )
    if holes and not len(bright):
        return (
            "what is not transparent in the mask is black, so nothing is repainted: paint white what is to be repainted"
        )
    return "the mask is in colours: its pixels are repainted as far as they are bright" if coloured else None
