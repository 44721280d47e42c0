"""Checkpoints of a training: when they are written, and how they are written atomically."""

from __future__ import annotations

import io
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import TorchCheckpointIO
from pytorch_lightning.utilities.types import STEP_OUTPUT

from alps_exp.files import write_atomically
from alps_exp.lightning.checkpoint_files import CheckpointFiles
from alps_exp.training.budget import AGREE_EVERY

SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoint IO that writes atomically; Lightning's own can leave a truncated file behind.

    Parameters
    ----------
    files
        The run's own checkpoints, which are written with their hashes.
    """

    def __init__(self, files: CheckpointFiles) -> None:
        self.files = files

    def save_checkpoint(self, checkpoint: dict[str, object], path: str | Path, storage_options: object = None) -> None:
        """Write a checkpoint atomically."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        if Path(path) == self.files.last:
            self.files.write(buffer.getvalue())
        else:
            write_atomically(Path(path), buffer.getvalue())


class Checkpointing(pl.Callback):
    """Writes a checkpoint every few minutes, on SIGUSR1 and SIGUSR2, and at the end of the training.

    Checkpoints are written after an optimizer step and after all other callbacks, when their state is complete: any
    later, the averaged weights would already be swapped in and saved as the live ones. A received signal is then passed
    on to its previous handler: on SIGUSR2, submitit requeues a job that SLURM is about to end.

    Parameters
    ----------
    path
        The checkpoint file; it is overwritten each time.
    minutes
        Time between checkpoints.

    Raises
    ------
    ValueError
        If the time is negative or NaN.
    """

    def __init__(self, path: str | Path, minutes: float) -> None:
        if not minutes >= 0:
            raise ValueError(f"checkpoint_minutes must be at least 0, got {minutes}")
        self.path, self.seconds = Path(path), 60 * minutes
        self._received: list[int] = []
        self._handlers: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._written = time.monotonic()
        self._handlers = {number: signal.signal(number, self._note) for number in SIGNALS}

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: STEP_OUTPUT, batch: object, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        if trainer.should_stop or trainer.global_step == trainer.max_steps or self._is_asked_for(trainer):
            trainer.save_checkpoint(self.path)
            self._written = time.monotonic()
            self._hand_on()

    def _is_asked_for(self, trainer: pl.Trainer) -> bool:
        """Return whether a checkpoint is due on any rank, by time or by signal."""
        if trainer.world_size > 1 and trainer.global_step % AGREE_EVERY:
            return False
        due = time.monotonic() - self._written >= self.seconds
        return trainer.strategy.reduce_boolean_decision(due or bool(self._received), all=False)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._received.append(number)

    def _hand_on(self) -> None:
        received, self._received = self._received, []
        for number in received:
            if callable(handler := self._handlers[number]):
                handler(number, None)
