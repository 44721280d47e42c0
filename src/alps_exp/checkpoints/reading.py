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
from alps_exp.checkpoints.nvlabs import is_nvlabs_network, nvlabs_network
from alps_exp.checkpoints.other_files import what_file, what_network
from alps_exp.checkpoints.safetensors_file import foreign_safetensors, read_safetensors
from alps_exp.checkpoints.score_sde import score_sde_network
from alps_exp.checkpoints.shipped import model_path
from alps_exp.checkpoints.state_dicts import Weights, read_content, weights_in
from alps_exp.checkpoints.unpickling import read_pickle
from alps_exp.checkpoints.wrappings import DEFAULT, Choice, Found, load_found
from alps_exp.networks.preconditioning import Architecture, build

log = logging.getLogger(__name__)
ZIP, LEGACY_TORCH, PICKLE = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19", b"\x80"
"""First bytes of torch files, of torch files before version 1.6, and of pickles."""
LARGEST_HEADER = 1 << 32
"""Bytes of a safetensors header, which are fewer; the first eight letters of a text are a larger number."""
NVLABS = {"ema": "NVlabs EDM pickle", "net": "NVlabs EDM training state"}
"""Names of networks in the files of NVlabs' code, and what these files are."""


class NoArchitecture(ValueError):
    """Raised for a file that contains `weights` but no architecture."""

    def __init__(self, path: Path, weights: Weights, place: str) -> None:
        told = what_network(name for found in weights.found.values() if isinstance(found, dict) for name in found)
        cure = f"this is {told}" if told else f"name a teacher of their architecture with {place}architecture=PATH"
        super().__init__(f"{path} holds weights alone: {cure}")
        self.weights = weights


def read_checkpoint(
    path: Path,
    architecture: str | Path | Mapping[str, object] | None = None,
    choice: Choice = DEFAULT,
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
    choice
        Which weights to take from a file of several.

    Raises
    ------
    ValueError
        If the file is damaged, unsafe, of unknown format, or does not fit its architecture, or its numbers are not
        finite; `NoArchitecture` if it has none.
    """
    read = _read(path, architecture, choice)
    if wrong := next((name for name, value in read.network.state_dict().items() if not value.isfinite().all()), None):
        raise ValueError(f"{path} has numbers that are not finite in {wrong}: take an earlier checkpoint")
    return read


def _read(path: Path, architecture: str | Path | Mapping[str, object] | None, choice: Choice) -> Checkpoint:
    with open(path, "rb") as file:
        start = file.read(16)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < LARGEST_HEADER:
        weights = foreign_safetensors(path)
        if weights is not None:
            return _build(path, weights, architecture, choice)
        _check_alone(path, choice)
        return read_safetensors(path)
    if not start.startswith((ZIP, LEGACY_TORCH, PICKLE)):
        what = what_file(path) or "not a safetensors file, a torch file or a pickle"
        raise ValueError(f"{path} is {what}")
    content = read_content(path) if start.startswith((ZIP, LEGACY_TORCH)) else read_pickle(path)
    for name, kind in NVLABS.items():
        if isinstance(content, dict) and is_nvlabs_network(content.get(name)):
            _check_alone(path, choice, name)
            network, notes = nvlabs_network(path, content, name)
            if name == "net":
                log.warning("%s: the weights in training; their average is in network-snapshot-*.pkl", path)
            return Checkpoint(network, "teacher", kind, notes)
    return _build(path, weights_in(path, content), architecture, choice)


def _check_alone(path: Path, choice: Choice, name: str | None = None) -> None:
    """Check that nothing is chosen from a file of one network, unless its own name."""
    if choice.key not in (None, name):
        raise ValueError(f"{path} holds one network: leave out {choice.place}key={choice.key}")
    if choice.prefix is not None:
        raise ValueError(f"{path} holds one network: leave out {choice.place}prefix={choice.prefix}")


def _build(
    path: Path, weights: Weights, architecture: str | Path | Mapping[str, object] | None, choice: Choice
) -> Checkpoint:
    """Return the network of an architecture with weights from a file."""
    cure = f"take other weights, or name a teacher of their architecture as {choice.place}architecture=PATH"
    if isinstance(architecture, str | Path):
        network = read_checkpoint(model_path(architecture, "teacher")).network
    elif "architecture" in weights.record:
        cure = ""
        with fitting(path):
            network = build(weights.record["architecture"], path.stat().st_size)
    else:
        return _build_recognized(path, weights, architecture or {}, choice)
    with fitting(path, cure):
        chosen = _loaded(path, network, weights.found, choice)
    return Checkpoint(network, weights.record.get("kind"), weights.format, weights.notes | chosen)


def _build_recognized(path: Path, weights: Weights, given: Mapping[str, object], choice: Choice) -> Checkpoint:
    """Return the network of another code, whose weights show its architecture."""
    with fitting(path):
        other = _recognized(path, weights, given, choice.key)
    if other is None:
        raise NoArchitecture(path, weights, choice.place)
    with fitting(path):
        network = build(other.architecture, path.stat().st_size)
        chosen = _loaded(path, network.model, other.found, choice)
    if other.assumed:
        log.warning("%s: a network of %s, of which the weights do not say %s", path, other.code, other.assumed)
    return Checkpoint(network, "teacher", other.code, weights.notes | chosen)


def _loaded(path: Path, network: nn.Module, found: Mapping[str, Found], choice: Choice) -> dict[str, str]:
    """Load weights as `load_found` does, and say which were taken without being asked for."""
    chosen = load_found(network, found, choice)
    for setting, asked in (("key", choice.key), ("prefix", choice.prefix)):
        if asked is None and setting in chosen:
            log.warning("%s: takes the weights under the %s %s", path, setting, chosen[setting])
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
