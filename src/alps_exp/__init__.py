"""ALPS: posterior sampling for imaging inverse problems with multi-scale energies."""

from alps_exp.priors.checkpoint import load_energy, load_teacher

__all__ = ["load_energy", "load_teacher"]
__version__ = "0.1.0"
