"""Training of teachers and energies, from data or by distillation, as Lightning modules."""

from alps_exp.training.averaging import RampedAveraging
from alps_exp.training.budget import Budget
from alps_exp.training.distillation import EnergyDistillation
from alps_exp.training.divergence import Diverged
from alps_exp.training.energy import EnergyTraining
from alps_exp.training.noise import LogNormalSigma
from alps_exp.training.optimizers import BudgetAdam, CosineAdam, ScheduledAdam
from alps_exp.training.stopping import EarlyStopping
from alps_exp.training.teacher import TeacherTraining

__all__ = [
    "Budget",
    "BudgetAdam",
    "CosineAdam",
    "Diverged",
    "EarlyStopping",
    "EnergyDistillation",
    "EnergyTraining",
    "LogNormalSigma",
    "RampedAveraging",
    "ScheduledAdam",
    "TeacherTraining",
]
