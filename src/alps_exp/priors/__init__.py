"""Image priors: denoisers, energies, closed-form priors, and their loading."""

from alps_exp.networks.preconditioning import Precision
from alps_exp.priors.base import EnergyPrior, Prior
from alps_exp.priors.closed_forms import smooth_gaussian, two_mode_mixture
from alps_exp.priors.composed import ComposedEnergy
from alps_exp.priors.denoiser import Denoiser
from alps_exp.priors.energy import Energy
from alps_exp.priors.execution import set_execution
from alps_exp.priors.gaussian import GaussianPrior
from alps_exp.priors.loading import load_energy, load_teacher
from alps_exp.priors.mixture import GaussianMixturePrior
from alps_exp.priors.null import NullPrior

__all__ = [
    "ComposedEnergy",
    "Denoiser",
    "Energy",
    "EnergyPrior",
    "GaussianMixturePrior",
    "GaussianPrior",
    "NullPrior",
    "Precision",
    "Prior",
    "load_energy",
    "load_teacher",
    "set_execution",
    "smooth_gaussian",
    "two_mode_mixture",
]
