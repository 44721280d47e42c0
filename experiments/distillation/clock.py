"""The clock of these trainings: processor time, which other programs on the machine change least."""

from __future__ import annotations

import time

import pytorch_lightning as pl


class ProcessorTime(pl.Callback):
    """Counts the processor time of the training loop over all starts of a run, in seconds; checkpoints keep it."""

    seconds = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start = time.process_time() - self.seconds

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        self.seconds = time.process_time() - self._start

    def state_dict(self) -> dict[str, float]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        self.seconds = state_dict["seconds"]
