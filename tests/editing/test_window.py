"""Windows of an edit: how small they may be, and what the network is given of the whole."""

from __future__ import annotations

import pytest
import torch

from scdm.editing.window import windowed
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette
from scdm.models.model import Model, ModelConfig
from scdm.networks import UNetConfig
from scdm.pipeline import GenerateOptions, generate
from tests.weights import randomize

PALETTE = Palette("test", ("sky", "sea"), ((9, 0, 0), (0, 9, 0)))


def patched(size: int = 512, window: int | None = 128, sized: bool = True) -> Model:
    """Patches of 8 pixels and two levels, so that its stride is 16."""
    network = UNetConfig(
        2,
        channels=32,
        channel_mult=(1, 1),
        res_blocks=1,
        attention=(),
        head_channels=None,
        hidden=4,
        patch=8,
        layout_width=4,
        sized=sized,
    )
    model = Model.new(
        ModelConfig(network, (size, size), label_diffusion="none", prediction="x0", window=window), PALETTE
    )
    randomize(model.network, 0)
    model.network.eval()
    return model


def square(top: int, left: int, side: int, size: tuple[int, int] = (512, 512)) -> torch.Tensor:
    region = torch.zeros(size, dtype=torch.bool)
    region[top : top + side, left : left + side] = True
    return region


def sides(model: Model, region: torch.Tensor) -> tuple[int, int]:
    network = windowed(model, region).network
    rows, columns = getattr(network, "rows", range(512)), getattr(network, "columns", range(512))
    return len(rows), len(columns)


@pytest.mark.parametrize(
    ("model", "side"),
    [(patched(512, 128), 256), (patched(128, None), 256), (patched(512, 256), 320), (patched(512, None), 512)],
    ids=["windows of 128", "images of 128", "windows of 256", "images of 512"],
)
def test_a_window_is_as_large_as_what_the_model_was_trained_to_see_at_once(model: Model, side: int) -> None:
    """An edit of a quarter of the side with its margin, 192 pixels of 512."""
    assert sides(model, square(160, 160, 192)) == (side, side)


def test_the_window_of_a_small_region_is_the_one_of_training() -> None:
    assert sides(patched(512, 128), square(200, 200, 8)) == (144, 144)  # 128 where it begins at a stride
    assert sides(patched(512, 128), square(504, 0, 8)) == (128, 128)


def test_no_window_is_smaller_than_the_network_can_see() -> None:
    assert min(sides(patched(512, 16), square(0, 0, 1))) == 32


def test_windows_lie_at_strides_of_canvases_that_no_patch_divides() -> None:
    model, region = patched(512, 128), square(400, 480, 9, (410, 490))
    network = windowed(model, region).network
    for span, length in ((network.rows, 416), (network.columns, 496)):  # type: ignore[union-attr]
        assert span.start % 16 == span.stop % 16 == 0 and span.stop == length
    labels = LabelMap(torch.zeros(1, 410, 490, dtype=torch.int64), 2)
    image = generate(windowed(model, region), labels, GenerateOptions(steps=1))
    assert image.shape == (1, 3, 410, 490) and image[..., 400:, 480:].std() > 0


@pytest.mark.parametrize("given", [None, 1024])
def test_the_network_is_given_the_height_of_the_whole(given: int | None) -> None:
    model = patched()
    whole, window = model.network, windowed(model, square(160, 160, 192)).network
    x, t = torch.randn(1, 3, 512, 512), torch.tensor([7])
    with torch.no_grad():
        inner, shape = window.encode(x, t, given)
        expected = whole.encode(x, t, given).embedding
        assert shape == x.shape and inner.bottom.shape[-2:] == (16, 16)
        assert torch.equal(inner.embedding, expected)
        assert not torch.equal(whole.encode(x[..., :256, :256], t).embedding, expected)


def test_windows_that_no_stride_divides_are_refused() -> None:
    with pytest.raises(ValueError, match="side of a model's windows is a multiple of 16, not 100"):
        patched(512, 100)
