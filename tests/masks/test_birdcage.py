"""Birdcage maps."""

import numpy as np
import pytest
import sigpy.mri
import torch

from alps_exp.masks import BirdcageMaps
from alps_exp.masks.birdcage import birdcage


def test_maps_are_sigpys_scaled_to_unit_sum_of_squares():
    maps = BirdcageMaps(num_coils=6)({"image": torch.zeros(2, 1, 12, 10)})
    assert maps.shape == (2, 6, 12, 10)
    assert maps.dtype == torch.complex64
    np.testing.assert_allclose(maps.abs().square().sum(1).numpy(), 1, atol=1e-6)
    published = sigpy.mri.birdcage_maps((6, 12, 10))
    expected = published / np.linalg.norm(published, axis=0)
    np.testing.assert_allclose(maps[0].numpy(), expected, atol=1e-6)
    assert torch.equal(maps[0], maps[1])


def test_one_coil_at_least():
    with pytest.raises(ValueError, match="num_coils.* 1.* 0"):
        BirdcageMaps(0)


@pytest.mark.parametrize("shape", [(1, 5, 7), (8, 64, 64), (15, 33, 48)])
def test_maps_are_sigpys_to_the_last_bit(shape):
    assert np.array_equal(birdcage(*shape), sigpy.mri.birdcage_maps(shape))
