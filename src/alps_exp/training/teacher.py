"""Training of the teacher: an EDM diffusion denoiser."""

from __future__ import annotations

import copy
import math
from functools import partial

from torch import Tensor

from alps_exp.networks.preconditioning import Preconditioned
from alps_exp.priors.denoiser import Denoiser
from alps_exp.priors.energy import Energy, energy_and_gradient
from alps_exp.training.base import DenoisingTraining
from alps_exp.training.noise import LogNormalSigma
from alps_exp.training.optimizers import ScheduledAdam


class TeacherTraining(DenoisingTraining):
    """Lightning module that trains a teacher by denoising score matching with EDM's loss weight.

    The optimal denoiser is x minus the gradient of an energy. A network is only approximately of that form, since its
    Jacobian is not symmetric, and an energy cannot reproduce the remainder. Given an `energy` that was distilled from
    this teacher, the loss adds ``energy_weight * ||D - (x - grad E)||^2`` to ``||D - x_0||^2``, which pulls the
    denoiser toward a gradient field. Validation logs the denoising error at fixed noise scales and, with an energy,
    the gap and its reference as in distillation.

    Parameters
    ----------
    network
        The network to train.
    start
        Teacher to continue training, instead of `network`.
    energy
        Energy toward whose gradient field the denoiser is pulled; None to disable.
    energy_weight
        Weight of that term.
    optimizer, sigma, seed, band_interval
        As in `DenoisingTraining`.

    Raises
    ------
    ValueError
        If the weight is negative or not finite.

    Source: Karras et al. 2022 (arXiv 2206.00364), equation 8 and Table 1; denoisers that are nearly gradient fields:
    Chao et al. 2023 (arXiv 2209.12753), who penalize the antisymmetric part of the Jacobian instead.
    """

    kind, monitor = "teacher", "mse_sigma_0.5"

    def __init__(
        self,
        network: Preconditioned,
        optimizer: ScheduledAdam,
        sigma: LogNormalSigma,
        seed: int = 0,
        band_interval: int = 50,
        *,
        start: Denoiser | None = None,
        energy: Energy | None = None,
        energy_weight: float = 1.0,
    ) -> None:
        trained = copy.deepcopy(start.network).requires_grad_(True).train() if start else network
        super().__init__(trained, optimizer, sigma, seed, band_interval, frozen=energy.network if energy else None)
        if not 0 <= energy_weight < math.inf:
            raise ValueError(f"energy_weight must be at least 0 and finite, got {energy_weight}")
        self.energy_weight = energy_weight

    def loss(self, x: Tensor, noisy: Tensor, sigma: Tensor, augment: Tensor | None = None) -> Tensor:
        d = self.network(noisy, sigma, augment_labels=augment)
        squares = (d - x).square()
        for network in self._frozen:
            _, gradient = energy_and_gradient(partial(network, augment_labels=augment), noisy, sigma)
            squares = squares + self.energy_weight * (d - (noisy - gradient)).square()
        return self.weight(sigma) * squares.mean(dim=(1, 2, 3))

    def errors(self, x: Tensor, noisy: Tensor, sigma: Tensor) -> dict[str, Tensor]:
        """Return the denoising error and, with an energy, the gap, its reference and the energy's denoising error."""
        d = self.network(noisy, sigma)
        errors = {"mse": d - x}
        for network in self._frozen:
            _, gradient = energy_and_gradient(network, noisy, sigma)
            errors |= {"gap": noisy - gradient - d, "reference": noisy - d, "energy": noisy - gradient - x}
        return errors
