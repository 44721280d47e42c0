"""Checkpoints of a training: when they are written, and that they are whole."""

from __future__ import annotations

import io
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.plugins import TorchCheckpointIO

from alps_exp.runs import write_atomically

SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)
AGREE_EVERY = 10
"""Steps between the ranks' agreements on a checkpoint, each of which waits for the device."""


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints that are there as a whole or not at all; Lightning moves them between file systems."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint atomically."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(Path(path), buffer.getvalue())


class Checkpointing(Timer):
    """Writes a checkpoint every few minutes, on SIGUSR1 and SIGUSR2, and where `duration` ends the training.

    All come after a step of the optimiser, and behind the other callbacks, whose state is then whole; saved any later,
    a checkpoint would hold averaged weights as live ones. A signal is then handed on to who waited for it before: by
    SIGUSR2, submitit puts a job that SLURM is about to end in the queue again.

    Parameters
    ----------
    path
        The checkpoint's file, of which there is one.
    minutes
        Time between checkpoints.
    duration
        Time after which the training stops, counted from its last start; None: never.
    """

    def __init__(
        self, path: str | Path, minutes: float, duration: str | timedelta | dict[str, int] | None = None
    ) -> None:
        super().__init__(duration)
        self.path, self.seconds = Path(path), 60 * minutes
        self._received: list[int] = []
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._written = time.monotonic()
        self._handlers = {number: signal.signal(number, self._note) for number in SIGNALS}

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def on_train_batch_end(self, trainer: pl.Trainer, *arguments: Any) -> None:
        batch_idx = arguments[-1]
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        super().on_train_batch_end(trainer, *arguments)
        if trainer.should_stop or self._is_asked_for(trainer):
            trainer.save_checkpoint(self.path)
            self._written = time.monotonic()
            self._hand_on()

    def _is_asked_for(self, trainer: pl.Trainer) -> bool:
        """Tell whether time or a signal asks any rank for a checkpoint."""
        if trainer.world_size > 1 and trainer.global_step % AGREE_EVERY:
            return False
        due = time.monotonic() - self._written >= self.seconds
        return trainer.strategy.reduce_boolean_decision(due or bool(self._received), all=False)

    def _note(self, number: int, frame: Any) -> None:
        self._received.append(number)

    def _hand_on(self) -> None:
        received, self._received = self._received, []
        for number in received:
            if callable(handler := self._handlers[number]):
                handler(number, None)

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: time starts anew with every start."""
        return {}
