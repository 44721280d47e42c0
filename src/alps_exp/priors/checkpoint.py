"""Weights on disk: safetensors with the architecture in their header, and a model card beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from alps_exp.priors.denoiser import Denoiser
from alps_exp.priors.energy import Energy
from alps_exp.priors.networks import SongUNet
from alps_exp.priors.preconditioning import EDMPrecond

SHIPPED = Path(__file__).parent / "models"


def shipped_models(kind: str) -> list[str]:
    """Return the names of the models of a kind (`teacher` or `energy`) that come with the package."""
    suffix = f"-{kind}.safetensors"
    return sorted(path.name.removesuffix(suffix) for path in SHIPPED.glob(f"*{suffix}"))


def model_path(name: str | Path, kind: str) -> Path:
    """Return the file of a shipped model's name or of a path.

    Raises
    ------
    ValueError
        If it is neither.
    """
    for path in (SHIPPED / f"{name}-{kind}.safetensors", Path(name)):
        if path.is_file():
            return path
    shipped = ", ".join(shipped_models(kind))
    raise ValueError(f"no {kind} {str(name)!r}: expected a safetensors file or a shipped model ({shipped})")


def load_teacher(name: str | Path) -> Denoiser:
    """Load a teacher by the name of a shipped model or a path; raises ValueError if it does not fit."""
    return Denoiser(_load(model_path(name, "teacher"), "teacher")).eval()


def load_energy(name: str | Path) -> Energy:
    """Load an energy by the name of a shipped model or a path; raises ValueError if it does not fit."""
    return Energy(_load(model_path(name, "energy"), "energy")).eval()


def _load(path: Path, kind: str) -> EDMPrecond:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            state = {name: file.get_tensor(name).float() for name in file.keys()}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file ({error})") from error
    if header.get("kind") != kind:
        found = header.get("kind", "model of unknown kind")
        raise ValueError(f"{path} holds the weights of this kind: {found}; expected: {kind}")
    try:
        architecture = json.loads(header["architecture"])
        network = EDMPrecond(SongUNet(**architecture["model"]), architecture["sigma_data"])
        network.load_state_dict(state)
    except (KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"the weights in {path} do not fit their architecture: {reason}") from error
    return network.requires_grad_(False)


def save_model(path: Path, network: EDMPrecond, kind: str, dtype: torch.dtype = torch.float32) -> None:
    """Write a teacher's or an energy's network to a safetensors file, its weights stored as `dtype`."""
    architecture = {"sigma_data": network.sigma_data, "model": network.model.arguments}
    state = {name: value.to(dtype).contiguous() for name, value in network.state_dict().items()}
    temporary = path.with_suffix(".tmp")
    save_file(state, temporary, metadata={"kind": kind, "architecture": json.dumps(architecture)})
    temporary.replace(path)


def write_card(path: Path, title: str, entries: Mapping[str, str]) -> None:
    """Write a model card: a title, then a table of entries."""
    rows = "\n".join(f"| {name} | {value} |" for name, value in entries.items())
    path.write_text(f"# {title}\n\n| | |\n|---|---|\n{rows}\n")
