"""Modules of users, which add to the registries: a sampler, a network, a data set, a corruption, a parametrisation."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from .untrusted import shown


def load_plugins(names: Iterable[str]) -> None:
    """Imports modules, each by its name (my_package.samplers) or as a file (my_samplers.py), which is a module of its stem.

    What they register is there from then on; a module is imported once. This runs their code. ValueError if there is no such
    module, or if it needs one that is not installed.
    """
    for name in names:
        _load_file(Path(name)) if name.endswith(".py") else _load_module(name)


def _load_module(name: str) -> None:
    try:
        import_module(name)
    except ImportError as error:
        raise ValueError(
            f"plugin {shown(name)} cannot be imported: {error}. Install it, or name its file (my_plugin.py)"
        ) from error


def _load_file(path: Path) -> None:
    if not path.is_file():
        raise ValueError(f"there is no plugin {path}")
    if (known := sys.modules.get(path.stem)) is not None:
        if getattr(known, "__file__", None) != str(path.resolve()):
            raise ValueError(f"plugin {path} has the name of another module, {path.stem}: rename the file")
        return
    spec = spec_from_file_location(path.stem, path.resolve())
    assert spec is not None and spec.loader is not None  # a name that ends in .py has them
    module = module_from_spec(spec)
    sys.modules[path.stem] = module  # so that dataclasses and pickle find it
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[path.stem]
        if isinstance(error, ImportError):
            raise ValueError(f"plugin {path} cannot be imported: {error}") from error
        raise
