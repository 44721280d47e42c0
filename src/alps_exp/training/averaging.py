"""The average of a training's weights, with a memory that grows with the training."""

from __future__ import annotations

from functools import partial

import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

RAMP = 0.05
"""Half-life of the average at most, as a share of the steps so far (EDM's training code: 0.05)."""


class RampedAveraging(WeightAveraging):
    """Exponential moving average of the weights that forgets a training's beginning as fast as it gets old.

    After n steps the weights of `RAMP` n steps ago count half as much as the last ones, until the `decay` of a step is
    reached. With that decay from the first step on, the average of a short training is mostly what it started from.

    Parameters
    ----------
    decay
        What a step leaves of the average, from 0 to below 1.

    References
    ----------
    Karras et al., "Elucidating the design space of diffusion-based generative models", 2022 (arXiv 2206.00364), whose
    code limits the half-life so.
    """

    def __init__(self, decay: float = 0.998) -> None:
        super().__init__(avg_fn=partial(averaged, decay))


def averaged(decay: float, average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
    """Return the average of `count` weights with one more, `current`."""
    kept = (0.5 ** (1 / (RAMP * torch.as_tensor(count, dtype=torch.float64)))).clamp(max=decay)
    return average + (1 - kept).to(average.device, average.dtype) * (current - average)
