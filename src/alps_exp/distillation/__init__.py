"""Training of teachers and their distillation into energies, as Lightning modules."""

from alps_exp.distillation.energy import EnergyDistillation
from alps_exp.distillation.noise import LogNormalSigma
from alps_exp.distillation.teacher import TeacherTraining
from alps_exp.distillation.training import CosineAdam

__all__ = ["CosineAdam", "EnergyDistillation", "LogNormalSigma", "TeacherTraining"]
