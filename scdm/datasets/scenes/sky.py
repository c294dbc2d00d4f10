"""Sky, sun and clouds."""

from __future__ import annotations

import cv2
import numpy as np

from .canvas import CLOUD, SKY, SUN, Array, Canvas, mix, ramp
from .textures import relief, repeating, upright

WHITE = np.ones(3, np.float32)


def paint_sky(canvas: Canvas) -> None:
    light = canvas.light
    sky = canvas.crop(0, 0, canvas.aspect, canvas.horizon + 0.06)  # land or water covers the rest
    down = np.clip(sky.y[:, 0] / canvas.horizon, 0, 1)
    haze = np.exp(-(((1 - down) / 0.16) ** 2))  # the air near the ground is bright and pale
    colour = mix(mix(light.zenith, light.horizon, down**1.2), mix(light.horizon, WHITE, 0.3), 0.5 * haze)
    sky.image[:] = cv2.resize(colour[:, None], sky.labels.shape[::-1], interpolation=cv2.INTER_NEAREST)
    sky.labels[:] = SKY
    if light.overcast:
        return
    distance = np.sqrt((sky.x - light.sun[0]) ** 2 + (sky.y - light.sun[1]) ** 2)
    white = mix(light.direct, WHITE, 0.35)
    sky.glaze(0.42 * np.exp(-distance / 0.14) + 0.26 * np.exp(-distance / 0.5), white)
    radius = 0.035 + 0.03 * (light.sun[1] / canvas.horizon) ** 2  # a low sun looks larger
    disc = canvas.crop(*(place + side * 2 * radius for side in (-1, 1) for place in light.sun))
    if disc.labels.size:
        off = np.hypot(disc.x - light.sun[0], disc.y - light.sun[1])
        disc.paint(disc.cover(radius - off), mix(white, WHITE, 0.9 * ramp(radius, 0.3 * radius, off)), SUN)


def billows() -> Array:
    """The heaps of a cloud: round, creased, ever finer."""
    return relief(repeating(11, 7, 10, 6, 0.55, billow=True), 3.5)


def streaks() -> Array:
    """Ice clouds that the wind has combed."""
    return relief(repeating(12, 2, 14, 6, 0.62))


def paint_clouds(canvas: Canvas) -> None:
    """Heaps with flat bases; a closed layer when overcast."""
    light, rng = canvas.light, canvas.rng
    count = rng.integers(0, 5)
    places = rng.random((5, 4), np.float32)
    sky = canvas.crop(0, 0, canvas.aspect, canvas.horizon)
    _wisps(sky)
    density = np.full(sky.labels.shape, -1.0, np.float32)
    for across, up, long, tall in places[: max(count, 3 * light.overcast)]:
        x, y = across * canvas.aspect, canvas.horizon * (0.08 + 0.72 * up)
        scale = 1.3 - up + 0.7 * light.overcast  # clouds near the horizon are far away
        rise = (sky.y - y) / (scale * (0.06 + 0.06 * tall))
        rise = np.where(rise > 0, 2.2 * rise, rise)
        density = np.maximum(density, 1 - ((sky.x - x) / (scale * (0.16 + 0.2 * long))) ** 2 - rise**2)
    density += 0.55 * canvas.noise(5, 8, 3)[: len(density)]
    heaps = upright(sky, billows)
    reach = np.flatnonzero((density > -0.35).any(1))
    if not reach.size:
        return
    rows = slice(reach[0], reach[-1] + 1)
    sky = sky.crop(0, float(sky.y[reach[0], 0]) - 1e-6, canvas.aspect, float(sky.y[reach[-1], 0]) + 1e-6)
    _heaps(sky, density[rows], heaps[rows])


def _heaps(sky: Canvas, density: Array, heaps: Array) -> None:
    light = sky.light
    right, up = light.toward
    frayed = density + 0.14 * heaps[..., 0]
    coverage = ramp(0.1, 0.35, frayed)
    inside = density > 0.225  # the layout follows the smooth outline
    coverage = np.where(inside, np.maximum(coverage, 0.52), np.minimum(coverage, 0.48))
    toward = _shifted(density, -0.03 * sky.scale * np.sign(right), 0.04 * sky.scale)  # nearer the light
    facing = right * heaps[..., 1] - up * heaps[..., 2]
    lit = 0.56 + 0.5 * (density - toward) - 0.12 * density + 0.2 * heaps[..., 0]
    lit += (0.06 if light.overcast else 0.12) * facing * ramp(-0.1, 0.5, density)
    shadow = (0.55 - 0.1 * light.overcast) * light.haze + 0.42 * light.ambient
    bright = np.minimum(1, 0.35 * light.direct + 0.45 * light.horizon + 0.27 + 0.08 * light.overcast)
    sky.glaze(0.95 * coverage, mix(shadow, bright, np.clip(lit, 0, 1.08)))
    np.putmask(sky.labels, inside, np.uint8(CLOUD))


def _wisps(sky: Canvas) -> None:
    """Thin high clouds: they veil the sky and leave it sky."""
    strength = 0.4 * sky.detail.random() ** 2 + 0.12 * sky.light.overcast
    veil = upright(sky, streaks)[..., 0]
    light = sky.light
    bright = np.minimum(1, 0.3 * light.direct + 0.5 * light.horizon + 0.22)
    high = ramp(1.0, 0.2, sky.y / sky.horizon)
    inside = sky.labels == SKY
    sky.glaze(strength * ramp(-0.1, 1.0, veil) * high * inside, bright)


def _shifted(field: Array, right: float, down: float) -> Array:
    """The field (H, W) moved by so many pixels; its borders are continued."""
    move = np.array([[1, 0, right], [0, 1, down]], np.float32)
    return cv2.warpAffine(field, move, field.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
