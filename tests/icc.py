"""Colour profiles (ICC version 2) made from their numbers."""

from __future__ import annotations

import struct
from collections.abc import Sequence

SRGB = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))  # red, green, blue as XYZ at D50
ADOBE_RGB = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
DISPLAY_P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))


def rgb_profile(name: str, primaries: Sequence[Sequence[float]], gamma: float = 2.2) -> bytes:
    tags = {tag: _xyz(xyz) for tag, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)}
    return _profile(b"RGB ", name, tags | {tag: _curve(gamma) for tag in (b"rTRC", b"gTRC", b"bTRC")})


def grey_profile(name: str, gamma: float) -> bytes:
    return _profile(b"GRAY", name, {b"kTRC": _curve(gamma)})


def _profile(space: bytes, name: str, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": _description(name), b"wtpt": _xyz((0.9642, 1.0, 0.8249)), **tags}
    offset, table, data = 128 + 4 + 12 * len(tags), b"", b""
    for tag, content in tags.items():
        table += tag + struct.pack(">II", offset + len(data), len(content))
        data += content + b"\0" * (-len(content) % 4)
    size = offset + len(data)
    head = struct.pack(">I4xI4s4s4s12x4s", size, 0x02100000, b"mntr", space, b"XYZ ", b"acsp")
    head = head.ljust(68, b"\0") + struct.pack(">iii", 63190, 65536, 54061)  # D50
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">iii", *(round(value * 65536) for value in values))


def _curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def _description(name: str) -> bytes:
    text = name.encode("ascii") + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + b"\0" * 78
