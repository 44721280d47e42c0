"""How far a training is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import cast

import pytorch_lightning as pl
from torch import Tensor

from alps_exp.live_line import duration
from alps_exp.runs.job import JobContext
from alps_exp.training.budget import budget_of


class JobProgress(pl.Callback):
    """Notes in the job that a first batch has been processed, and shows how far a training is."""

    def __init__(self, job: JobContext) -> None:
        self.job = job
        self._training: TrainingProgress | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._training = self.job.progress = TrainingProgress(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        self.job.under_way = True
        assert self._training is not None
        self._training.end_step(cast("Mapping[str, Tensor]", outputs)["loss"])

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.job.progress = None

    def on_predict_batch_end(self, *_: object) -> None:
        self.job.under_way = True


class TrainingProgress:
    """Step, loss, steps a second and time left of a training; a `Progress`.

    The loss is read from the device when the line is written, by the thread that writes it: no step waits for it.
    """

    def __init__(self, trainer: pl.Trainer) -> None:
        self._trainer, self._budget = trainer, budget_of(trainer)
        self._loss: Tensor | None = None
        self._first: tuple[int, float] | None = None

    def end_step(self, loss: Tensor) -> None:
        """Note the loss of a step, which Lightning has divided by the number of batches in it."""
        self._loss = loss
        if self._first is None:  # which may include compilation, so the pace is that of the steps after it
            self._first = self._trainer.global_step, time.monotonic()

    def __str__(self) -> str:
        step, budget = self._trainer.global_step, self._budget
        parts = [f"step {step:,} of {budget.max_steps:,}" if budget.max_steps > 0 else f"step {step:,}"]
        if budget.max_seconds is not None:
            parts.append(f"{duration(budget.seconds)} of {duration(budget.max_seconds)}")
        if self._loss is not None:
            parts.append(f"loss {float(self._loss) * self._trainer.accumulate_grad_batches:.4g}")
        if rate := self._rate():
            parts.append(f"{rate:.3g} steps/s" if rate >= 1 else f"{1 / rate:.3g} s a step")
        if self._trainer.validating or self._trainer.sanity_checking:
            parts.append("validating")
        return ", ".join(parts)

    def _rate(self) -> float | None:
        """Return the steps a second of this start, validation included."""
        if self._first is None or self._trainer.global_step == self._first[0]:
            return None
        return (self._trainer.global_step - self._first[0]) / (time.monotonic() - self._first[1])

    def seconds_left(self) -> float | None:
        """Return the time until steps or time are spent, whichever comes first."""
        budget, left = self._budget, []
        if budget.max_seconds is not None:
            left.append(max(budget.max_seconds - budget.seconds, 0.0))
        if budget.max_steps > 0 and (rate := self._rate()):
            left.append((budget.max_steps - self._trainer.global_step) / rate)
        return min(left, default=None)
