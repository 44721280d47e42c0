"""Warnings of settings that do not fit the images, in an order that no good image meets."""

import pytest
import torch

from alps_exp.evaluation import setting_warnings

SCALES = (2.5, 0.3, 0.03)


def image(std=0.4, size=64, **settings):
    """Return an image of given standard deviation, with both parts if it is complex."""
    return std * torch.randn(1, size, size, generator=torch.Generator().manual_seed(0), **settings)


def test_what_fits_is_not_warned_of():
    assert setting_warnings(image(), SCALES, 0.05, image_size=(64, 64)) == []
    assert setting_warnings(image(dtype=torch.complex64), SCALES, 1.5) == []  # k-space has units of its own
    assert setting_warnings(image() + 10, SCALES, None) == []  # an offset is no spread


@pytest.mark.parametrize(("factor", "warned"), [(1.99, 0), (2.15, 1)])
def test_the_start_is_measured_by_the_standard_deviation_of_each_part(factor, warned):
    """3 standard deviations of 0.4 are 1.2; a complex image of 0.4 sqrt(2) has 0.4 in each part."""
    for dtype in (torch.float32, torch.complex64):
        x = image(dtype=dtype) * (2**0.5 if dtype.is_complex else 1)
        assert len(setting_warnings(factor * x, SCALES, None)) == warned


def test_the_end_is_measured_by_the_peak_of_the_image_or_its_volume():
    dim = image(std=0.02).clamp(-0.1, 0.1)
    assert setting_warnings(dim, SCALES, None) == ["sigma_min 0.03 is above an eighth of the image's peak"]
    assert setting_warnings(dim, SCALES, None, peak=1.0) == []


def test_size_and_noise_are_told_with_their_numbers():
    assert setting_warnings(image(size=128), SCALES, 25.0, image_size=(64, 64)) == [
        "images of 128 x 128 pixels, a model of 64 x 64",
        "noise_std 25 exceeds the range [-1, 1] of images: 25 of 255 levels is 0.196",
    ]
