"""Distillation of a teacher into a multi-scale energy."""

from __future__ import annotations

import copy
from functools import partial

import torch
from torch import Tensor

from alps_exp.networks.preconditioning import Preconditioned
from alps_exp.priors.denoiser import Denoiser
from alps_exp.priors.energy import Energy, energy_and_gradient
from alps_exp.training.base import DenoisingTraining
from alps_exp.training.noise import LogNormalSigma
from alps_exp.training.optimizers import ScheduledAdam


class EnergyDistillation(DenoisingTraining):
    """Lightning module that distills a teacher: regression of grad E on x - D, with E(x, t) = 1/2 ||x - psi(x, t)||^2.

    The student psi is the attribute `network`. Augmentation labels in the data are given to both networks. The loss is
    differentiated through the vector-Jacobian product in grad E. Its weight is EDM's, which for small sigma tends to
    1 / sigma^2, so that the loss is the squared relative gap. Validation logs, at fixed noise scales, the gap
    ||(x - grad E) - D||^2, its reference ||x - D||^2, and the denoising errors of teacher and energy.

    Parameters
    ----------
    teacher
        The denoiser D; its weights do not change.
    optimizer, sigma, seed, band_interval
        As in `DenoisingTraining`.
    start
        Energy whose training continues. None: the student starts from the teacher's weights.

    Raises
    ------
    ValueError
        If the teacher is not a network.

    References
    ----------
    Chand & Jacob 2026 (arXiv 2601.02594).
    """

    kind, monitor = "energy", "gap"

    def __init__(
        self,
        teacher: Denoiser,
        optimizer: ScheduledAdam,
        sigma: LogNormalSigma,
        seed: int = 0,
        band_interval: int = 50,
        start: Energy | None = None,
    ) -> None:
        if not isinstance(teacher, Denoiser):
            raise ValueError(f"distillation needs a network as the teacher, got a {type(teacher).__name__}")
        # The regression target is deterministic, so dropout must be off: eval mode throughout.
        student = copy.deepcopy((start or teacher).network).requires_grad_(True).eval()
        super().__init__(student, optimizer, sigma, seed, band_interval, frozen=teacher.network)

    @property
    def teacher(self) -> Preconditioned:
        """The frozen network of the teacher."""
        return self._frozen[0]

    def loss(self, x: Tensor, noisy: Tensor, sigma: Tensor, augment: Tensor | None = None) -> Tensor:
        with torch.no_grad():  # the teacher's x - D, which equals grad E for a perfect student
            target = noisy - self.teacher(noisy, sigma, augment_labels=augment)
        student = partial(self.network, augment_labels=augment)
        _, gradient = energy_and_gradient(student, noisy, sigma, create_graph=True)
        return self.weight(sigma) * (gradient - target).square().mean(dim=(1, 2, 3))

    def errors(self, x: Tensor, noisy: Tensor, sigma: Tensor) -> dict[str, Tensor]:
        """Return the gap, its reference and the errors of the two denoisers."""
        d = self.teacher(noisy, sigma)
        _, gradient = energy_and_gradient(self.network, noisy, sigma)
        estimate = noisy - gradient
        return {"gap": estimate - d, "reference": noisy - d, "teacher": d - x, "energy": estimate - x}
