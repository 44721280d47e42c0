"""Golden-angle spokes on the grid."""

import math

import numpy as np
import pytest
import torch

from alps_exp.masks import RadialMask
from alps_exp.masks.radial import GOLDEN_ANGLE

SIZES = [(64, 64), (48, 80), (33, 65)]


def draw(spokes, size, seed=0):
    return RadialMask(spokes).draw(np.random.default_rng(seed), *size)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_spoke_is_an_unbroken_line_through_zero_frequency_from_end_to_end(size):
    for seed in range(8):
        mask = draw(1, size, seed)
        rows, columns = np.nonzero(mask)
        assert mask[size[0] // 2, size[1] // 2] == 1
        angle = math.atan2(*(np.ptp(each) / n for each, n in zip((rows, columns), size, strict=True)))
        reach = np.hypot(*((each - n // 2) / (n / 2) for each, n in zip((rows, columns), size, strict=True))).max()
        assert reach > 0.93 and 0 <= angle <= math.pi / 2
        # Neighbors along the longer direction: a gap would leave a row and a column without a sample.
        assert max(np.diff(np.unique(rows)).max(initial=1), np.diff(np.unique(columns)).max(initial=1)) == 1


def test_spokes_lie_a_golden_angle_apart():
    """The angles of the samples at the border of two spokes differ by 111.2 degrees, on lines 68.8 degrees."""
    assert math.degrees(GOLDEN_ANGLE) == pytest.approx(111.246, abs=1e-3)
    rows, columns = np.nonzero(draw(2, (512, 512)))
    y, x = rows - 256, columns - 256
    far = np.hypot(y, x) > 240
    angles = np.sort(np.degrees(np.arctan2(y[far], x[far])) % 180)
    gaps = np.diff(angles)
    apart = gaps.max() if gaps.max() < 90 else 180 - gaps.max()
    assert apart == pytest.approx(68.75, abs=1)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_center_is_full_and_the_corners_are_empty(size):
    mask = draw(40, size)
    rows, columns = (n // 2 for n in size)
    assert mask[rows - 3 : rows + 4, columns - 3 : columns + 4].all()
    places = [(np.arange(n) - n // 2) / (n / 2) for n in size]
    assert not mask[np.hypot(places[0][:, None], places[1]) > 1.1].any()


def test_more_spokes_measure_more_and_all_that_fewer_do():
    few, more = draw(10, (64, 64)), draw(30, (64, 64))
    assert (more >= few).all() and 0.1 < few.mean() < 0.2 and 0.3 < more.mean() < 0.5


def test_the_mask_of_an_image_is_its_own():
    batch = {"image": torch.zeros(2, 1, 32, 32), "image_id": ["a", "b"]}
    both, alone = RadialMask(5)(batch), RadialMask(5)({"image": torch.zeros(1, 1, 32, 32), "image_id": ["b"]})
    assert torch.equal(both[1:], alone) and not torch.equal(both[0], both[1])
    with pytest.raises(ValueError, match="0"):
        RadialMask(0)
