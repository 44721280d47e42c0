"""Early stopping: the end of a training whose validation gets no better."""

from __future__ import annotations

import pytorch_lightning as pl

from alps_exp.training.base import DenoisingTraining


class EarlyStopping(pl.callbacks.EarlyStopping):
    """Ends a training whose validation gets no better; it leaves the averaged weights of that step.

    Parameters
    ----------
    patience
        Validations without an improvement after which the training ends.
    min_delta
        Least decrease that counts as an improvement.
    monitor
        Metric, the smaller the better. None: see `DenoisingTraining.monitor`, of the first validation images.

    Raises
    ------
    ValueError
        If there are no validation images, or they have no such metric; at the start of the training.
    """

    def __init__(self, patience: int = 10, min_delta: float = 0.0, monitor: str | None = None) -> None:
        if patience < 1:
            raise ValueError(f"patience must be at least 1, got {patience}")
        super().__init__(monitor or "", min_delta=min_delta, patience=patience, check_on_train_epoch_end=False)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        assert isinstance(pl_module, DenoisingTraining)
        prefixes = pl_module.validation_prefixes()
        if not prefixes:
            raise ValueError("early stopping needs validation images: give data.validation, or leave it out")
        self.monitor = self.monitor or prefixes[0] + pl_module.monitor

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.monitor not in (known := trainer.callback_metrics):  # known in the check before the first step too
            names = ", ".join(sorted(name for name in known if name.startswith("validation/")))
            raise ValueError(f"early stopping by {self.monitor!r}, expected one of {names}")
        super().on_validation_end(trainer, pl_module)
