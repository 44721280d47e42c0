"""The budget of a training: the steps or the time that it has, and the share of them that is spent."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Timer

from alps_exp.errors import one_line

AGREE_EVERY = 10
"""Steps between the processes' agreements, each of which waits for the device."""

Duration = str | timedelta | dict[str, int] | None


class Budget(pl.Callback):
    """Ends a training where its steps or its time are spent, whichever is first.

    The time is that of the training loop with its validations, over all starts of a run: each goes on with what was
    spent up to the checkpoint that it starts from. Several processes go by the clock of the first.

    Parameters
    ----------
    max_steps
        Steps of the optimizer; -1: any number.
    max_time
        As ``DD:HH:MM:SS``, or as a dictionary of `datetime.timedelta`'s arguments; None: any time.

    Raises
    ------
    ValueError
        If neither is given, or one is none.
    """

    def __init__(self, max_steps: int, max_time: Duration = None) -> None:
        self.max_steps, self.max_seconds = max_steps, _seconds(max_time)
        if max_steps < 1 and (max_steps != -1 or self.max_seconds is None):
            raise ValueError(f"trainer.max_steps must be at least 1 (or -1 with a trainer.max_time), got {max_steps}")
        self.seconds = 0.0
        """Seconds spent, as the processes agree on them."""
        self._spent_before, self._start = 0.0, 0.0

    def progress(self, step: int) -> float:
        """Return the share of the budget, 0 to 1, that is spent before the step, counted from 0."""
        of_steps = step / self.max_steps if self.max_steps > 0 else 0.0
        of_time = self.seconds / self.max_seconds if self.max_seconds else 0.0
        return min(max(of_steps, of_time), 1.0)

    def is_spent_in(self, checkpoint: Path) -> bool:
        """Tell whether a training has this checkpoint, and nothing left to do after it."""
        if not checkpoint.exists():
            return False
        spent = spent_in(checkpoint)
        in_time = self.max_seconds is not None and self.max_seconds <= spent.seconds
        return in_time or 0 < self.max_steps <= spent.steps

    def __str__(self) -> str:
        steps = [f"{self.max_steps:,} steps"] if self.max_steps > 0 else []
        spell = [f"{timedelta(seconds=self.max_seconds)} of training"] if self.max_seconds is not None else []
        return " or ".join(spell + steps)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._spent_before, self._start = self.seconds, time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, *arguments: Any) -> None:
        if trainer.world_size == 1 or trainer.global_step % AGREE_EVERY == 0:
            self.seconds = trainer.strategy.broadcast(self._spent_before + time.monotonic() - self._start)
        batch_idx = arguments[-1]
        if self.max_seconds is not None and (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            trainer.should_stop = trainer.should_stop or self.seconds >= self.max_seconds

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["seconds"]


def budget_of(trainer: pl.Trainer) -> Budget:
    """Return a trainer's budget, or that of its `max_steps`; raises ValueError if it has none."""
    given = [callback for callback in trainer.callbacks if isinstance(callback, Budget)]  # type: ignore[attr-defined]
    return given[0] if given else Budget(trainer.max_steps)


class Spent(NamedTuple):
    """What a training had spent when it wrote a checkpoint."""

    steps: int
    seconds: float


def spent_in(checkpoint: Path) -> Spent:
    """Return the steps and the seconds that a training had spent when it wrote a checkpoint.

    Raises
    ------
    ValueError
        If the checkpoint is damaged.
    """
    try:
        state = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
        return Spent(state["global_step"], state["callbacks"].get(Budget.__qualname__, {}).get("seconds", 0.0))
    except Exception as error:  # a damaged file can raise any
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
        raise ValueError(f"trainer.max_time must be more than nothing, got {max_time!r}")
    return seconds
