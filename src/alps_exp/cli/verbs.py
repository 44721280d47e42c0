"""The verbs of the command, and the function that runs a job of each."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import cast

VERBS = {
    "train": "train an EDM diffusion teacher, or an energy from scratch",
    "distill": "distill a teacher into a multi-scale energy",
    "prepare": "prepare k-space: index, coil maps, images; resumable",
    "restore": "measure test images through an operator and restore them with a sampler",
    "calibrate": "measure how well the uncertainty of a sampler is calibrated",
    "table": "collect the records of runs into tables and figures",
    "reproduce": "run the rows of a table of results: PASS or FAIL for each number",
    "bench": "measure what the package costs above its networks",
    "export": "write the estimates of a run as PNG, TIFF, npz and NIfTI",
    "checkpoint": "inspect a checkpoint, or convert it to safetensors",
}
"""What each verb does; its root config has its name."""


def verb_function(verb: str) -> Callable[..., int]:
    """Return the function of a verb: the one of its name, in the file of its name."""
    return cast("Callable[..., int]", getattr(importlib.import_module(f"alps_exp.cli.{verb}"), verb))
