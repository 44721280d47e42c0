"""Reads networks from files of any supported format."""

from __future__ import annotations

import logging
from pathlib import Path

from alps_exp.checkpoints.checkpoint import Checkpoint, fitting
from alps_exp.checkpoints.nvlabs import read_nvlabs
from alps_exp.checkpoints.safetensors_file import foreign_safetensors, read_safetensors
from alps_exp.checkpoints.shipped import model_path
from alps_exp.checkpoints.state_dicts import Weights, read_weights
from alps_exp.checkpoints.wrappings import load_found
from alps_exp.networks.preconditioning import build

log = logging.getLogger(__name__)
ZIP, LEGACY_TORCH, PICKLE = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19", b"\x80"
"""First bytes of torch files, of torch files before version 1.6, and of pickles."""


class NoArchitecture(ValueError):
    """Raised for a file that contains `weights` but no architecture."""

    def __init__(self, path: Path, weights: Weights) -> None:
        super().__init__(f"{path} holds weights alone: name a teacher of their architecture with architecture=PATH")
        self.weights = weights


def read_checkpoint(
    path: Path, architecture: str | Path | None = None, key: str | None = None, prefix: str | None = None
) -> Checkpoint:
    """Read a network from a file; the format is recognized by the first bytes.

    Parameters
    ----------
    path
        The file.
    architecture
        Name or path of a teacher with the architecture of the weights, for files that contain only weights.
    key, prefix
        Key of the weights in the file, and the prefix of their names, for files of weights that hold several.

    Raises
    ------
    ValueError
        If the file is damaged, unsafe, of unknown format, or does not fit its architecture; `NoArchitecture` if it has
        none.
    """
    with open(path, "rb") as file:
        start = file.read(16)
    if start[8:9] == b"{":
        weights = foreign_safetensors(path)
        return read_safetensors(path) if weights is None else _build(path, weights, architecture, key, prefix)
    if start.startswith((ZIP, LEGACY_TORCH)):
        return _build(path, read_weights(path), architecture, key, prefix)
    if start.startswith(PICKLE):
        network, notes = read_nvlabs(path)
        return Checkpoint(network, "teacher", "NVlabs EDM pickle", notes)
    raise ValueError(f"{path} is not a safetensors file, a torch file or a pickle")


def _build(
    path: Path, weights: Weights, architecture: str | Path | None, key: str | None, prefix: str | None
) -> Checkpoint:
    """Return the network of an architecture with weights from a file."""
    if architecture is None and "architecture" not in weights.record:
        raise NoArchitecture(path, weights)
    given = read_checkpoint(model_path(architecture, "teacher")).network if architecture is not None else None
    with fitting(path):
        network = given or build(weights.record["architecture"], path.stat().st_size)
        chosen = load_found(network, weights.found, key, prefix)
    if key is None and "key" in chosen:
        log.warning("%s: takes the weights under %s", path, chosen["key"])
    return Checkpoint(network, weights.record.get("kind"), weights.format, weights.notes | chosen)
