"""Training of an energy from scratch, by denoising score matching."""

from __future__ import annotations

import copy
from functools import partial

from torch import Tensor

from alps_exp.networks.preconditioning import Preconditioned
from alps_exp.priors.denoiser import Denoiser
from alps_exp.priors.energy import Energy, energy_and_gradient
from alps_exp.training.base import DenoisingTraining
from alps_exp.training.noise import LogNormalSigma
from alps_exp.training.optimizers import ScheduledAdam


class EnergyTraining(DenoisingTraining):
    """Lightning module that trains an energy by denoising score matching: regression of x - grad E on the clean image.

    No teacher is needed. The expected loss is that of `EnergyDistillation` from the exact posterior mean, plus the
    posterior variance: both have the same minimizer, but here the target varies around that mean, and so does the
    gradient. Validation logs, at fixed noise scales, the denoising error.

    Parameters
    ----------
    network
        The network psi to train, with E(x, t) = 1/2 ||x - psi(x, t)||^2.
    start
        Energy whose training continues, or teacher from whose weights psi starts, instead of `network`.
    optimizer, sigma, seed, band_interval
        As in `DenoisingTraining`.

    References
    ----------
    Vincent, "A connection between score matching and denoising autoencoders", Neural Computation 23, 2011, whose
    proof of the equal minimizers holds for any score model; the loss weight: Karras et al. 2022 (arXiv 2206.00364).
    """

    kind, monitor = "energy", "energy_sigma_0.5"

    def __init__(
        self,
        network: Preconditioned,
        optimizer: ScheduledAdam,
        sigma: LogNormalSigma,
        seed: int = 0,
        band_interval: int = 50,
        *,
        start: Energy | Denoiser | None = None,
    ) -> None:
        trained = copy.deepcopy(start.network).requires_grad_(True).train() if start else network
        super().__init__(trained, optimizer, sigma, seed, band_interval)

    def loss(self, x: Tensor, noisy: Tensor, sigma: Tensor, augment: Tensor | None = None) -> Tensor:
        psi = partial(self.network, augment_labels=augment)
        _, gradient = energy_and_gradient(psi, noisy, sigma, create_graph=True)
        return self.weight(sigma) * (noisy - gradient - x).square().mean(dim=(1, 2, 3))

    def errors(self, x: Tensor, noisy: Tensor, sigma: Tensor) -> dict[str, Tensor]:
        """Return the denoising error."""
        _, gradient = energy_and_gradient(self.network, noisy, sigma)
        return {"energy": noisy - gradient - x}
