"""Training of teachers and their distillation into energies, as Lightning modules."""

from alps_exp.distillation.averaging import RampedAveraging
from alps_exp.distillation.budget import Budget
from alps_exp.distillation.divergence import Diverged
from alps_exp.distillation.energy import EnergyDistillation
from alps_exp.distillation.noise import LogNormalSigma
from alps_exp.distillation.optimizers import BudgetAdam, CosineAdam, ScheduledAdam
from alps_exp.distillation.teacher import TeacherTraining

__all__ = [
    "Budget",
    "BudgetAdam",
    "CosineAdam",
    "Diverged",
    "EnergyDistillation",
    "LogNormalSigma",
    "RampedAveraging",
    "ScheduledAdam",
    "TeacherTraining",
]
