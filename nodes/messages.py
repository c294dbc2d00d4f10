"""What nodes say to the painter: before a graph runs, and below a node that has run."""

from __future__ import annotations

import html
import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from comfy_api.latest import io

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


def tell(node: type[io.ComfyNode], text: str, remarks: Sequence[str] = ()) -> None:
    """Shows lines of text below the node, which declares `Hidden.unique_id`; the remarks come first, each once, and are also
    logged.

    Without a server there is nowhere to show them.
    """
    remarks = list(dict.fromkeys(remarks))  # the images of a batch may call for the same ones
    for remark in remarks:
        log.warning(remark)
    if node.hidden is not None and node.hidden.unique_id is not None:
        from server import PromptServer  # all of ComfyUI: for running nodes only

        # The front end takes it for HTML, and names of classes come out of files from anywhere.
        lines = html.escape("\n".join([*remarks, text]).strip())
        PromptServer.instance.send_progress_text(lines, node.hidden.unique_id)
