"""The Lightning data module: the training order is a function of the global step; other data are read in order."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from typing import Literal, cast

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Sampler

from alps_exp.batch import AUTO_BATCH, Batch, ImageDataset, Item, TrainingImages
from alps_exp.checks import MOST_PROCESSES, check_count
from alps_exp.datasets.batches import WithUnreadable, collate
from alps_exp.randomness import epoch_permutation, item_key

AUTO_WORKERS = 4
STAGES = {
    "fit": ("train", "validation"),
    "validate": ("validation",),
    "test": ("test",),
    "predict": ("test",),
}


class StepKeyedBatchSampler(Sampler[list[tuple[int, int]]]):
    """Infinite batch sampler of (index, key) pairs, which are a pure function of seed and training step.

    Step k uses the positions ``k * world_size * batch_size + rank * batch_size + j`` of an infinite sequence of epochs,
    each with its own permutation. The key of a position seeds all augmentation of its item. A run resumed at step k
    therefore sees exactly what an uninterrupted run sees, and the ranks split each global batch.

    Parameters
    ----------
    num_images
        Length of the dataset.
    batch_size
        Images per step and rank.
    start_step
        Step of the first batch.
    seed
        Seed of order and keys.
    rank, world_size
        Rank of this process, and number of processes.

    Raises
    ------
    ValueError
        If num_images or batch_size is below 1.
    """

    def __init__(
        self,
        num_images: int,
        batch_size: int,
        start_step: int = 0,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if num_images < 1 or batch_size < 1:
            raise ValueError(f"need at least one image and batch_size >= 1, got {num_images} and {batch_size}")
        self.num_images = num_images
        self.batch_size = batch_size
        self.start_step = start_step
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self._shuffled: tuple[int, np.ndarray] | None = None

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        step = self.start_step
        while True:
            yield self.batch(step)
            step += 1

    def batch(self, step: int) -> list[tuple[int, int]]:
        """Return the (index, key) pairs of one step."""
        first = (step * self.world_size + self.rank) * self.batch_size
        return [(self._index(p), item_key(self.seed, p)) for p in range(first, first + self.batch_size)]

    def _index(self, position: int) -> int:
        epoch, place = divmod(position, self.num_images)
        if self._shuffled is None or self._shuffled[0] != epoch:
            self._shuffled = (epoch, epoch_permutation(self.seed, epoch, self.num_images))
        return int(self._shuffled[1][place])


class _TrainingLoader:
    """Starts a loader at the trainer's current step each time it is iterated.

    It is not a DataLoader: under DDP, Lightning would replace its batch sampler, but the step-keyed sampler already
    splits the batches among the ranks.
    """

    def __init__(self, data: ImageDataModule) -> None:
        self.data = data

    def __iter__(self) -> Iterator[Batch]:
        data, trainer = self.data, self.data.trainer
        assert trainer is not None and data.train is not None
        sampler = StepKeyedBatchSampler(
            len(data.train),
            data.batch_size,
            start_step=trainer.global_step * trainer.accumulate_grad_batches,  # global_step counts optimizer steps
            seed=data.seed,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        )
        return iter(data.loader(data.train, batch_sampler=sampler))


class ImageDataModule(pl.LightningDataModule):
    """Training, validation and test images.

    A batch is an `alps_exp.batch.Batch`. Training batches never end (stop by ``max_steps``) and are a function of seed
    and global step (see `StepKeyedBatchSampler`); validation, test and predict show every image once, in order. A
    training dataset is indexed by (index, key) and draws all its randomness from the key; the others are indexed by
    position. Datasets read their files on first use, and only those that a stage needs are used.

    Parameters
    ----------
    train, validation, test
        Datasets, or None; `validation` may be a dictionary of datasets, whose metrics are then logged by name.
    batch_size
        Images per batch and device. ``auto``: 32, of which a restoration takes as many as fit at a time.
    num_workers
        Number of loader processes; does not change results. ``auto``: `AUTO_WORKERS` for a GPU, none for a CPU, whose
        processors have enough to do.
    seed
        Seed of the training order and augmentation.
    root
        Folder that the datasets of a configuration refer to as ``${data.root}``.

    Raises
    ------
    ValueError
        If batch_size is below 1, or num_workers is no number of processes; in `setup`, if the stage needs a dataset
        that is None.
    """

    def __init__(
        self,
        train: TrainingImages | None = None,
        validation: ImageDataset | Mapping[str, ImageDataset] | None = None,
        test: ImageDataset | None = None,
        batch_size: int | Literal["auto"] = "auto",
        num_workers: int | Literal["auto"] = "auto",
        seed: int = 0,
        *,
        root: str | None = None,
    ) -> None:
        super().__init__()
        if num_workers != "auto" and not 0 <= num_workers <= MOST_PROCESSES:
            raise ValueError(f"num_workers must be from 0 to {MOST_PROCESSES}, got {num_workers}")
        self.train = train
        self.validation = validation
        self.test = test
        self.batch_size = AUTO_BATCH if batch_size == "auto" else check_count("batch_size", batch_size)
        self.is_auto = batch_size == "auto"
        self.num_workers = num_workers
        self.seed = seed
        self.root = root

    def setup(self, stage: str) -> None:
        """Look up the files that `stage` needs, so that a wrong path stops the job at its start."""
        given: dict[str, list[TrainingImages | ImageDataset]] = {
            "train": [] if self.train is None else [self.train],
            "validation": [*self.validation_parts.values()],
            "test": [] if self.test is None else [self.test],
        }
        for name in STAGES[stage]:
            if not given[name] and (stage, name) != ("fit", "validation"):
                raise ValueError(f"this data choice has no {name} images, which {stage} needs")
            for images in given[name]:
                len(images)

    @property
    def validation_parts(self) -> dict[str, ImageDataset]:
        """The validation datasets by name; a single one has the empty name."""
        if isinstance(self.validation, Mapping):
            return dict(self.validation)
        return {} if self.validation is None else {"": self.validation}

    def train_dataloader(self) -> _TrainingLoader:
        """Return the infinite training batches, starting at the trainer's global step."""
        return _TrainingLoader(self)

    def val_dataloader(self) -> list[DataLoader[Item]]:
        """Return a loader of the images of each of the `validation_parts`, in order."""
        return [self.loader(images) for images in self.validation_parts.values()]

    def test_dataloader(self) -> DataLoader[Item]:
        """Return the test images in order."""
        assert self.test is not None  # see `setup`
        return self.loader(self.test)

    def predict_dataloader(self) -> DataLoader[Item]:
        """Return the test images in order: the share of this process, or all if there are fewer images than processes.

        Batches report unreadable images as well, see `collate`.
        """
        assert self.test is not None  # see `setup`
        images = WithUnreadable(self.test)
        everything: Sampler[int] | None = None  # None: Lightning splits the images among the processes
        if self.trainer is not None and len(images) < self.trainer.world_size:
            everything = DistributedSampler(images, num_replicas=1, rank=0, shuffle=False)
        return self.loader(images, sampler=everything)

    def loader(
        self,
        images: TrainingImages | ImageDataset | WithUnreadable,
        sampler: Sampler[int] | None = None,
        batch_sampler: StepKeyedBatchSampler | None = None,
    ) -> DataLoader[Item]:
        """Return a loader of images whose workers ignore the signals meant for this process."""
        return DataLoader(
            cast("Dataset[Item]", images),  # of which a loader asks no more than length and items
            batch_size=1 if batch_sampler else self.batch_size,  # torch refuses another one beside a batch sampler
            sampler=sampler,
            batch_sampler=batch_sampler,
            num_workers=self._workers(),
            collate_fn=collate,
            worker_init_fn=_leave_signals_to_parent,
        )

    def _workers(self) -> int:
        """Return the number of loader processes of the trainer's device."""
        if self.num_workers != "auto":
            return self.num_workers
        on_gpu = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        return AUTO_WORKERS if on_gpu else 0


def _leave_signals_to_parent(worker: int) -> None:
    """Ignore signals that request a checkpoint or, under SLURM, a requeue: they reach all processes of the job."""
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
