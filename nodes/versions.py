"""What only newer versions of ComfyUI than the oldest supported one know."""

from __future__ import annotations

import dataclasses
from typing import Any

from comfy_api.latest import io


def where_known(**fields: Any) -> dict[str, Any]:
    """Those of the given fields that `io.Schema` has here."""
    known = {field.name for field in dataclasses.fields(io.Schema)}
    return {name: value for name, value in fields.items() if name in known}
