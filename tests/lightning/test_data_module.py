"""The order of training data is a function of the global step; the other loaders show every image once."""

import os
import signal
from itertools import islice

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from alps_exp.datasets.batches import collate, select
from alps_exp.errors import ImageError
from alps_exp.lightning import ImageDataModule, StepKeyedBatchSampler
from alps_exp.mri import KSpaceError
from alps_exp.source import SourceSlice


class Keyed(torch.utils.data.Dataset):
    """Images of noise drawn from the key."""

    channels = 1

    def __len__(self):
        return 7

    def __getitem__(self, item):
        index, key = item if isinstance(item, tuple) else (item, 0)
        noise = np.random.default_rng(key).standard_normal((1, 2, 2)).astype(np.float32)
        return {"image": torch.from_numpy(noise) + index, "image_id": str(index)}


class Missing(Keyed):
    def __len__(self):
        raise FileNotFoundError("folder")


class Recorder(pl.LightningModule):
    """Remembers each training batch."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen.append((batch["image_id"], batch["image"].sum().item()))
        return self.weight**2

    def validation_step(self, batch, batch_idx):
        pass

    def predict_step(self, batch, batch_idx):
        return batch["image_id"]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(path, **arguments):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(accelerator="cpu", devices=1, default_root_dir=path, **quiet, **arguments)


def fit(path, max_steps, ckpt_path=None, num_workers=0, **arguments):
    recorder = Recorder()
    run = trainer(path, max_steps=max_steps, enable_checkpointing=False, **arguments)
    data = ImageDataModule(train=Keyed(), batch_size=3, num_workers=num_workers)
    run.fit(recorder, data, ckpt_path=ckpt_path)
    return recorder.seen, run


def test_each_epoch_shows_each_image_once_with_its_own_key():
    batches = list(islice(StepKeyedBatchSampler(num_images=7, batch_size=3, seed=1), 7))
    pairs = [pair for batch in batches for pair in batch]
    epochs = [[index for index, _ in pairs[start : start + 7]] for start in (0, 7, 14)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert len({key for _, key in pairs}) == 21


def test_resumed_sampler_equals_the_tail():
    whole = list(islice(StepKeyedBatchSampler(7, 3, seed=1), 9))
    assert list(islice(StepKeyedBatchSampler(7, 3, start_step=5, seed=1), 4)) == whole[5:]
    assert list(islice(StepKeyedBatchSampler(7, 3, seed=2), 9)) != whole


def test_ranks_partition_the_global_batch():
    whole = list(islice(StepKeyedBatchSampler(7, 6, seed=1), 5))
    ranks = [list(islice(StepKeyedBatchSampler(7, 3, seed=1, rank=r, world_size=2), 5)) for r in (0, 1)]
    assert [a + b for a, b in zip(*ranks, strict=True)] == whole


@pytest.mark.filterwarnings("ignore")
def test_resumed_training_sees_the_undisturbed_order(tmp_path):
    undisturbed, _ = fit(tmp_path, 6)
    first, run = fit(tmp_path, 4)
    run.save_checkpoint(tmp_path / "last.ckpt")
    rest, _ = fit(tmp_path, 6, ckpt_path=tmp_path / "last.ckpt")
    assert len(undisturbed) == 6
    assert first + rest == undisturbed


@pytest.mark.filterwarnings("ignore")
def test_order_does_not_depend_on_workers_or_on_the_length_of_an_epoch(tmp_path):
    undisturbed, _ = fit(tmp_path, 6)
    assert fit(tmp_path, 6, num_workers=2)[0] == undisturbed
    assert fit(tmp_path, 6, limit_train_batches=2)[0] == undisturbed


@pytest.mark.filterwarnings("ignore")
def test_accumulated_gradients_go_through_the_batches_in_order(tmp_path):
    undisturbed, _ = fit(tmp_path, 8)
    first, run = fit(tmp_path, 2, accumulate_grad_batches=2)
    run.save_checkpoint(tmp_path / "last.ckpt")
    rest, _ = fit(tmp_path, 4, ckpt_path=tmp_path / "last.ckpt", accumulate_grad_batches=2)
    assert first + rest == undisturbed


class Signalling(Keyed):
    """Sends its process what asks for a checkpoint."""

    def __getitem__(self, item):
        os.kill(os.getpid(), signal.SIGUSR2)
        return super().__getitem__(item)


def test_workers_leave_signals_to_the_process_that_started_them(tmp_path):
    received = tmp_path / "received"
    before = signal.signal(signal.SIGUSR2, lambda *_: received.touch())
    try:
        batches = list(ImageDataModule(test=Signalling(), batch_size=3, num_workers=1).test_dataloader())
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert len(batches) == 3 and not received.exists()


@pytest.mark.filterwarnings("ignore")
def test_predict_shows_every_image_once_in_order(tmp_path):
    data = ImageDataModule(test=Keyed(), batch_size=3)
    batches = trainer(tmp_path).predict(Recorder(), data)
    assert batches == [["0", "1", "2"], ["3", "4", "5"], ["6"]]


class Torn(Keyed):
    """Three of seven images cannot be read, each in its way."""

    image_ids = list(map(str, range(7)))
    damage = {1: KSpaceError("volume of 1"), 2: OSError("disk of 2"), 6: ImageError("file of 6")}

    def __getitem__(self, item):
        if item in self.damage:
            raise self.damage[item]
        return super().__getitem__(item)


@pytest.mark.parametrize("workers", [0, 1])
def test_what_cannot_be_read_is_told_and_the_rest_of_its_batch_is_there(workers):
    batches = list(ImageDataModule(test=Torn(), batch_size=3, num_workers=workers).predict_dataloader())
    assert [batch["image_id"] for batch in batches] == [["0"], ["3", "4", "5"], []]
    assert batches[0]["image"].shape == (1, 1, 2, 2) and "image" not in batches[2]
    reasons = [batch.get("unreadable") for batch in batches]
    assert reasons == [{"1": "volume of 1", "2": "OSError: disk of 2"}, None, {"6": "file of 6"}]


def test_a_batch_of_images_that_differ_in_size_is_refused():
    items = [{"image": torch.zeros(1, size, 4), "image_id": str(size)} for size in (4, 4, 5)]
    assert collate(items[:2])["image"].shape == (2, 1, 4, 4)
    with pytest.raises(ImageError, match="data.batch_size=1"):
        collate(items)


def test_the_sources_of_a_batch_stay_with_their_images():
    known = [SourceSlice("a", number, [0, 1]) for number in (0, 1)]
    items = [{"image": torch.zeros(1, 4, 4), "image_id": str(i)} for i in range(3)]
    items[0]["source_slice"], items[2]["source_slice"] = known
    assert collate([*items, {"image_id": "3", "unreadable": "lost"}])["source_slice"] == [known[0], None, known[1]]
    batch = collate(items)
    assert select(batch, [2])["source_slice"] == [known[1]] and "source_slice" not in collate(items[1:2])


def test_only_what_a_stage_needs_is_looked_at():
    data = ImageDataModule(train=Missing(), validation=Missing(), test=Keyed())
    data.setup("predict")
    with pytest.raises(FileNotFoundError, match="folder"):
        data.setup("fit")


def test_missing_datasets_are_named():
    with pytest.raises(ValueError, match="train images.*fit"):
        ImageDataModule(test=Keyed()).setup("fit")
    with pytest.raises(ValueError, match="test images.*predict"):
        ImageDataModule(train=Keyed()).setup("predict")
    with pytest.raises(ValueError, match="batch_size.* 1.* 0"):
        ImageDataModule(batch_size=0)
    with pytest.raises(ValueError, match="one image"):
        StepKeyedBatchSampler(0, 3)
