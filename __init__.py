"""SCDM as a ComfyUI node pack. The library is the package `scdm` beside this file.

Importing this file does nothing: pytest does it on its way to the tests, and neither it nor the library needs ComfyUI.
"""

from typing import Any

WEB_DIRECTORY = "./web"  # docs/<node id>.md: the help page of each node


def comfy_entrypoint() -> Any:
    """The extension that ComfyUI asks for. ComfyUI prefers NODE_CLASS_MAPPINGS, so there must be none here."""
    from .nodes import ScdmExtension

    return ScdmExtension()
