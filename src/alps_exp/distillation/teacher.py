"""Training of the teacher: an EDM diffusion denoiser."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor

from alps_exp.distillation.noise import LogNormalSigma
from alps_exp.distillation.training import VALIDATION_SIGMAS, CosineAdam, DenoisingTraining
from alps_exp.priors.base import as_channels
from alps_exp.priors.denoiser import Denoiser
from alps_exp.priors.energy import Energy, energy_and_gradient
from alps_exp.priors.preconditioning import Preconditioned


class TeacherTraining(DenoisingTraining):
    """Denoising score matching with EDM's weight (sigma^2 + sigma_data^2) / (sigma sigma_data)^2.

    The best denoiser is x minus the gradient of an energy; a network is so only roughly (its Jacobian is not
    symmetric), and what is not a gradient no energy can follow. With an `energy`, as distilled from this teacher,
    the loss has the term ``energy_weight * ||D - (x - grad E)||^2`` beside ``||D - x_0||^2``, which pulls the
    denoiser towards a gradient field. Validation logs the denoising error at fixed noise scales, and with an energy the
    gap to it and the reference of the gap, as distillation does.

    Parameters
    ----------
    network
        The network that is trained.
    start
        A teacher to go on from, in place of `network`.
    energy
        The energy whose gradient field the denoiser is pulled to; None: none.
    energy_weight
        Weight of that term.
    optimizer, sigma, seed, band_interval
        As in `DenoisingTraining`.

    Source: Karras et al. 2022 (arXiv 2206.00364), equation 8 and Table 1; denoisers that are nearly gradient fields:
    Chao et al. 2023 (arXiv 2209.12753), who penalise the antisymmetric part of the Jacobian instead.
    """

    kind = "teacher"

    def __init__(
        self,
        network: Preconditioned,
        optimizer: CosineAdam,
        sigma: LogNormalSigma,
        seed: int = 0,
        band_interval: int = 50,
        start: Denoiser | None = None,
        energy: Energy | None = None,
        energy_weight: float = 1.0,
    ) -> None:
        trained = copy.deepcopy(start.network).requires_grad_(True).train() if start else network
        super().__init__(trained, optimizer, sigma, seed, band_interval)
        # In a tuple the energy is no sub-module: neither averaged, saved nor counted among the parameters.
        self._energy = (energy.network.requires_grad_(False).eval(),) if energy else ()
        self.energy_weight = energy_weight

    def on_fit_start(self) -> None:
        parameter = next(self.network.parameters())
        for network in self._energy:
            network.to(parameter.device, parameter.dtype)

    def loss(self, x: Tensor, noisy: Tensor, sigma: Tensor) -> Tensor:
        sigma_data = self.network.sigma_data
        weight = (sigma.square() + sigma_data**2) / (sigma * sigma_data).square()
        d = self.network(noisy, sigma)
        squares = (d - x).square()
        for network in self._energy:
            _, gradient = energy_and_gradient(network, noisy, sigma)
            squares = squares + self.energy_weight * (d - (noisy - gradient)).square()
        return weight * squares.mean(dim=(1, 2, 3))

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Log the errors (mean squares) at each of `VALIDATION_SIGMAS`."""
        x = as_channels(batch["image"])
        for sigma in VALIDATION_SIGMAS:
            noisy, scales = self.validation_noise(x, sigma, batch["image_id"])
            d = self.network(noisy, scales)
            squares = {"mse": d - x}
            for network in self._energy:
                _, gradient = energy_and_gradient(network, noisy, scales)
                squares |= {"gap": noisy - gradient - d, "reference": noisy - d, "energy": noisy - gradient - x}
            for name, value in squares.items():
                error = value.square().mean()
                self.log(f"validation/{name}_sigma_{sigma:g}", error, batch_size=len(x), sync_dist=True)
