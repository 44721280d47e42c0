"""The published sampling loop of ALPS for inpainting, written as plainly as its paper: what one would start from."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from alps_exp.samplers import KarrasSchedule

SCALES, INNER_STEPS = 50, 5


def published_sample(
    psi: Callable[[Tensor, Tensor], Tensor], mask: Tensor, y: Tensor, noise_std: float, seed: int
) -> Tensor:
    """Return one sample (1, C, H, W): static annealed Langevin steps, one chain at a time, with autograd's gradient.

    Parameters
    ----------
    psi
        The network of the energy ``E(x, t) = 1/2 ||x - psi(x, t)||^2``, of images (1, C, H, W) and scales (1,).
    mask, y
        1 where a pixel is measured, and what was measured, zero elsewhere.
    noise_std
        Standard deviation of the measurement's noise.
    seed
        Seed of the chain's noise.

    References
    ----------
    Chand & Jacob, "Annealed Langevin Posterior Sampling", arXiv 2601.02594 (2026); the settings are its code's.
    """
    generator = torch.Generator(y.device).manual_seed(seed)

    def covariance(t: float) -> Tensor:
        return 1 / (mask / noise_std**2 + 1 / t**2)

    def noise(t: float) -> Tensor:
        return covariance(t).sqrt() * torch.randn(y.shape, generator=generator, device=y.device)

    scales = KarrasSchedule(100.0, 0.1, SCALES, 5.0)()
    x = covariance(scales[0]) * y / noise_std**2 + noise(scales[0])
    for level, t in enumerate(scales):
        for step in range(1, INNER_STEPS + 1):
            image = x.detach().requires_grad_()
            energy = (image - psi(image, torch.full((1,), t, device=y.device))).square().sum() / 2
            (gradient,) = torch.autograd.grad(energy, image)
            x = covariance(t) * (y / noise_std**2 + (x - gradient) / t**2)
            if step < INNER_STEPS:
                x = x + noise(t)
            elif level + 1 < SCALES:
                x = x + noise(scales[level + 1])
    return x.detach()
