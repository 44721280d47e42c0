"""Posterior samplers behind a common interface."""

from alps_exp.samplers.alps import ALPS
from alps_exp.samplers.annealed import AnnealedSampler
from alps_exp.samplers.base import Sampler
from alps_exp.samplers.csgm import CSGM
from alps_exp.samplers.daps import DAPS
from alps_exp.samplers.ddnm import DDNM
from alps_exp.samplers.diffpir import DiffPIR
from alps_exp.samplers.dps import DPS
from alps_exp.samplers.mala import MALA
from alps_exp.samplers.map import MAP
from alps_exp.samplers.mmps import MMPS
from alps_exp.samplers.pigdm import PiGDM
from alps_exp.samplers.pnp_ula import PnPULA
from alps_exp.samplers.problem import Problem, State
from alps_exp.samplers.red_diff import REDDiff
from alps_exp.samplers.schedules import ExplicitSchedule, GeometricSchedule, KarrasSchedule
from alps_exp.samplers.smc import SMC
from alps_exp.samplers.trajectory import Trajectory
from alps_exp.samplers.ula import ULA

__all__ = [
    "ALPS",
    "AnnealedSampler",
    "CSGM",
    "DAPS",
    "DDNM",
    "DPS",
    "DiffPIR",
    "GeometricSchedule",
    "ExplicitSchedule",
    "MALA",
    "MAP",
    "MMPS",
    "PiGDM",
    "PnPULA",
    "Problem",
    "KarrasSchedule",
    "REDDiff",
    "SMC",
    "Sampler",
    "State",
    "Trajectory",
    "ULA",
]
