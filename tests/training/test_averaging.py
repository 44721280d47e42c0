"""The average of a training's weights: its memory in closed form, and in a training that is interrupted."""

import math

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from alps_exp.training import RampedAveraging
from alps_exp.training.averaging import RAMP, averaged


class Ramp(pl.LightningModule):
    """A weight that grows by one with every step."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def training_step(self, batch, batch_idx):
        return -self.weight

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


class SaveAt(pl.Callback):
    """Writes a checkpoint after a step."""

    def __init__(self, step, path):
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


def fit(module, folder, resume=None):
    trainer = pl.Trainer(
        max_steps=60,
        accelerator="cpu",
        callbacks=[RampedAveraging(0.9), SaveAt(20, folder / "twenty.ckpt")],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
    )
    trainer.fit(module, torch.utils.data.DataLoader(torch.zeros(200)), ckpt_path=resume)


def test_half_of_the_average_is_of_the_last_twentieth_of_the_steps():
    old, count = torch.ones(()), 4000
    for step in range(count, count + round(RAMP * count)):  # what the weights before have left of themselves
        old = averaged(1.0, old, torch.zeros(()), step)
    assert old == pytest.approx(0.5, abs=0.02)


def test_the_decay_is_reached_and_kept():
    first = next(n for n in range(1, 200) if 0.5 ** (1 / (RAMP * n)) > 0.9)
    assert first == math.ceil(-math.log(2) / math.log(0.9) / RAMP)
    for count in (first, 10 * first, torch.tensor(first)):
        assert averaged(0.9, torch.ones(()), torch.zeros(()), count) == pytest.approx(0.9)
    assert averaged(0.9, torch.ones(()), torch.zeros(()), 1) < 1e-5


def test_a_short_training_is_averaged_over_its_end_also_where_it_was_interrupted(tmp_path):
    whole, expected = Ramp(), 1.0
    for count in range(1, 60):
        kept = min(0.9, 0.5 ** (1 / (RAMP * count)))
        expected = kept * expected + (1 - kept) * (count + 1)
    fit(whole, tmp_path)
    assert whole.weight.item() == pytest.approx(expected, rel=1e-12) and whole.weight > 50
    resumed = Ramp()
    fit(resumed, tmp_path, tmp_path / "twenty.ckpt")
    assert resumed.weight == whole.weight
