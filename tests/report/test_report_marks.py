"""Where images are marked: the border of what was not measured, and the region that is enlarged."""

import numpy as np
import pytest

from alps_exp.report.marks import border, hidden_pixels, largest_region

RANDOM = np.random.default_rng(0)


def measured(mask, channels=3):
    return np.where(mask, RANDOM.normal(size=(channels, *mask.shape)), 0.0)


def test_the_border_is_the_sides_of_the_pixels_around_a_region():
    region = np.zeros((4, 5), bool)
    region[1, 2] = True
    lines = {tuple(map(tuple, line)) for line in border(region).tolist()}
    expected = {((1.5, 0.5), (2.5, 0.5)), ((1.5, 1.5), (2.5, 1.5)), ((1.5, 0.5), (1.5, 1.5)), ((2.5, 0.5), (2.5, 1.5))}
    assert lines == expected
    assert len(border(np.ones((4, 5), bool))) == 18  # the frame of the image


def test_what_a_box_or_a_line_hides_is_found_with_the_noise_of_the_rest():
    mask = np.ones((64, 48), bool)
    mask[10:30, 5:25] = mask[50, 3:40] = False
    np.testing.assert_array_equal(hidden_pixels(measured(mask), (3, 64, 48)), ~mask)


def test_a_pixel_of_which_a_channel_is_measured_is_not_hidden():
    measurement = measured(np.ones((64, 64), bool))
    measurement[0, :16] = 0
    assert hidden_pixels(measurement, (3, 64, 64)) is None


def test_of_a_scattered_mask_only_the_large_holes_are_marked():
    mask = np.random.default_rng(0).random((64, 64)) < 0.2
    assert hidden_pixels(measured(mask), (3, 64, 64)) is None
    mask[20:40, 10:50] = False
    found = hidden_pixels(measured(mask), (3, 64, 64))
    assert found[20:40, 10:50].all() and not (found & mask).any() and found.mean() < 0.25


@pytest.mark.parametrize(
    ("measurement", "shape"),
    [
        (None, (1, 64, 64)),
        (np.zeros((1, 32, 32)), (1, 64, 64)),
        (np.zeros((1, 64, 64), complex), (1, 64, 64)),
        (np.zeros((1, 64, 64)), (1, 64, 64)),
        (measured(np.ones((64, 64), bool), 1), (1, 64, 64)),
    ],
)
def test_other_measurements_and_none_hide_nothing(measurement, shape):
    assert hidden_pixels(measurement, shape) is None


def test_the_enlarged_region_is_where_the_sum_is_largest_also_at_the_border():
    values = np.zeros((40, 60))
    values[35:, 55:] = 1
    assert largest_region(values) == (30, 50, 10)
    assert largest_region(np.zeros((31, 60))) is None
