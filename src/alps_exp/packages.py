"""Packages that only some requests need: they are imported on first use, and the other requests do without them."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any


def require(module: str, purpose: str, install: str) -> Any:
    """Return a module of a package that may be missing.

    Parameters
    ----------
    module
        Its full name.
    purpose
        What needs it, for the message.
    install
        What pip is to install.

    Raises
    ------
    ValueError
        If the package is not installed.
    """
    package = module.partition(".")[0]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:  # a folder of that name, as Weights & Biases leaves one, is no package
        raise ValueError(f"{purpose} needs the package {package}: pip install {install}")
    return importlib.import_module(module)
