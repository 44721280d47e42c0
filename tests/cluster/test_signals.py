"""A signal to any rank brings a checkpoint of all, and is handed on to who waited for it before."""

import os
import signal

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from alps_exp.commands.checkpoints import AGREE_EVERY, Checkpointing

SIGNALLED_AT = 3


class Line(pl.LightningModule):
    """The smallest model that trains."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch):
        return self.layer(batch[0]).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-3)


class SignalToTheLastRank(pl.Callback):
    """Signals one process in the middle of the training."""

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == SIGNALLED_AT and trainer.global_rank == trainer.world_size - 1:
            os.kill(os.getpid(), signal.SIGUSR1)


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_signal_brings_one_checkpoint_and_is_handed_on(tmp_path, ranks):
    handed_on = tmp_path / "handed_on"
    before = signal.signal(signal.SIGUSR1, lambda *_: handed_on.touch())
    try:
        trainer = pl.Trainer(
            max_steps=2 * AGREE_EVERY,
            accelerator="cpu",
            devices=ranks,
            strategy="auto" if ranks == 1 else "ddp_fork",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[SignalToTheLastRank(), Checkpointing(tmp_path / "last.ckpt", minutes=60)],
        )
        trainer.fit(Line(), DataLoader(TensorDataset(torch.ones(80, 1))))
    finally:
        signal.signal(signal.SIGUSR1, before)
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert state["global_step"] == (SIGNALLED_AT if ranks == 1 else AGREE_EVERY)
    assert handed_on.exists()
