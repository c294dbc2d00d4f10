"""Embedded colour profiles (ICC): colours brought to sRGB, which class tables and networks mean by levels."""

from __future__ import annotations

import io
from collections.abc import Collection
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

ALIKE = 2  # levels: a profile that changes no colour by more is sRGB, and what it describes stays as it is to the bit
SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}  # of profiles, and Pillow's modes for them
EXACTLY = 0.9  # share of the coloured pixels: the rest may be borders
NO_PROFILE, LAB = "CMYK without a profile", "CIELAB"  # in place of the name of one

Color = tuple[int, int, int]


class BadProfile(ValueError):
    """A profile that cannot be applied, and why."""


def in_srgb(image: Image.Image, classes: Collection[Color | None] = (), greys: bool = True) -> Image.Image:
    """The picture in sRGB, with `scdm_profile` in its `info`, the name of what was converted; or itself, if it was so.

    Colours only: an indexed picture keeps its indices, a transparent one its alpha. A profile that cannot be applied is
    left out, and `scdm_profile_ignored` says why.

    classes: colours of classes. A picture that has these very levels was painted by numbers, whatever profile a program
        has added, and stays as it is, with the profile's name in `scdm_profile_unneeded`.
    greys: convert pictures without colours, too, whose levels may be ids.
    """
    if not greys and image.mode not in ("RGB", "RGBA", "P", "PA", "CMYK", "LAB"):
        return image
    profile = image.info.get("icc_profile")
    if image.mode == "LAB":
        return _named(_lab_to_srgb(image), image, LAB)
    if profile:
        try:
            return _converted(image, bytes(profile), classes, greys)
        except BadProfile as error:
            image.info["scdm_profile_ignored"] = str(error)
    return _named(image.convert("RGB"), image, NO_PROFILE) if image.mode == "CMYK" else image


def _converted(image: Image.Image, profile: bytes, classes: Collection[Color | None], greys: bool) -> Image.Image:
    name, space = described(profile)
    colours = "CMYK" if image.mode == "CMYK" else "L" if image.mode in ("1", "L", "LA") and space == "L" else "RGB"
    if space != colours:
        raise BadProfile(f"{name} is a profile of {space} and the picture one of mode {image.mode}")
    transform = _transform(profile, colours)
    if transform is None or (not greys and _is_grey(image)):
        return image
    if _holds(image, classes):
        image.info["scdm_profile_unneeded"] = name
        return image
    if image.mode in ("P", "PA"):
        return _named(_with_palette(image, transform), image, name)
    alpha = image.getchannel("A") if "A" in image.getbands() else None
    converted = _apply(transform, image.convert(colours))
    if alpha is not None:
        converted.putalpha(alpha)
    return _named(converted, image, name)


def _is_grey(image: Image.Image) -> bool:
    if image.mode == "CMYK":
        return False
    in_table = image.mode in ("P", "PA")
    levels = np.array(image.getpalette("RGB")) if in_table else np.asarray(image)[..., :3]
    colours = levels.reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _holds(image: Image.Image, classes: Collection[Color | None]) -> bool:
    """Whether nearly all coloured pixels have exactly the colour of a class. Greys are the same in most profiles."""
    if not any(classes):
        return False
    rgba = np.asarray(image.convert("RGBA")).astype(np.int32)
    coloured = (rgba[..., :3].max(axis=-1) > rgba[..., :3].min(axis=-1)) & (rgba[..., 3] >= 128)
    codes = (rgba[..., :3] @ np.array([1 << 16, 1 << 8, 1], dtype=np.int32))[coloured]
    known = [red << 16 | green << 8 | blue for red, green, blue in filter(None, classes)]
    return codes.size > 0 and bool(np.isin(codes, known).mean() >= EXACTLY)


def _named(converted: Image.Image, source: Image.Image, name: str) -> Image.Image:
    converted.info = {**source.info, "scdm_profile": name}
    converted.info.pop("icc_profile", None)
    return converted


def _with_palette(image: Image.Image, transform: Any) -> Image.Image:
    mode = image.palette.mode if image.palette else "RGB"
    entries = np.array(image.getpalette(mode), dtype=np.uint8).reshape(1, -1, len(mode))
    entries[..., :3] = np.asarray(_apply(transform, Image.fromarray(entries[..., :3].copy())))
    converted = image.copy()
    converted.putpalette(entries.tobytes(), mode)
    return converted


@lru_cache(maxsize=8)
def described(profile: bytes) -> tuple[str, str]:
    """A profile's name, and the mode of the pictures that it describes. BadProfile if it is damaged or of another use."""
    cms = _cms()
    try:
        opened = _opened(profile)
        name = " ".join(cms.getProfileDescription(opened).split()) or "unnamed"
        space = opened.profile.xcolor_space.strip()
    except (cms.PyCMSError, OSError, TypeError, ValueError) as error:
        raise BadProfile(f"it is damaged ({error})") from None
    return name[:100], SPACES.get(space, space)


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> Any | None:
    """From the profile's space to sRGB; None if that is sRGB already. A data set has few profiles, and many files."""
    cms = _cms()
    try:
        transform = cms.buildTransform(
            _opened(profile),
            cms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=cms.Intent.RELATIVE_COLORIMETRIC,
            flags=cms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (cms.PyCMSError, OSError, TypeError, ValueError) as error:
        raise BadProfile(f"it cannot be applied ({error})") from None
    sample = _sample(mode)
    if sample is None:
        return transform
    change = np.asarray(_apply(transform, sample)).astype(int) - np.asarray(sample.convert("RGB"))
    return None if abs(change).max() <= ALIKE else transform


def _sample(mode: str) -> Image.Image | None:
    """Colours from all of the space, of a mode that sRGB could be in."""
    if mode == "CMYK":
        return None
    ramp = np.arange(0, 256, 15, dtype=np.uint8)
    if mode == "L":
        return Image.fromarray(ramp[None])
    grid = np.stack(np.meshgrid(ramp, ramp, ramp, indexing="ij"), axis=-1)
    return Image.fromarray(grid.reshape(len(ramp), -1, 3))


def _lab_to_srgb(image: Image.Image) -> Image.Image:
    cms = _cms()
    return _apply(cms.buildTransform(cms.createProfile("LAB"), cms.createProfile("sRGB"), "LAB", "RGB"), image)


def _apply(transform: Any, image: Image.Image) -> Image.Image:
    converted = _cms().applyTransform(image, transform)
    assert converted is not None  # it is None in place only
    return converted


def _opened(profile: bytes) -> Any:
    return _cms().ImageCmsProfile(io.BytesIO(profile))


def _cms() -> Any:
    from PIL import ImageCms, features  # here: few files need it

    if not features.check("littlecms2"):
        raise BadProfile("this installation of Pillow was built without littlecms2")
    return ImageCms
