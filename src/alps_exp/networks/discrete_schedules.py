"""Noise schedules of diffusion models with discrete steps (DDPM), as scales of variance-exploding noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SCHEDULES = ("linear", "cosine")


def noise_scales(schedule: str, steps: int) -> Tensor:
    """Return sigma_k = ((1 - alpha_bar_k) / alpha_bar_k)^(1/2) of the steps k = 0, 1, ..., as float64.

    A variance-preserving model sees alpha_bar_k^(1/2) (x + sigma_k n), so that sigma_k is its scale of the noise on
    images that are not scaled.

    Parameters
    ----------
    schedule
        ``linear``: the rates beta rise from 1e-4 to 0.02 in 1,000 steps. ``cosine``: alpha_bar is a squared cosine.
    steps
        Number of steps.

    Raises
    ------
    ValueError
        If the schedule is unknown, or there is not more than one step.

    References
    ----------
    Ho et al. 2020 (arXiv 2006.11239); Nichol & Dhariwal 2021 (arXiv 2102.09672), equation 17.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule is {schedule!r}, expected one of {', '.join(SCHEDULES)}")
    if steps < 2:
        raise ValueError(f"a schedule needs at least 2 steps, got {steps}")
    if schedule == "linear":
        betas = torch.linspace(0.1 / steps, 20 / steps, steps, dtype=torch.float64)
    else:
        times = torch.arange(steps + 1, dtype=torch.float64) / steps
        alpha_bar = ((times + 0.008) / 1.008 * math.pi / 2).cos().square()
        betas = (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=0.999)
    alpha_bar = (1 - betas).cumprod(0)
    return ((1 - alpha_bar) / alpha_bar).sqrt()
