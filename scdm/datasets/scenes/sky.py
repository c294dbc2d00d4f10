"""Sky, sun and clouds."""

from __future__ import annotations

import cv2
import numpy as np

from .canvas import CLOUD, SKY, SUN, Array, Canvas, mix, ramp


def paint_sky(canvas: Canvas) -> None:
    light = canvas.light
    down = np.clip(canvas.y / canvas.horizon, 0, 1) ** 1.2
    canvas.image[:] = mix(light.zenith, light.horizon, down)
    canvas.labels[:] = SKY
    distance = np.hypot(canvas.x - light.sun[0], canvas.y - light.sun[1])
    shine = 0.0 if light.overcast else 0.42 * np.exp(-distance / 0.14) + 0.26 * np.exp(-distance / 0.5)
    white = mix(light.direct, np.ones(3, np.float32), 0.35)
    canvas.glaze(np.broadcast_to(np.float32(shine), distance.shape), white)
    if not light.overcast:
        radius = 0.035 + 0.03 * (light.sun[1] / canvas.horizon) ** 2  # a low sun looks larger
        disc = distance < radius
        canvas.paint(disc, mix(white, np.ones(3, np.float32), 0.9 * ramp(radius, 0.3 * radius, distance)), SUN)


def paint_clouds(canvas: Canvas) -> None:
    """Heaps with flat bases; a closed layer when overcast."""
    light, rng = canvas.light, canvas.rng
    count = rng.integers(0, 5)
    places = rng.random((5, 4), np.float32)
    sky = canvas.crop(0, 0, canvas.aspect, canvas.horizon)
    density = np.full(sky.labels.shape, -1.0, np.float32)
    for across, up, long, tall in places[: max(count, 3 * light.overcast)]:
        x, y = across * canvas.aspect, canvas.horizon * (0.08 + 0.72 * up)
        scale = 1.3 - up + 0.7 * light.overcast  # clouds near the horizon are far away
        rise = (sky.y - y) / (scale * (0.06 + 0.06 * tall))
        rise = np.where(rise > 0, 2.2 * rise, rise)
        density = np.maximum(density, 1 - ((sky.x - x) / (scale * (0.16 + 0.2 * long))) ** 2 - rise**2)
    density += 0.55 * canvas.noise(5, 8, 3)[: len(density)]
    coverage = ramp(0.0, 0.45, density)
    toward = _shifted(density, -0.03 * canvas.scale * np.sign(light.toward[0]), 0.03 * canvas.scale)  # nearer the light
    lit = np.clip(0.62 + 0.45 * (density - toward) - 0.12 * density, 0, 1)
    shadow = (0.55 - 0.1 * light.overcast) * light.haze + 0.42 * light.ambient
    bright = np.minimum(1, 0.35 * light.direct + 0.45 * light.horizon + 0.27 + 0.08 * light.overcast)
    sky.glaze(0.95 * coverage, mix(shadow, bright, lit))
    np.copyto(sky.labels, np.uint8(CLOUD), where=coverage > 0.5)


def _shifted(field: Array, right: float, down: float) -> Array:
    """The field (H, W) moved by so many samples; its borders are continued."""
    move = np.array([[1, 0, right], [0, 1, down]], np.float32)
    return cv2.warpAffine(field, move, field.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
