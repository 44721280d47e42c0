"""Weights without a network: state dicts in torch's own files, plain or as Lightning's checkpoints."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import torch

from alps_exp.checkpoints.torch_data import read_torch_data
from alps_exp.checkpoints.unpickling import StoredObject
from alps_exp.checkpoints.wrappings import Found, state_dicts
from alps_exp.errors import one_line
from alps_exp.networks.preconditioning import Architecture

RECORD = "alps_exp"
"""Key under which our trainings store kind and architecture in Lightning checkpoints."""


class TrainingRecord(TypedDict, total=False):
    """What our trainings note beside their weights."""

    kind: str
    architecture: Architecture
    facts: dict[str, str]


@dataclass(frozen=True)
class Weights:
    """What may be weights by its key, the record of our own trainings, and further facts by name."""

    format: str
    found: dict[str, Found]
    record: TrainingRecord
    notes: dict[str, str]


def read_weights(path: Path) -> Weights:
    """Read the state dicts of a torch file or of a Lightning checkpoint (with the averaged weights, if it has any).

    Whatever else the file holds, such as hyper-parameters of other packages' types, is left unread.

    Raises
    ------
    ValueError
        If the file is truncated or damaged, or has no state dict.
    """
    content = _content(path)
    try:
        found = state_dicts(content)
    except ValueError as error:
        raise ValueError(f"{path} is refused, as truncated, damaged or unsafe: {error}") from error
    if not found:
        cure = "save its state_dict() instead" if isinstance(content, StoredObject) else "name it in a dictionary"
        what = f"an object of {content.class_name}" if isinstance(content, StoredObject) else _kinds(content)
        raise ValueError(f"{path} holds no state dict (names with tensors), but {what}: {cure}")
    if not isinstance(content, dict) or "state_dict" not in content:
        return Weights("state dict", found, {}, {})
    notes = {key: str(content[key]) for key in ("epoch", "global_step") if key in content}
    own: TrainingRecord = content[RECORD] if isinstance(content.get(RECORD), dict) else {}
    if own:  # what is beside our state dict are the weights that it averages
        found = {"state_dict": found["state_dict"]}
    notes["averaged"] = "yes" if "averaging_state" in content else "no"
    return Weights("Lightning checkpoint", found, own, notes)


def _content(path: Path) -> Any:
    """Return what a torch file holds, by our own reader, or one from before torch 1.6 by torch's safe loader."""
    try:
        if zipfile.is_zipfile(path):
            return read_torch_data(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or forged file can raise anything
        raise ValueError(f"{path} is refused, as truncated, damaged or unsafe: {_reason(error)}") from error


def _kinds(content: object) -> str:
    names = ", ".join(map(str, list(content)[:5])) if isinstance(content, dict) else ""
    return names or f"a {type(content).__name__}"


def _reason(error: Exception) -> str:
    """Return one line, and of torch's long advice the global that the file names alone."""
    text = one_line(error)
    refused = re.search(r"GLOBAL (\S+) was not an allowed global", text)
    return f"it names the global {refused[1]}, which is not allowed" if refused else text
