"""Checkpoints of a training: when they are written, and that they are whole."""

from __future__ import annotations

import io
import signal
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import TorchCheckpointIO

from alps_exp.files import write_atomically
from alps_exp.training.budget import AGREE_EVERY

SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints that are there as a whole or not at all; Lightning moves them between file systems."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint atomically."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(Path(path), buffer.getvalue())


class Checkpointing(pl.Callback):
    """Writes a checkpoint every few minutes, on SIGUSR1 and SIGUSR2, and where the training ends.

    All come after a step of the optimizer, and behind the other callbacks, whose state is then whole; saved any later,
    a checkpoint would hold averaged weights as live ones. A signal is then handed on to who waited for it before: by
    SIGUSR2, submitit puts a job that SLURM is about to end in the queue again.

    Parameters
    ----------
    path
        The checkpoint's file, of which there is one.
    minutes
        Time between checkpoints.

    Raises
    ------
    ValueError
        If the time is negative, or no number.
    """

    def __init__(self, path: str | Path, minutes: float) -> None:
        if not minutes >= 0:
            raise ValueError(f"checkpoint_minutes must be at least 0, got {minutes}")
        self.path, self.seconds = Path(path), 60 * minutes
        self._received: list[int] = []
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
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
        if trainer.should_stop or trainer.global_step == trainer.max_steps or self._is_asked_for(trainer):
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
