"""Training of the teacher: an EDM diffusion denoiser."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from alps_exp.distillation.training import VALIDATION_SIGMAS, DenoisingTraining
from alps_exp.priors.base import as_channels


class TeacherTraining(DenoisingTraining):
    """Denoising score matching with EDM's weight (sigma^2 + sigma_data^2) / (sigma sigma_data)^2.

    Validation logs the denoising RMSE at fixed noise scales.

    Source: Karras et al. 2022 (arXiv 2206.00364), equation 8 and Table 1.
    """

    kind = "teacher"

    def loss(self, x: Tensor, noisy: Tensor, sigma: Tensor) -> Tensor:
        sigma_data = self.network.sigma_data
        weight = (sigma.square() + sigma_data**2) / (sigma * sigma_data).square()
        return weight * (self.network(noisy, sigma) - x).square().mean(dim=(1, 2, 3))

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Log the denoising error (mean square) at each of `VALIDATION_SIGMAS`."""
        x = as_channels(batch["image"])
        for sigma in VALIDATION_SIGMAS:
            noisy, scales = self.validation_noise(x, sigma, batch["image_id"])
            error = (self.network(noisy, scales) - x).square().mean()
            self.log(f"validation/mse_sigma_{sigma:g}", error, batch_size=len(x), sync_dist=True)
