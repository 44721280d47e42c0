"""Optimizers with their rates over a training's budget: a linear warm-up, then a decay toward its end."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from alps_exp.checks import positive


@dataclass(frozen=True)
class ScheduledAdam(ABC):
    """Adam whose rate warms up linearly over `warmup_steps`, times the `decay` of the budget's share that is spent.

    Raises
    ------
    ValueError
        If the rate is not positive, there are fewer than 0 steps of warm-up, or beta2 is not from 0 to below 1.
    """

    learning_rate: float = 1e-3
    warmup_steps: int = 100
    beta2: float = 0.99

    def __post_init__(self) -> None:
        positive("learning_rate", self.learning_rate)
        if self.warmup_steps < 0:
            raise ValueError(f"warmup_steps must be at least 0, got {self.warmup_steps}")
        if not 0 <= self.beta2 < 1:
            raise ValueError(f"beta2 must be at least 0 and below 1, got {self.beta2}")

    def __call__(self, parameters: Iterable[nn.Parameter], progress: Callable[[int], float]) -> dict[str, Any]:
        """Return optimizer and schedule in Lightning's form.

        Parameters
        ----------
        parameters
            What is trained.
        progress
            Gives the share of the budget, 0 to 1, that is spent before a step, counted from 0.
        """
        optimizer = torch.optim.Adam(parameters, lr=self.learning_rate, betas=(0.9, self.beta2))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.factor(step, progress(step)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def factor(self, step: int, progress: float) -> float:
        """Return what the rate of a step, counted from 0, is multiplied by."""
        return min(1.0, (step + 1) / max(self.warmup_steps, 1)) * self.decay(progress)

    @abstractmethod
    def decay(self, progress: float) -> float:
        """Return the factor of the rate when a share of the budget, 0 to 1, is spent."""

    def __str__(self) -> str:
        return f"{self.learning_rate:g} after a warm-up of {self.warmup_steps} steps, {self._course()}"

    @abstractmethod
    def _course(self) -> str:
        """Return what the rate does after the warm-up."""


@dataclass(frozen=True)
class CosineAdam(ScheduledAdam):
    """Adam whose rate warms up linearly and falls to zero along a half cosine at the end of the budget."""

    def decay(self, progress: float) -> float:
        return (1 + math.cos(math.pi * progress)) / 2

    def _course(self) -> str:
        return "along a half cosine to zero at the end of the budget"


@dataclass(frozen=True)
class BudgetAdam(ScheduledAdam):
    """Adam whose rate warms up linearly, stays, and falls to zero as 1 - sqrt over the end of the budget.

    Until it falls, the rate depends on no budget: what is trained up to there is the beginning of a longer training.

    Parameters
    ----------
    decay_fraction
        Share of the budget, 0 to 1, over which the rate falls; 0: it never does.

    Source: Hägele et al. 2024 (arXiv 2405.18392), who find 1 - sqrt over the last 20 % better than a linear fall, and
    as good as the cosine; warm-up, stay and decay: Hu et al. 2024 (arXiv 2404.06395).
    """

    decay_fraction: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.decay_fraction <= 1:
            raise ValueError(f"decay_fraction must be from 0 to 1, got {self.decay_fraction}")

    def decay(self, progress: float) -> float:
        left = 1 - progress
        return 1.0 if left >= self.decay_fraction else 1 - math.sqrt(1 - left / self.decay_fraction)

    def _course(self) -> str:
        if not self.decay_fraction:
            return "constant"
        return f"constant, then as 1 - sqrt to zero over the last {100 * self.decay_fraction:g} % of the budget"
