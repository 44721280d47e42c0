"""Inpainting: closed form and bad input."""

from __future__ import annotations

import pytest
import torch
from operator_cases import randn

from alps_exp.operators import Inpainting


def test_forward_selects_measured_pixels_for_any_mask_dtype() -> None:
    mask = torch.zeros(1, 1, 4, 5)
    mask[..., 1:3, 2] = 1
    x = randn(2, 3, 4, 5, seed=1, dtype=torch.float32)
    expected = torch.zeros_like(x)
    expected[..., 1:3, 2] = x[..., 1:3, 2]
    for dtype in (torch.bool, torch.uint8, torch.float32, torch.float64):
        assert torch.equal(Inpainting(mask.to(dtype), 0.1).forward(x), expected)


def test_posterior_mean_weighs_data_and_prior_by_their_variances() -> None:
    mask = torch.tensor([[[[1.0, 0.0]]]])
    mean = Inpainting(mask, 0.5).posterior_mean(torch.tensor([[[[2.0, 3.0]]]]), torch.tensor([[[[1.0, 0.0]]]]), 1.0)
    torch.testing.assert_close(mean, torch.tensor([[[[(1.0 / 0.25 + 2.0) / (1 / 0.25 + 1), 3.0]]]]))


def test_unmeasured_entries_of_the_measurement_are_not_read() -> None:
    mask = torch.tensor([[[[1.0, 0.0]]]])
    operator, y = Inpainting(mask, 0.5), torch.tensor([[[[1.0, float("nan")]]]])
    mean = operator.posterior_mean(torch.zeros(1, 1, 1, 2), y, 1.0)
    torch.testing.assert_close(mean, torch.tensor([[[[0.8, 0.0]]]]))
    torch.testing.assert_close(operator.misfit(mean, y), torch.tensor([0.04 / 0.5]))


def test_bad_masks() -> None:
    with pytest.raises(ValueError, match=r"^mask.* 4 dim.*\(4, 4\)$"):
        Inpainting(torch.ones(4, 4), 0.1)
    with pytest.raises(ValueError, match="^mask.*0 and 1"):
        Inpainting(torch.full((1, 1, 4, 4), 0.5), 0.1)
    with pytest.raises(ValueError, match="^mask.*0 and 1"):
        Inpainting(torch.full((1, 1, 4, 4), float("nan")), 0.1)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 3, 4, 4), (2, 3, 4, 4)])
def test_mask_must_fit_the_image(shape: tuple[int, ...]) -> None:
    operator = Inpainting(torch.ones(3, 1, 4, 4), 0.1)
    with pytest.raises(ValueError, match=r"^mask.*\(3, 1, 4, 4\).*\("):
        operator.forward(torch.zeros(shape))
