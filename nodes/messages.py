"""What nodes say to the painter: before a graph runs, and below the widgets of a node that has run."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from ..scdm.layouts.labels import LabelMap
from ..scdm.models.model import Model
from ..scdm.models.sizes import UnfamiliarSize

log = logging.getLogger(__name__)

warnings.filterwarnings("ignore", category=UnfamiliarSize)  # which nodes show (`size_remarks`)


def complaint(check: Callable[[Any], object], value: Any) -> str | bool:
    """For `validate_inputs`: the sentence with which `check(value)` refuses, or True.

    A linked input is None: its value is not known before the graph runs.
    """
    if value is None:
        return True
    try:
        check(value)
    except ValueError as error:
        return str(error)
    return True


def size_remarks(model: Model, labels: LabelMap) -> list[str]:
    """What there is to say of an image of the layout's size: nothing where the model was taught such sizes."""
    remark = model.config.taught.remark((labels.height, labels.width))
    return [remark] if remark else []


def said(text: str, remarks: Sequence[str] = ()) -> dict[str, list[str]]:
    """Lines of text for a node's `ui`, which `web/comfyui/texts.mjs` shows below its widgets; the remarks come first, each
    once, and are also logged.

    A node that says something at times does so at every run: no lines take those of the last run away. Plain text: names of
    classes come out of files from anywhere.
    """
    remarks = list(dict.fromkeys(remarks))  # the images of a batch may call for the same ones
    for remark in remarks:
        log.warning(remark)
    lines = "\n".join([*remarks, text]).strip()
    return {"text": [lines] if lines else []}
