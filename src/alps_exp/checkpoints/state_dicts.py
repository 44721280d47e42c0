"""Weights without a network: state dicts in torch's own files, plain or as Lightning's checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from alps_exp.checkpoints.other_files import OtherFile
from alps_exp.checkpoints.torch_data import read_torch_data
from alps_exp.checkpoints.unpickling import StoredObject, is_key, reason_of
from alps_exp.checkpoints.wrappings import Found, state_dicts
from alps_exp.errors import listed, one_line
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


def read_content(path: Path) -> Any:
    """Return what a torch file holds, of which only tensors, numbers, text and containers are built.

    Raises
    ------
    ValueError
        If the file is truncated, damaged, or no torch file.
    """
    try:
        with open(path, "rb") as file:
            return read_torch_data(file)
    except OtherFile as error:
        raise ValueError(f"{path} is {error}") from error
    except Exception as error:  # a damaged or forged file can raise anything
        raise ValueError(f"{path} is refused, as truncated, damaged or unsafe: {reason_of(error)}") from error


def weights_in(path: Path, content: object) -> Weights:
    """Return the state dicts in what a file holds, or in a Lightning checkpoint (with averaged weights, if it has any).

    Raises
    ------
    ValueError
        If there is none, or a tensor claims more than the file holds.
    """
    try:
        found = state_dicts(content)
    except ValueError as error:
        raise ValueError(f"{path} is refused, as truncated, damaged or unsafe: {one_line(error)}") from error
    if not found:
        raise ValueError(
            f"{path} holds no state dict (names with tensors) and no network `ema` of NVlabs' EDM code, but "
            f"{_kinds(content)}: save the network's state_dict() with torch.save"
        )
    if not isinstance(content, dict) or "state_dict" not in content:
        return Weights("state dict", found, {}, {})
    counts = {key: content.get(key) for key in ("epoch", "global_step")}
    notes = {key: str(count) for key, count in counts.items() if isinstance(count, int) and is_key(count)}
    own: TrainingRecord = content[RECORD] if isinstance(content.get(RECORD), dict) else {}
    if own:  # what is beside our state dict are the weights that it averages
        _check(path, own, found)
        found = {"state_dict": found["state_dict"]}
    notes["averaged"] = "yes" if "averaging_state" in content else "no"
    return Weights("Lightning checkpoint", found, own, notes)


def _check(path: Path, own: TrainingRecord, found: Mapping[str, Found]) -> None:
    """Check that our own trainings wrote a record and the weights beside it."""
    if own.get("kind") not in ("teacher", "energy", None) or "state_dict" not in found:
        raise ValueError(
            f"{path} is refused, as truncated, damaged or unsafe: a checkpoint of our own training has weights under "
            f"state_dict, and {RECORD}.kind is teacher or energy"
        )


def _kinds(content: object) -> str:
    """Return what a file holds, for readers: names with the classes of their objects, or a class."""
    if isinstance(content, dict) and content:
        shown = ((name, f" ({_kinds(one)})" if isinstance(one, StoredObject) else "") for name, one in content.items())
        return listed([one_line(f"{name}{kind}", 100) for name, kind in shown])
    name = f"object of {content.class_name}" if isinstance(content, StoredObject) else type(content).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {one_line(name, 100)}"
