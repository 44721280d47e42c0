"""Weights without a network: state dicts in torch's own files, plain or as Lightning's checkpoints."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor, nn

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
    """Tensors by name, the record of our own trainings, and further facts by name."""

    format: str
    tensors: dict[str, Tensor]
    record: TrainingRecord
    notes: dict[str, str]


def read_weights(path: Path) -> Weights:
    """Read the state dict of a torch file or of a Lightning checkpoint (with the averaged weights, if it has any).

    Raises
    ------
    ValueError
        If the file is truncated or damaged, contains anything but tensors and plain values, or has no state dict.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or forged file can raise anything
        raise ValueError(f"{path} is refused, as truncated, damaged or unsafe: {_reason(error)}") from error
    lightning = isinstance(content, dict) and "state_dict" in content
    tensors = content["state_dict"] if lightning else content
    if not isinstance(tensors, dict) or not tensors or not all(isinstance(v, Tensor) for v in tensors.values()):
        raise ValueError(f"{path} holds no state dict: expected a mapping from names to tensors")
    if not lightning:
        return Weights("state dict", dict(tensors), {}, {})
    notes = {key: str(content[key]) for key in ("epoch", "global_step") if key in content}
    notes["averaged"] = "yes" if "averaging_state" in content else "no"
    return Weights("Lightning checkpoint", dict(tensors), content.get(RECORD, {}), notes)


def load_into(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load the tensors whose names are those of the network after a common prefix (`net.`, `module.net.`, `network.`).

    Raises
    ------
    ValueError
        If there is no such prefix or more than one, there are other names with the prefix, or a shape differs.
    """
    names = list(network.state_dict())
    prefixes = [key.removesuffix(names[0]) for key in tensors if key.endswith(names[0])]
    prefixes = [prefix for prefix in prefixes if all(prefix + name in tensors for name in names)]
    if len(prefixes) != 1:
        found = "several times" if prefixes else "not"
        raise ValueError(f"the tensors of the architecture ({names[0]}, ...) are {found} among {_some(tensors)}")
    (prefix,) = prefixes
    state = {key.removeprefix(prefix): value.float() for key, value in tensors.items() if key.startswith(prefix)}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(one_line(error)) from error


def _some(tensors: Mapping[str, Tensor]) -> str:
    names = list(tensors)
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def _reason(error: Exception) -> str:
    """Return one line, and of torch's long advice the global that the file names alone."""
    text = one_line(error)
    refused = re.search(r"GLOBAL (\S+) was not an allowed global", text)
    return f"it names the global {refused[1]}, which is not allowed" if refused else text
