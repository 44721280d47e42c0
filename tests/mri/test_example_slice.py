"""The embedded slice, from its file to a reconstruction."""

import numpy as np
import pytest
import torch

from alps_exp.mri import ExampleSlice, LowResolutionMaps
from alps_exp.mri.example_slice import FILE
from alps_exp.operators import MultiCoilMRI
from alps_exp.priors import NullPrior
from alps_exp.reconstruction import SENSE, ZeroFilled


@pytest.fixture(scope="module")
def item():
    return ExampleSlice(LowResolutionMaps(24))[0]


def test_it_is_the_published_slice(item):
    assert item["measurement"].shape == item["sensitivity_maps"].shape == (8, 230, 180)
    assert item["mask"].sum() == 5148 and "image" not in item  # 12.4 % of k-space
    measured = (item["measurement"] != 0).all(0)
    assert torch.equal(measured, item["mask"][0] > 0)
    assert item["mask"][0, 115 - 12 : 115 + 12, 90 - 12 : 90 + 12].all()


def test_its_samples_are_those_of_the_tutorial(item):
    """Whitening keeps the energy of the samples in units of their noise: 8 coils of 5,148 samples, 0.0124 each."""
    energy = (item["measurement"].abs() / item["noise_std"]).square().sum()
    raw = np.load(FILE)["samples"]
    assert raw.shape == (8, 5148) and raw.dtype == np.complex64
    assert energy.sqrt().item() == pytest.approx(np.linalg.norm(raw) / 0.0124, rel=0.25)


def test_a_reconstruction_explains_it(item):
    batch = {name: item[name][None] for name in ("measurement", "sensitivity_maps", "mask")}
    operator = MultiCoilMRI(batch["mask"], batch["sensitivity_maps"], item["noise_std"])
    count = operator.measured_count(batch["measurement"])
    misfits = [
        2 * operator.misfit(method(NullPrior(), operator, batch["measurement"]).mean, batch["measurement"]) / count
        for method in (ZeroFilled(), SENSE(1e-3))
    ]
    assert misfits[0] > 3 and 0.3 < misfits[1] < 1.5


def test_there_is_one():
    images = ExampleSlice(LowResolutionMaps(24))
    assert len(images) == 1 and images.image_ids == ["kspace_example"]
    assert images.index != ExampleSlice(LowResolutionMaps(16)).index
    with pytest.raises(IndexError, match="1"):
        images[1]
