"""ALPS: posterior sampling for imaging inverse problems with multi-scale energies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alps_exp.priors.loading import load_energy, load_teacher

__all__ = ["load_energy", "load_teacher"]
__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: the command line can then say that torch is broken, and help without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from alps_exp.priors import loading

    return getattr(loading, name)
