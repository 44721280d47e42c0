"""The function that runs a job of a verb."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import cast


def verb_function(verb: str) -> Callable[..., int]:
    """Return the function of a verb: the one of its name, in the file of its name."""
    return cast("Callable[..., int]", getattr(importlib.import_module(f"alps_exp.cli.{verb}"), verb))
