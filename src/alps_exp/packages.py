"""Optional packages, which are imported on first use."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType


def require(module: str, purpose: str, install: str) -> ModuleType:
    """Import a module of an optional package.

    Parameters
    ----------
    module
        Its full name.
    purpose
        What needs the package, for the error message.
    install
        Argument of `pip install` in the error message.

    Raises
    ------
    ValueError
        If the package is not installed.
    """
    package = module.partition(".")[0]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:  # W&B leaves a folder `wandb`, which looks like a namespace package
        raise ValueError(f"{purpose} needs the package {package}: pip install {install}")
    return importlib.import_module(module)
