"""The batch of a run that leaves it open: what fits in memory, measured by a step, and fewer where it was too small."""

import logging

import pytest
import torch

from alps_exp.batch import AUTO_BATCH
from alps_exp.datasets import TensorImages
from alps_exp.errors import ImageError
from alps_exp.operators import Inpainting
from alps_exp.priors import Energy, smooth_gaussian
from alps_exp.restoration import Labels, Restoration, RestorationSettings
from alps_exp.restoration.batch_size import auto_batch_size, images_that_fit
from alps_exp.samplers import ALPS, GeometricSchedule

CPU, SAMPLES = torch.device("cpu"), 3


class SomeMemory:
    """Memory of which so much is free, where a step with an image takes 10."""

    def __init__(self, free):
        self.available = free

    def free(self):
        return self.available

    def peak_of(self, work):
        work()
        return 10


class Damaged(TensorImages):
    """Images whose first cannot be read."""

    def __getitem__(self, index):
        if index == 0:
            raise ImageError("damaged")
        return super().__getitem__(index)


def restoration(prior, sampler=None):
    operator = Inpainting(torch.ones(1, 1, 16, 16), 0.1)
    settings = RestorationSettings(Labels("task", "operator", "sampler"), SAMPLES, seed=0)
    return Restoration(prior, operator, sampler or ALPS(GeometricSchedule(3.0, 0.05, 5)), None, settings)


@pytest.mark.parametrize(
    ("free", "count"), [(5, 1), (24, 1), (25, 2), (99, 4), (100, 8), (390, 16), (4000, AUTO_BATCH)]
)
def test_the_largest_power_of_two_fits_in_four_fifths_of_the_memory(network, free, count):
    module = restoration(Energy(network(1)))
    images = TensorImages(torch.zeros(40, 1, 16, 16))
    assert images_that_fit(module, images, CPU, SomeMemory(free)) == count
    assert module.prior.calls.forward == module.prior.calls.vjp == SAMPLES  # a single step of a single image


def test_an_image_that_can_be_read_is_measured(network):
    module = restoration(Energy(network(1)))
    assert images_that_fit(module, Damaged(torch.zeros(2, 1, 16, 16)), CPU, SomeMemory(50)) == 4
    assert module.prior.calls.forward == SAMPLES
    assert images_that_fit(module, Damaged(torch.zeros(1, 1, 16, 16)), CPU, SomeMemory(50)) == AUTO_BATCH


def test_a_network_on_a_cpu_takes_one_image_at_a_time_and_a_closed_form_all(network):
    images = TensorImages(torch.zeros(2, 1, 16, 16))
    assert auto_batch_size(restoration(Energy(network(1))), images, CPU, 1) == 1
    assert auto_batch_size(restoration(smooth_gaussian(size=16)), images, CPU, 1) == AUTO_BATCH


@pytest.mark.cuda
def test_what_fits_in_a_gpu_is_a_power_of_two(network, gpu):
    images = TensorImages(torch.zeros(2, 1, 16, 16))
    assert auto_batch_size(restoration(Energy(network(1))), images, gpu, 1) == AUTO_BATCH


class SmallDevice(ALPS):
    """A sampler on a device that holds no more than three images at a time."""

    def __init__(self):
        super().__init__(GeometricSchedule(3.0, 0.05, 5))
        self.batches = []

    def __call__(self, prior, operator, y, *arguments, **options):
        self.batches.append(len(y))
        if len(y) > 3:
            raise torch.OutOfMemoryError("out of memory")
        return super().__call__(prior, operator, y, *arguments, **options)


def test_a_batch_that_is_too_large_is_halved_and_the_next_ones_with_it(caplog):
    torch.manual_seed(0)
    images = torch.randn(8, 1, 16, 16)
    batch = {"image": images, "image_id": [str(i) for i in range(8)]}
    sampler = SmallDevice()
    module = restoration(smooth_gaussian(size=16), sampler)
    with caplog.at_level(logging.WARNING):
        results = module.restore(batch) + module.restore(batch)
    assert sampler.batches == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    expected = restoration(smooth_gaussian(size=16)).restore(batch)
    for result, reference in zip(results, expected * 2, strict=True):
        assert result.records[0].image_id == reference.records[0].image_id
        assert result.records[0].psnr == pytest.approx(reference.records[0].psnr, abs=1e-3)
