"""The models that the page offers, by their names."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from .. import assets
from ..devices import AUTO, fast_dtype
from ..files.untrusted import shown
from ..layouts.paintings import colored, stored_as
from ..layouts.palette import Palette, palette_names
from ..models import checkpoint, conversion
from ..models.checkpoint import Header
from ..models.model import Model
from ..pipeline import GenerateOptions


class Models:
    """Model files by name, of which one is loaded at a time. The first that was asked for is the page's choice.

    ValueError for what is no model file.
    """

    def __init__(self, asked: Iterable[str], options: GenerateOptions, device: torch.device):
        self.options, self.device = options, device
        self._sources: dict[str, str] = {}
        self._headers: dict[str, Header] = {}
        for source in dict.fromkeys((*map(assets.current, asked), *assets.embedded_models())):
            name = self._unused(source if assets.is_embedded(source) else Path(source).stem)
            with checkpoint.model_file(source) as path:
                self._headers[name] = checkpoint.read_header(path)
            self._sources[name] = source
        self._loaded: tuple[str, Model] | None = None

    def _unused(self, name: str) -> str:
        names = (name, *(f"{name} ({number})" for number in range(2, len(self._sources) + 3)))
        return next(each for each in names if each not in self._sources)

    @property
    def names(self) -> list[str]:
        return list(self._sources)

    def palette(self, name: str) -> Palette:
        return self._headers[self.known(name)].palette

    def size(self, name: str) -> tuple[int, int]:
        """(height, width) that it paints best."""
        return self._headers[self.known(name)].config.taught.preferred

    def known(self, name: str) -> str:
        """ValueError for a name that is not in the list: the page names models, and never files."""
        if name not in self._sources:
            raise ValueError(f"there is no model {shown(name)} here: choose {', '.join(self.names)}")
        return name

    def is_loaded(self, name: str) -> bool:
        return self._loaded is not None and self._loaded[0] == name

    def called(self, name: str) -> Model:
        """The model of that name, which is loaded first if need be; the one before is forgotten."""
        if self._loaded is None or not self.is_loaded(name):
            source = self._sources[self.known(name)]
            self._loaded = None  # its memory is free before the next is there
            precision = self.options.precision
            dtype = fast_dtype(self.device) if precision == AUTO else precision
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._loaded = name, conversion.load(source, self.device, dtype=dtype)
        return self._loaded[1]

    def of_classes(self, names: tuple[str, ...], preferred: str) -> str:
        """The name of a model of these classes: the preferred one if it has them. ValueError if none has."""
        found = [name for name in (preferred, *self.names) if self.palette(name).names == names]
        if not found:
            few = shown(list(names))
            raise ValueError(f"no model here has its classes, {few}: start 'scdm paint' with --model and theirs")
        return found[0]

    def palettes(self) -> list[dict[str, Any]]:
        """Those whose layouts the page translates: the models', those that come with SCDM, and these in the colours of
        preprocessors."""
        shipped = [Palette.named(name) for name in palette_names()]
        preprocessed = [palette.golden_angle() for palette in shipped]
        found = [*(header.palette for header in self._headers.values()), *shipped, *preprocessed]
        colored: dict[Any, Palette] = {}
        stored: dict[Any, Palette] = {}  # of palettes with the same classes, the first says how ids are stored
        for palette in found:
            colored.setdefault((palette.names, palette.colors), palette)
            stored.setdefault(palette.names, palette)
        return [_told(palette, palette is stored[palette.names]) for palette in colored.values()]

    def about(self) -> list[dict[str, Any]]:
        """What the page shows of each."""
        return [_about(name, header) for name, header in self._headers.items()]


def _told(palette: Palette, values: bool) -> dict[str, Any]:
    """A palette as painters have it. values: whether to say how id maps store its classes."""
    classes = [{"name": name, "color": color} for name, color in colored(palette)]
    return {"name": palette.name, "classes": classes, "values": stored_as(palette) if values else []}


def _about(name: str, header: Header) -> dict[str, Any]:
    config, palette = header.config, header.palette
    height, width = config.taught.preferred
    return {
        "name": name,
        "palette": palette.name,
        "classes": [{"name": called, "color": color} for called, color in colored(palette)],
        "size": [width, height],
        "taught": str(config.taught),
        "distilled": config.distilled_steps is not None,
        "guidance": config.distilled_guidance is None,
        "roughness": config.network.roughness,
    }
