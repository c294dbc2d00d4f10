"""What the page sets of the options that a command line gave."""

from __future__ import annotations

from dataclasses import replace

import scdm
from scdm.paint.messages import Settings
from scdm.pipeline import GenerateOptions


def test_steps_of_the_command_line_are_for_models_that_have_none_built_in():
    """`scdm paint --steps 20` stopped scenes-fast, once it was chosen on the page."""
    asked = GenerateOptions(steps=20)
    settings = Settings.of("scenes-fast", replace(asked, seed=7))
    assert settings.applied(asked).steps == 20
    assert settings.applied(asked, distilled=True).for_model(scdm.load("scenes-fast")).steps == "trailing4"
    assert settings.applied(asked, distilled=True).seed == 7
