"""Noise schedules of diffusion models with discrete steps (DDPM), as scales of variance-exploding noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SCHEDULES = ("linear", "cosine", "scaled_linear", "sigmoid")


def noise_scales(schedule: str, steps: int, beta_start: float | None = None, beta_end: float | None = None) -> Tensor:
    """Return sigma_k = ((1 - alpha_bar_k) / alpha_bar_k)^(1/2) of the steps k = 0, 1, ..., as float64.

    A variance-preserving model sees alpha_bar_k^(1/2) (x + sigma_k n), so that sigma_k is its scale of the noise on
    images that are not scaled.

    Parameters
    ----------
    schedule
        ``linear``: the rates beta rise linearly. ``scaled_linear``: their square roots do. ``sigmoid``: they rise as a
        sigmoid from -6 to 6. ``cosine``: alpha_bar is a squared cosine.
    steps
        Number of steps.
    beta_start, beta_end
        Rates of the first and the last step, of all schedules but ``cosine``; None: 0.1 / steps and 20 / steps.

    Raises
    ------
    ValueError
        If the schedule is unknown, there is not more than one step, a rate is not between 0 and 1, or ``cosine`` is
        given rates.

    References
    ----------
    Ho et al. 2020 (arXiv 2006.11239); Nichol & Dhariwal 2021 (arXiv 2102.09672), equation 17.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule is {schedule!r}, expected one of {', '.join(SCHEDULES)}")
    if steps < 2:
        raise ValueError(f"a schedule needs at least 2 steps, got {steps}")
    if schedule == "cosine" and (beta_start, beta_end) != (None, None):
        raise ValueError("the schedule cosine has rates of its own: leave out beta_start and beta_end")
    # on the CPU, also where only shapes are asked for
    first, last = beta_start or 0.1 / steps, beta_end or 20 / steps
    if schedule == "linear":
        betas = torch.linspace(first, last, steps, dtype=torch.float64, device="cpu")
    elif schedule == "scaled_linear":
        betas = torch.linspace(math.sqrt(first), math.sqrt(last), steps, dtype=torch.float64, device="cpu").square()
    elif schedule == "sigmoid":
        betas = first + (last - first) * torch.linspace(-6, 6, steps, dtype=torch.float64, device="cpu").sigmoid()
    else:
        times = torch.arange(steps + 1, dtype=torch.float64, device="cpu") / steps
        alpha_bar = ((times + 0.008) / 1.008 * math.pi / 2).cos().square()
        betas = (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=0.999)
    if not 0 < betas.min() <= betas.max() < 1:
        raise ValueError(f"the rates of the noise are {betas.min():.3g} to {betas.max():.3g}, expected 0 < beta < 1")
    alpha_bar = (1 - betas).cumprod(0)
    return ((1 - alpha_bar) / alpha_bar).sqrt()
