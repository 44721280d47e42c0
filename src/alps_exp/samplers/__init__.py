"""Samplers of the posterior, all behind one interface."""

from alps_exp.samplers.alps import ALPS
from alps_exp.samplers.base import Estimates, Sampler
from alps_exp.samplers.daps import DAPS
from alps_exp.samplers.dps import DPS
from alps_exp.samplers.map import MAP
from alps_exp.samplers.noise import KeyedNoise
from alps_exp.samplers.schedules import Geometric, Listed, Polynomial
from alps_exp.samplers.smc import SMC

__all__ = [
    "ALPS",
    "DAPS",
    "DPS",
    "MAP",
    "SMC",
    "Estimates",
    "Geometric",
    "KeyedNoise",
    "Listed",
    "Polynomial",
    "Sampler",
]
