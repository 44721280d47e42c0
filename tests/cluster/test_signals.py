"""A signal to any rank brings a checkpoint of all, and is handed on to who waited for it before."""

import os
import signal

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from alps_exp.lightning.checkpointing import Checkpointing
from alps_exp.training.budget import AGREE_EVERY

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


class NoteSaved(pl.Callback):
    """Writes the steps of the checkpoints to a file."""

    def __init__(self, path):
        self.path = path

    def on_save_checkpoint(self, trainer, pl_module, checkpoint):
        if trainer.is_global_zero:
            with open(self.path, "a") as file:
                file.write(f"{trainer.global_step}\n")


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
            callbacks=[
                SignalToTheLastRank(),
                NoteSaved(tmp_path / "saved"),
                Checkpointing(tmp_path / "last.ckpt", minutes=60),
            ],
        )
        trainer.fit(Line(), DataLoader(TensorDataset(torch.ones(80, 1))))
    finally:
        signal.signal(signal.SIGUSR1, before)
    signalled = SIGNALLED_AT if ranks == 1 else AGREE_EVERY
    assert (tmp_path / "saved").read_text().split() == [str(signalled), str(2 * AGREE_EVERY)]  # and one at the end
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 2 * AGREE_EVERY
    assert handed_on.exists()
