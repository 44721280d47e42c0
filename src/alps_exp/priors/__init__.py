"""What says how likely an image is: networks, energies, closed forms, and their files."""

from alps_exp.priors.base import EnergyPrior, Prior
from alps_exp.priors.checkpoint import load_energy, load_teacher, model_path, save_model
from alps_exp.priors.denoiser import Denoiser
from alps_exp.priors.energy import Energy
from alps_exp.priors.gaussian import GaussianPrior
from alps_exp.priors.networks import SongUNet
from alps_exp.priors.preconditioning import EDMPrecond

__all__ = [
    "Denoiser",
    "EDMPrecond",
    "Energy",
    "EnergyPrior",
    "GaussianPrior",
    "Prior",
    "SongUNet",
    "load_energy",
    "load_teacher",
    "model_path",
    "save_model",
]
