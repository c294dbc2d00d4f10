"""Trees with leaves and trees with needles."""

from __future__ import annotations

import numpy as np

from .canvas import TREE, Canvas, cast_shadow, mix, rgb, stand


def paint_broadleaf(canvas: Canvas, x: float, y: float, size: float) -> None:
    lobes = canvas.rng.random((5, 3), np.float32)
    cast_shadow(canvas, x, y, 0.7 * size, size)
    tree = canvas.crop(x - 0.7 * size, y - 1.1 * size, x + 0.7 * size, y)
    light, (right, up) = tree.light, tree.light.toward
    trunk = np.abs(tree.x - x) < 0.035 * size * (1 + 0.5 * (tree.y > y - 0.05 * size))
    tree.paint(trunk & (tree.y > y - 0.5 * size), light.on(rgb(92, 68, 50), 0.35), TREE)
    crown = np.full(tree.labels.shape, -1.0, np.float32)
    facing = np.zeros(tree.labels.shape, np.float32)
    for across, rise, radius in lobes:
        radius = (0.2 + 0.1 * radius) * size
        u = (tree.x - x - (across - 0.5) * 0.46 * size) / radius
        v = (tree.y - y + (0.42 + 0.32 * rise) * size) / radius
        inside = 1 - u * u - v * v
        facing = np.where(inside > crown, right * u - up * v, facing)
        crown = np.maximum(crown, inside)
    lambert = np.clip(0.45 + 0.45 * facing + 0.35 * tree.fine, 0, 1)
    leaves = mix(rgb(46, 74, 30), rgb(116, 142, 54), lambert)
    stand(tree, crown + 0.45 * tree.fine > 0.05, light.on(leaves, lambert), TREE, y)


def paint_conifer(canvas: Canvas, x: float, y: float, size: float) -> None:
    slim = canvas.rng.uniform(0.2, 0.28)
    cast_shadow(canvas, x, y, 0.5 * size, size)
    tree = canvas.crop(x - 0.4 * size, y - size, x + 0.4 * size, y)
    light = tree.light
    tree.paint(np.abs(tree.x - x) + 0 * tree.y < 0.03 * size, light.on(rgb(82, 62, 50), 0.3), TREE)
    down = (tree.y - y + size) / size  # (H, 1), 0 at the tip and 1 at the foot
    tier = (down * 5.5) % 1
    edge = slim * size * down * (0.7 + 0.45 * tier)
    off = (tree.x - x) / np.maximum(edge, 1e-6)
    needles = (np.abs(off) + 0.25 * tree.fine < 1) & (down < 0.9)
    lambert = np.clip(0.4 + 0.4 * off * light.toward[0] - 0.35 * (tier - 0.5) + 0.25 * tree.fine, 0, 1)
    green = mix(rgb(28, 56, 42), rgb(74, 108, 66), lambert)
    stand(tree, needles, light.on(green, lambert), TREE, y)
