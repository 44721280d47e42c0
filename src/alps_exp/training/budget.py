"""The budget of a training in steps or time, and how much of it is spent."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.types import STEP_OUTPUT

from alps_exp.errors import one_line

AGREE_EVERY = 10
"""Steps between agreements among the processes; each agreement synchronizes with the device."""

Duration = str | timedelta | dict[str, int] | None


class Budget(pl.Callback):
    """Callback that ends a training after a number of steps or a time, whichever comes first.

    Time is measured over the training loop including validation, and accumulates over all starts of a run: each start
    continues with the time spent up to its checkpoint. With several processes, the clock of the first one counts.

    Parameters
    ----------
    max_steps
        Maximum number of optimizer steps; -1: no limit.
    max_time
        Maximum time as ``DD:HH:MM:SS``, or as a dictionary of arguments of `datetime.timedelta`; None: no limit.

    Raises
    ------
    ValueError
        If there is no limit, or a limit is not positive.
    """

    def __init__(self, max_steps: int, max_time: Duration = None) -> None:
        self.max_steps, self.max_seconds = max_steps, _seconds(max_time)
        if max_steps < 1 and (max_steps != -1 or self.max_seconds is None):
            raise ValueError(f"trainer.max_steps must be at least 1 (or -1 with a trainer.max_time), got {max_steps}")
        self.stopped = False
        """Whether a validation has ended the training early."""
        self.seconds = 0.0
        """Seconds spent, on which all processes agree."""
        self._spent_before, self._start = 0.0, 0.0

    def progress(self, step: int) -> float:
        """Return the fraction of the budget, 0 to 1, that is spent before a step (counted from 0)."""
        of_steps = step / self.max_steps if self.max_steps > 0 else 0.0
        of_time = self.seconds / self.max_seconds if self.max_seconds else 0.0
        return min(max(of_steps, of_time), 1.0)

    def is_spent_in(self, checkpoint: Path) -> bool:
        """Return whether the training was over when this checkpoint was written: budget spent, or stopped early."""
        if not checkpoint.exists():
            return False
        spent = spent_in(checkpoint)
        if spent.stopped:
            return True
        in_time = self.max_seconds is not None and self.max_seconds <= spent.seconds
        return in_time or 0 < self.max_steps <= spent.steps

    def __str__(self) -> str:
        steps = [f"{self.max_steps:,} steps"] if self.max_steps > 0 else []
        spell = [f"{timedelta(seconds=self.max_seconds)} of training"] if self.max_seconds is not None else []
        return " or ".join(spell + steps)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._spent_before, self._start = self.seconds, time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: STEP_OUTPUT, batch: object, batch_idx: int
    ) -> None:
        # Each process has its own clock; if they disagreed on the last step, the others would wait for it forever.
        if trainer.world_size == 1 or trainer.global_step % AGREE_EVERY == 0:
            self.seconds = trainer.strategy.broadcast(self._spent_before + time.monotonic() - self._start)
        if self.max_seconds is not None and (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            trainer.should_stop = trainer.should_stop or self.seconds >= self.max_seconds

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        fitting = trainer.state.fn == TrainerFn.FITTING
        self.stopped = fitting and trainer.should_stop and self.progress(trainer.global_step) < 1

    def state_dict(self) -> dict[str, float]:
        return {"seconds": self.seconds, "stopped": self.stopped}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        self.seconds = state_dict["seconds"]


def budget_of(trainer: pl.Trainer) -> Budget:
    """Return the budget of a trainer, or one from its `max_steps`; raises ValueError if there is neither."""
    given = [callback for callback in trainer.callbacks if isinstance(callback, Budget)]  # type: ignore[attr-defined]
    return given[0] if given else Budget(trainer.max_steps)


class Spent(NamedTuple):
    """Steps and seconds that a training had spent when it wrote a checkpoint, and whether it was stopped early."""

    steps: int
    seconds: float
    stopped: bool


def spent_in(checkpoint: Path) -> Spent:
    """Return what a training had spent when it wrote a checkpoint.

    Raises
    ------
    ValueError
        If the checkpoint is damaged.
    """
    try:
        state = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
        known = state["callbacks"].get(Budget.__qualname__, {})
        return Spent(state["global_step"], known.get("seconds", 0.0), known.get("stopped", False))
    except Exception as error:  # a damaged file can raise anything
        reason = one_line(error)[:80]
        raise ValueError(f"{checkpoint} is damaged ({reason}): remove it to train from the start") from error


def _seconds(max_time: Duration) -> float | None:
    try:
        seconds = Timer(max_time).time_remaining()
    except (MisconfigurationException, TypeError) as error:
        raise ValueError(
            f"trainer.max_time is {max_time!r}, expected DD:HH:MM:SS, or a dictionary such as {{minutes:3}}"
        ) from error
    if seconds is not None and seconds <= 0:
        raise ValueError(f"trainer.max_time must be positive, got {max_time!r}")
    return seconds
