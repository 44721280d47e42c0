"""Adam with learning-rate schedules over the budget of a training: linear warm-up, then a decay toward the end."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import nn

from alps_exp.checks import positive


@dataclass(frozen=True)
class ScheduledAdam(ABC):
    """Adam whose learning rate warms up linearly over `warmup_steps` and is multiplied by `decay` of the spent budget.

    Parameters
    ----------
    learning_rate
        Learning rate at the end of the warm-up, before any decay; above 0.
    warmup_steps
        Number of steps of the warm-up; 0: none.
    beta2
        Adam's decay rate for the mean squared gradient, in [0, 1); beta1 is 0.9.

    Raises
    ------
    ValueError
        If the rate is not positive, warmup_steps is negative, or beta2 is not in [0, 1).
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

    def __call__(
        self, parameters: Iterable[nn.Parameter], progress: Callable[[int], float]
    ) -> OptimizerLRSchedulerConfig:
        """Return optimizer and schedule in Lightning's form.

        Parameters
        ----------
        parameters
            Parameters to train.
        progress
            Returns the fraction of the budget, 0 to 1, that is spent before a step (counted from 0).
        """
        optimizer = torch.optim.Adam(parameters, lr=self.learning_rate, betas=(0.9, self.beta2))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.factor(step, progress(step)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def factor(self, step: int, progress: float) -> float:
        """Return the factor of the learning rate at a step (counted from 0)."""
        return min(1.0, (step + 1) / max(self.warmup_steps, 1)) * self.decay(progress)

    @abstractmethod
    def decay(self, progress: float) -> float:
        """Return the factor of the learning rate after a fraction of the budget, 0 to 1, is spent."""

    def __str__(self) -> str:
        return f"{self.learning_rate:g} after a warm-up of {self.warmup_steps} steps, {self._course()}"

    @abstractmethod
    def _course(self) -> str:
        """Describe the learning rate after the warm-up."""


@dataclass(frozen=True)
class CosineAdam(ScheduledAdam):
    """Adam with linear warm-up and a half-cosine decay to zero at the end of the budget.

    Parameters
    ----------
    learning_rate, warmup_steps, beta2
        As in `ScheduledAdam`.
    """

    def decay(self, progress: float) -> float:
        return (1 + math.cos(math.pi * progress)) / 2

    def _course(self) -> str:
        return "along a half cosine to zero at the end of the budget"


@dataclass(frozen=True)
class BudgetAdam(ScheduledAdam):
    """Adam with linear warm-up, a constant rate, and a 1 - sqrt decay to zero at the end of the budget.

    Before the decay, the rate does not depend on the budget: the training up to there is also the beginning of a longer
    one.

    Parameters
    ----------
    learning_rate, warmup_steps, beta2
        As in `ScheduledAdam`.
    decay_fraction
        Fraction of the budget, 0 to 1, over which the rate decays; 0: no decay.

    References
    ----------
    Hägele et al. 2024 (arXiv 2405.18392), who find 1 - sqrt over the last 20 % better than a linear decay and
    as good as the cosine; warm-up, stable and decay phases: Hu et al. 2024 (arXiv 2404.06395).
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
