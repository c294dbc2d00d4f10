"""The validation loss: the same for the same weights, whatever the batch and the run's seed, and lower for better ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from scdm.datasets import Validation, open_dataset
from scdm.layouts.palette import Palette
from scdm.training.config import TrainConfig
from scdm.training.run import new_model
from scdm.training.validation import validation_loss
from tests.training.tiny import config

RUN = config(validation=5)


def unseen(run: TrainConfig = RUN) -> Validation:
    return open_dataset(run.data, "val").validation()


def test_noise_and_steps_are_those_of_the_images_whatever_the_run() -> None:
    model = new_model(RUN, Palette.named("scenes"))
    first = validation_loss(model, unseen(), RUN)
    assert set(first) == {"total", "t 0-249", "t 250-499", "t 500-749", "t 750-999"}
    torch.manual_seed(5)
    emphasis = replace(RUN.loss, emphasised=("sky", "grass"), emphasis=4.0)
    for other in (replace(RUN, batch=2), replace(RUN, seed=9, null_rate=1.0), replace(RUN, loss=emphasis)):
        assert validation_loss(model, unseen(), other) == pytest.approx(first, rel=1e-5)


def test_a_network_that_outputs_nothing_has_the_loss_of_the_noise() -> None:
    model = new_model(RUN, Palette.named("scenes"))
    run = replace(RUN, loss=replace(RUN.loss, vb_weight=0.0))
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.zero_()
    assert validation_loss(model, unseen(), run)["total"] == pytest.approx(1, abs=0.05)


def test_images_of_validation_are_counted_where_there_is_a_sheet_unless_they_are_given() -> None:
    assert config(samples=0).validated == 0 and config(samples=2).validated == 32
    assert config(samples=0, validation=7).validated == 7 and config(samples=2, validation=0).validated == 0
