"""ALPS: posterior sampling for imaging inverse problems with multi-scale energies."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alps_exp import operators, priors, reconstruction, samplers
    from alps_exp.estimates import Estimates
    from alps_exp.operators import GaussianBlur, Inpainting, LinearOperator, MotionBlur, MultiCoilMRI, SuperResolution
    from alps_exp.priors import load_energy, load_teacher
    from alps_exp.restoration import restore
    from alps_exp.samplers import ALPS, DAPS, DPS, MAP, SMC, AnnealedSampler, DiffPIR, PiGDM

__all__ = [
    "ALPS",
    "DAPS",
    "DPS",
    "MAP",
    "SMC",
    "AnnealedSampler",
    "DiffPIR",
    "Estimates",
    "GaussianBlur",
    "Inpainting",
    "LinearOperator",
    "MotionBlur",
    "MultiCoilMRI",
    "PiGDM",
    "SuperResolution",
    "load_energy",
    "load_teacher",
    "operators",
    "priors",
    "reconstruction",
    "restore",
    "samplers",
]
__version__ = "0.2.0"

_ROOMS = ("samplers", "operators", "priors", "estimates", "restoration")
_MODULES = ("operators", "priors", "reconstruction", "samplers")


def __getattr__(name: str) -> Any:
    """Import an exported name on first use, so that neither the import nor the command line's help loads torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    rooms = (importlib.import_module(f"{__name__}.{room}") for room in _ROOMS)
    return next(getattr(room, name) for room in rooms if hasattr(room, name))


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
