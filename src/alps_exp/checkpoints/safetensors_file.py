"""Weights on disk: safetensors with kind, architecture and history in their header."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from alps_exp.checkpoints.checkpoint import Checkpoint, History, Origin, fitting
from alps_exp.checkpoints.loading import load_weights
from alps_exp.checkpoints.state_dicts import Weights
from alps_exp.checkpoints.wrappings import state_dicts
from alps_exp.errors import one_line
from alps_exp.files import file_hash, write_atomically
from alps_exp.networks.preconditioning import Preconditioned, architecture_of, build


def read_safetensors(path: Path) -> Checkpoint:
    """Read a network from a safetensors file that `save_model` wrote.

    Raises
    ------
    ValueError
        If the file is damaged, or its weights do not fit its architecture.
    """
    header, tensors = _read(path)
    with fitting(path):
        network = build(json.loads(header["architecture"]), path.stat().st_size)
        load_weights(network, tensors)
    return Checkpoint(network, header["kind"], "safetensors", history=_history(path, header))


def foreign_safetensors(path: Path) -> Weights | None:
    """Return the weights of a safetensors file of another project; None if `save_model` wrote it.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    header, tensors = _read(path)
    return None if header.get("kind") in ("teacher", "energy") else Weights("safetensors", state_dicts(tensors), {}, {})


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return the texts in the header of a safetensors file, and its tensors."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        reason = one_line(error)
        raise ValueError(f"{path} is a truncated or damaged safetensors file ({reason}): copy it again") from error


def _history(path: Path, header: Mapping[str, str]) -> History | None:
    if "history" not in header:
        return None
    try:
        told = json.loads(header["history"])
        history = History(told["steps"], [Origin(**origin) for origin in told["origins"]])
        if not isinstance(history.steps, int) or not all(map(_is_whole, history.origins)):
            raise TypeError("steps are no number, or a hash is none")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the history in the header of {path} is damaged ({one_line(error)})") from error
    return history


def _is_whole(origin: Origin) -> bool:
    is_hash = isinstance(origin.sha256, str) and re.fullmatch("[0-9a-f]{64}", origin.sha256)
    return bool(is_hash) and isinstance(origin.steps, int | None)


def lineage(path: Path) -> list[Origin]:
    """Return the chain of origins of the weights in a file, starting with the file itself."""
    history = None
    with suppress(SafetensorError), safe_open(path, framework="pt") as file:
        history = _history(path, file.metadata() or {})
    return [Origin(file_hash(path), history.steps if history else None), *(history.origins if history else [])]


def save_model(
    path: Path,
    network: Preconditioned,
    kind: str,
    dtype: torch.dtype = torch.float32,
    history: History | None = None,
) -> None:
    """Write the network of a teacher or an energy atomically to a safetensors file.

    Parameters
    ----------
    path
        The file.
    network
        The network; its architecture is stored as well.
    kind
        ``teacher`` or ``energy``.
    dtype
        Floating-point type of the stored weights; buffers keep theirs.
    history
        Steps and origins of the weights; None: not stored.

    Raises
    ------
    ValueError
        If a weight is not finite in `dtype`.
    """
    write_atomically(path, model_bytes(network, kind, dtype, history))


def model_bytes(
    network: Preconditioned, kind: str, dtype: torch.dtype = torch.float32, history: History | None = None
) -> bytes:
    """Return the content of a safetensors file of a network, with weights as `dtype` and buffers unchanged.

    Equal weights with equal history give identical bytes.

    Raises
    ------
    ValueError
        If a weight is not finite in `dtype`.
    """
    weights = dict(network.named_parameters())
    state = {
        name: (value.to(dtype) if name in weights else value).contiguous()
        for name, value in network.state_dict().items()
    }
    if wrong := [name for name, value in state.items() if not value.isfinite().all()]:
        raise ValueError(f"the weights {wrong[0]} are not finite as {str(dtype).removeprefix('torch.')}")
    notes = {"kind": kind, "architecture": json.dumps(architecture_of(network))}
    if history is not None:
        notes["history"] = json.dumps(asdict(history))
    return _with_sorted_header(save(state, metadata=notes))


def _with_sorted_header(content: bytes) -> bytes:
    """Sort the keys in the header of a safetensors file; the library writes them in varying order."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the format aligns tensors to eight bytes
    return len(header).to_bytes(8, "little") + header + content[end:]
