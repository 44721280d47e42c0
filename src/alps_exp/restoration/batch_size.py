"""How many images of a run are restored at a time, where the request leaves it open."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, Protocol

import torch
from lightning_fabric.utilities import move_data_to_device

from alps_exp.batch import AUTO_BATCH, Batch, ImageDataset
from alps_exp.datasets.batches import WithUnreadable, collate
from alps_exp.restoration.cost import MIB
from alps_exp.restoration.measuring import measure
from alps_exp.restoration.module import Restoration
from alps_exp.restoration.sharing import SAMPLING_ERRORS
from alps_exp.samplers import Sampler
from alps_exp.samplers.problem import State

log = logging.getLogger(__name__)
SHARE = 0.8  # of the free memory, of which the allocator loses some to blocks of other sizes


class Memory(Protocol):
    """The memory of a device, in bytes."""

    def free(self) -> int:
        """Return how much is free for tensors."""

    def peak_of(self, work: Callable[[], None]) -> int:
        """Do the work, and return how much more than before it took at most at a time."""


class GPUMemory:
    """The memory of a GPU.

    Parameters
    ----------
    device
        The GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def free(self) -> int:
        """Return how much is free, what PyTorch keeps without need included."""
        kept = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return torch.cuda.mem_get_info(self.device)[0] + kept

    def peak_of(self, work: Callable[[], None]) -> int:
        """Do the work, and return how much more than before it took at most at a time."""
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        work()
        return torch.cuda.max_memory_allocated(self.device) - before


def auto_batch_size(module: Restoration, images: ImageDataset, device: torch.device, processes: int) -> int:
    """Return the number of images in a batch of a run that leaves it open.

    Without a network it is `AUTO_BATCH`. On a CPU, the samples of one image fill a batch of a network, and each image
    is then saved before the next begins; so where several processes share an image. On a GPU it is what fits.

    Parameters
    ----------
    module
        What restores the images.
    images
        The images.
    device, processes
        Where it restores them.
    """
    if next(module.prior.parameters(), None) is None:
        return AUTO_BATCH
    if device.type == "cpu" or len(images) < processes:
        return 1
    if device.type != "cuda":
        return AUTO_BATCH  # other devices do not tell their peak
    module.to(device)
    return images_that_fit(module, images, device, GPUMemory(device))


def images_that_fit(module: Restoration, images: ImageDataset, device: torch.device, memory: Memory) -> int:
    """Return how many images a device holds at a time: a power of two, at most `AUTO_BATCH`.

    One step of the sampler is taken with the first image that can be read, all its samples included, and its peak
    counted for each image of a batch.
    """
    items = map(WithUnreadable(images).__getitem__, range(len(images)))
    if (first := next((item for item in items if "unreadable" not in item), None)) is None:
        return AUTO_BATCH
    batch = move_data_to_device(collate([first]), device)
    peak, free = memory.peak_of(lambda: _first_step(module, batch)), memory.free()
    count = 1
    while 2 * count <= AUTO_BATCH and 2 * count * peak <= SHARE * free:
        count *= 2
    log.info("data.batch_size=auto: %d, for an image takes %.0f of %.0f MiB", count, peak / MIB, free / MIB)
    return count


class _Enough(Exception):
    """A first step has been taken."""


def _stop(state: State) -> NoReturn:
    raise _Enough


def _first_step(module: Restoration, batch: Batch) -> None:
    """Take a step with an image; if that fails, so it will when the image is restored, and be recorded."""
    settings, sampler = module.settings, module.sampler
    assert isinstance(sampler, Sampler)
    measured = measure(module.operator, batch, settings.seed)
    with suppress(_Enough, *SAMPLING_ERRORS):
        sampler(
            module.prior,
            measured.operator,
            measured.y,
            settings.num_samples,
            settings.seed,
            batch["image_id"],
            callbacks=[_stop],
        )
