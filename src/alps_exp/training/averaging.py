"""Exponential moving average of the weights, with a memory that grows with the training."""

from __future__ import annotations

from functools import partial

import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

RAMP = 0.05
"""Maximum half-life of the average as a fraction of the steps so far (EDM's training code: 0.05)."""


class RampedAveraging(WeightAveraging):
    """Exponential moving average whose half-life is limited to a fraction of the training so far.

    After n steps the half-life is `RAMP` n steps, until `decay` per step is reached. With a constant decay from the
    start, the average of a short training would consist mostly of the initial weights.

    Parameters
    ----------
    decay
        Decay of the average per step, in [0, 1).

    References
    ----------
    Karras et al., "Elucidating the design space of diffusion-based generative models", 2022 (arXiv 2206.00364), whose
    code limits the half-life so.
    """

    def __init__(self, decay: float = 0.998) -> None:
        super().__init__(avg_fn=partial(averaged, decay))


def averaged(decay: float, average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
    """Return the average of `count` earlier weights, updated with the weights `current`."""
    kept = (0.5 ** (1 / (RAMP * torch.as_tensor(count, dtype=torch.float64)))).clamp(max=decay)
    return average + (1 - kept).to(average.device, average.dtype) * (current - average)
