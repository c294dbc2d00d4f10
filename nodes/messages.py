"""What nodes say to the painter: before a graph runs, and below a node that has run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)


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


def tell(node_id: str | None, summary: str, remarks: list[str]) -> None:
    """Shows lines of text below the node; the remarks are also logged. Without a server there is no `node_id`."""
    for remark in remarks:
        log.warning(remark)
    if node_id is not None:
        from server import PromptServer  # all of ComfyUI: for running nodes only

        PromptServer.instance.send_progress_text("\n".join([summary, *remarks]), node_id)
