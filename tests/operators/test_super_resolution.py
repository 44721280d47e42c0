"""Super-resolution: down-sampling against block means and another resampler, and its step at full size; denoising."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from operator_cases import randn
from PIL import Image

from alps_exp.operators import Denoising, SuperResolution

FACTORS = [2, 4, 8]


@pytest.mark.parametrize("factor", FACTORS)
def test_average_is_the_mean_of_blocks(factor: int) -> None:
    x = randn(2, 3, 32, 16, seed=1)
    expected = x.reshape(2, 3, 32 // factor, factor, 16 // factor, factor).mean((3, 5))
    torch.testing.assert_close(SuperResolution(factor, 0.1).forward(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("factor", FACTORS)
def test_bicubic_equals_pillow_away_from_the_border(factor: int) -> None:
    x = randn(8 * factor, 10 * factor, seed=1)
    image = Image.fromarray(x.float().numpy())
    expected = np.asarray(image.resize((10, 8), Image.Resampling.BICUBIC))
    small = SuperResolution(factor, 0.1, "bicubic").forward(x[None, None])[0, 0]
    np.testing.assert_allclose(small[2:-2, 2:-2].numpy(), expected[2:-2, 2:-2], atol=1e-6)


@pytest.mark.parametrize("kind", ["average", "bicubic"])
@pytest.mark.parametrize("factor", FACTORS)
def test_periodic_shifts_by_the_factor_move_one_pixel(factor: int, kind: str) -> None:
    x, operator = randn(1, 1, 32, 16, seed=1), SuperResolution(factor, 0.1, kind)
    moved = operator.forward(x.roll((factor, -factor), (-2, -1)))
    torch.testing.assert_close(moved, operator.forward(x).roll((1, -1), (-2, -1)), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(operator.forward(torch.ones_like(x)), torch.ones_like(moved), rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", ["average", "bicubic"])
@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("t", [0.03, 1.0, 80.0])
def test_mean_solves_its_equation_at_full_size(factor: int, kind: str, t: float) -> None:
    operator, d = SuperResolution(factor, 0.05, kind), randn(1, 3, 64, 64, seed=1)
    y = randn(1, 3, 64 // factor, 64 // factor, seed=2)
    delta = operator.posterior_mean(d, y, t) - d
    left = operator.normal(delta) + (0.05 / t) ** 2 * delta
    right = operator.adjoint(y - operator.forward(d))
    torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-10)


def test_average_leaves_what_it_does_not_see() -> None:
    operator, d, y = SuperResolution(4, 0.05), randn(1, 1, 8, 8, seed=1).float(), randn(1, 1, 2, 2, seed=2).float()
    delta = operator.posterior_mean(d, y, 1.0) - d
    means = delta.reshape(2, 4, 2, 4).mean((1, 3))
    gain = 1 / (1 + 16 * 0.05**2)
    expected = gain * (y - operator.forward(d))[0, 0]
    torch.testing.assert_close(means, expected, rtol=1e-5, atol=1e-6)


def test_denoising_is_the_weighted_mean() -> None:
    d, y = randn(2, 3, 4, 5, seed=1), randn(2, 3, 4, 5, seed=2)
    torch.testing.assert_close(Denoising(0.3).posterior_mean(d, y, 0.6), (4 * y + d) / 5)


def test_bad_input() -> None:
    for factor in (1, 0, 2.5, "4"):
        with pytest.raises(ValueError, match="^factor.*whole.* 2"):
            SuperResolution(factor, 0.1)
    with pytest.raises(ValueError, match="^kind.*average.*bicubic.*'cubic'"):
        SuperResolution(2, 0.1, "cubic")
    for call in (SuperResolution(4, 0.1).forward, lambda x: SuperResolution(4, 0.1).measurement_shape(x.shape)):
        with pytest.raises(ValueError, match="4.* 6 pixels"):
            call(torch.zeros(1, 1, 8, 6))
