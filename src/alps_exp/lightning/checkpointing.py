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
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.types import STEP_OUTPUT

from alps_exp.checks import check_count
from alps_exp.files import write_atomically
from alps_exp.lightning.checkpoint_files import LAST, CheckpointFiles
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


class KeptCheckpoints(pl.Callback):
    """Keeps a checkpoint every few steps in the run folder, as ``checkpoints/step001000.ckpt``.

    Parameters
    ----------
    every_n_steps
        Steps from one checkpoint to the next.

    Raises
    ------
    ValueError
        If every_n_steps is below 1.
    """

    def __init__(self, every_n_steps: int = 1000) -> None:
        check_count("every_n_steps", every_n_steps)
        self.every_n_steps = every_n_steps

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: STEP_OUTPUT, batch: object, batch_idx: int
    ) -> None:
        steps = trainer.global_step
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0 and steps % self.every_n_steps == 0:
            trainer.save_checkpoint(Path(trainer.default_root_dir) / LAST.with_name(f"step{steps:06}.ckpt"))


class Checkpointing(pl.Callback):
    """Writes a checkpoint every few minutes, on SIGUSR1 and SIGUSR2, and at the end of the training.

    Checkpoints are written after an optimizer step, or after the validation that ends the training, and after all
    other callbacks, when their state is complete: any later, the averaged weights would already be swapped in and saved
    as the live ones. A received signal is then passed on to its previous handler: on SIGUSR2, submitit requeues a
    job that SLURM is about to end.

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
        self._is_last = False
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
        self._is_last = trainer.should_stop or trainer.global_step == trainer.max_steps
        if self._is_last or self._is_asked_for(trainer):
            trainer.save_checkpoint(self.path)
            self._written = time.monotonic()
            self._hand_on()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING and trainer.should_stop and not self._is_last:
            trainer.save_checkpoint(self.path)

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
