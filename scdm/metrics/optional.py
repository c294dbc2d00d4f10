"""What is there only on demand: packages of the extra `eval`, and published weights in files of the user's."""

from __future__ import annotations

import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor

from ..files.tensors import tensors_in
from ..files.untrusted import file_at, sha256_of


class MissingPackage(ValueError):
    """What was asked for needs a package that is not there, or does not fit the others."""


def library(name: str, purpose: str) -> Any:
    """The package `name`. MissingPackage says what to install if it is not there, or does not fit the others."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about each other's deprecations
            return import_module(name)
    except (ImportError, RuntimeError) as error:  # as of torchvision where it was built for another torch
        needed = (isinstance(error, ImportError) and error.name) or name
        raise MissingPackage(f"{purpose} needs the package {needed} ({error}): pip install -e '.[eval]'") from error


def state_dict(path: str | Path, what: str) -> dict[str, Tensor]:
    """The tensors in a file of torch.save, by name; code in the file is not run. ValueError if it is not `what`."""
    path = file_at(path)
    try:
        content = tensors_in(path)
        return {name: Tensor.detach(value) for name, value in content.items()}
    except Exception as error:  # on nonsense, torch raises almost anything
        raise ValueError(f"{path} is damaged, or holds no {what}, which would be tensors by name") from error


def digest(path: str | Path) -> str:
    """What tells a file of weights from others, whatever its name."""
    return sha256_of(path)[:16]
