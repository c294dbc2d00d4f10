"""Modules of users, which add to the registries: samplers, losses, networks, data sets, corruptions, parametrisations."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from .untrusted import shown


def load_plugins(names: Iterable[str]) -> None:
    """Imports modules, each by its name (my_package.samplers) or as a file (my_samplers.py), which is a module of its stem.

    What they register is there from then on; a module is imported once. This runs their code. ValueError if there is no such
    module, if it needs one that is not installed, or if its code fails.
    """
    for name in names:
        _load_file(Path(name)) if name.endswith(".py") else _load_module(name)


def _load_module(name: str) -> None:
    if not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(
            f"plugin {shown(name)} is neither a module (my_package.samplers) nor the file of one (my_samplers.py)"
        )
    with _imported(shown(name), "Install it, or name its file (my_plugin.py)"):
        import_module(name)


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
        with _imported(path, "Install what it needs"):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise


@contextmanager
def _imported(plugin: object, advice: str) -> Iterator[None]:
    """What is wrong with a plugin becomes a sentence that says where, for it is its author who can mend it."""
    try:
        yield
    except ImportError as error:
        raise ValueError(f"plugin {plugin} cannot be imported: {error}. {advice}") from error
    except (Exception, SystemExit) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = (error.filename, error.lineno) if isinstance(error, SyntaxError) else (frame.filename, frame.lineno)
        words = error.msg if isinstance(error, SyntaxError) else error
        raise ValueError(
            f"plugin {plugin} fails: {type(error).__name__} ({words}) in line {where[1]} of {where[0]}"
        ) from error
