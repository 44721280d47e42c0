"""Reads networks from files of any supported format."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from alps_exp.checkpoints import diffusers_folder, edm2, guided_diffusion, score_sde
from alps_exp.checkpoints.checkpoint import Checkpoint, fitting
from alps_exp.checkpoints.guided_diffusion import adm_architecture
from alps_exp.checkpoints.nvlabs import read_nvlabs
from alps_exp.checkpoints.safetensors_file import foreign_safetensors, read_safetensors
from alps_exp.checkpoints.score_sde import score_sde_network
from alps_exp.checkpoints.shipped import model_path
from alps_exp.checkpoints.state_dicts import Weights, read_weights
from alps_exp.checkpoints.wrappings import Found, load_found
from alps_exp.networks.preconditioning import Architecture, build

log = logging.getLogger(__name__)
ZIP, LEGACY_TORCH, PICKLE = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19", b"\x80"
"""First bytes of torch files, of torch files before version 1.6, and of pickles."""


class NoArchitecture(ValueError):
    """Raised for a file that contains `weights` but no architecture."""

    def __init__(self, path: Path, weights: Weights) -> None:
        super().__init__(f"{path} holds weights alone: name a teacher of their architecture with architecture=PATH")
        self.weights = weights


def read_checkpoint(
    path: Path,
    architecture: str | Path | Mapping[str, object] | None = None,
    key: str | None = None,
    prefix: str | None = None,
) -> Checkpoint:
    """Read a network from a file; the format is recognized by the first bytes.

    Parameters
    ----------
    path
        The file.
    architecture
        For files that contain only weights: name or path of a teacher with their architecture; or, of a network of
        guided diffusion, score_sde, EDM2 or diffusers, what shapes do not say, see
        `alps_exp.checkpoints.guided_diffusion.adm_architecture`,
        `alps_exp.checkpoints.score_sde.score_sde_network`, `alps_exp.checkpoints.edm2.edm2_network` and
        `alps_exp.checkpoints.diffusers_folder.diffusers_network`.
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
    path: Path,
    weights: Weights,
    architecture: str | Path | Mapping[str, object] | None,
    key: str | None,
    prefix: str | None,
) -> Checkpoint:
    """Return the network of an architecture with weights from a file."""
    if isinstance(architecture, str | Path) or "architecture" in weights.record:
        with fitting(path):
            if isinstance(architecture, str | Path):
                network = read_checkpoint(model_path(architecture, "teacher")).network
            else:
                network = build(weights.record["architecture"], path.stat().st_size)
            chosen = _loaded(path, network, weights.found, key, prefix)
        return Checkpoint(network, weights.record.get("kind"), weights.format, weights.notes | chosen)
    with fitting(path):
        other = _recognized(path, weights, architecture or {}, key)
    if other is None:
        raise NoArchitecture(path, weights)
    with fitting(path):
        network = build(other.architecture, path.stat().st_size)
        chosen = _loaded(path, network.model, other.found, key, prefix)
    if other.assumed:
        log.warning("%s: a network of %s, of which the weights do not say %s", path, other.code, other.assumed)
    return Checkpoint(network, "teacher", other.code, weights.notes | chosen)


def _loaded(
    path: Path, network: nn.Module, found: Mapping[str, Found], key: str | None, prefix: str | None
) -> dict[str, str]:
    """Load weights as `load_found` does, and say which were taken without being asked for."""
    chosen = load_found(network, found, key, prefix)
    if key is None and "key" in chosen:
        log.warning("%s: takes the weights under %s", path, chosen["key"])
    return chosen


@dataclass(frozen=True)
class Recognized:
    """A network of another code: its weights under our names, and what was assumed, for readers."""

    code: str
    architecture: Architecture
    found: Mapping[str, Found]
    assumed: str


def _recognized(path: Path, weights: Weights, given: Mapping[str, object], key: str | None) -> Recognized | None:
    """Return the network of another code that the names of weights show."""
    tensors = [found for at, found in weights.found.items() if key in (None, at) and isinstance(found, dict)]
    for one in tensors:
        if (adm := adm_architecture(one, given)) is not None:
            return Recognized("guided diffusion", adm, weights.found, guided_diffusion.unsaid(adm, given))
    if (karras := edm2.edm2_network(weights.found, given)) is not None:
        architecture, found = karras
        return Recognized("EDM2", architecture, found, edm2.unsaid(given))
    if (diffusers := diffusers_folder.diffusers_network(path, weights.found, given)) is not None:
        architecture, found = diffusers
        return Recognized("diffusers", architecture, found, diffusers_folder.unsaid(path, architecture, given))
    if (song := score_sde_network(weights.found, given)) is not None:
        architecture, found = song
        return Recognized("score_sde", architecture, found, score_sde.unsaid(architecture, given))
    return None
