"""How fast a training is, and its learning rate."""

from __future__ import annotations

import time

import pytorch_lightning as pl
from pytorch_lightning.utilities.types import STEP_OUTPUT


class Throughput(pl.Callback):
    """Logs ``steps_per_second``, ``images_per_second`` and ``learning_rate`` of a training, without its validations.

    They are means over the steps since the last log, every `log_every_n_steps` of the trainer, and over all devices.
    """

    def __init__(self) -> None:
        self._start = self._paused = 0.0
        self._step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._paused = time.monotonic()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start += time.monotonic() - self._paused

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: STEP_OUTPUT, batch: object, batch_idx: int
    ) -> None:
        steps, interval = trainer.global_step - self._step, trainer.log_every_n_steps  # type: ignore[attr-defined]
        if not steps or trainer.global_step % interval or trainer.logger is None:
            return
        rate = steps / (time.monotonic() - self._start)
        batch_size = trainer.datamodule.batch_size  # type: ignore[attr-defined]
        images = rate * batch_size * trainer.world_size * trainer.accumulate_grad_batches
        learning_rate = trainer.optimizers[0].param_groups[0]["lr"]
        numbers = {"steps_per_second": rate, "images_per_second": images, "learning_rate": learning_rate}
        trainer.logger.log_metrics(numbers, trainer.global_step)
        self._begin(trainer)

    def _begin(self, trainer: pl.Trainer) -> None:
        self._start, self._step = time.monotonic(), trainer.global_step
