"""Conjugate gradients: the error bound, freezing, and failures."""

from __future__ import annotations

import pytest
import torch
from operator_cases import randn
from torch import Tensor

from alps_exp.operators import LinearOperator
from alps_exp.operators.cg import conjugate_gradients

SIZE = 400


def diagonal_system(seed: int, smallest: float = 1e-8) -> tuple[Tensor, Tensor]:
    """Eigenvalues (1, 1, SIZE) spread evenly over decades, and a right-hand side that excites them all."""
    values = torch.logspace(torch.tensor(smallest).log10().item(), 0, SIZE, dtype=torch.float64)[None, None]
    return values, values.sqrt() * randn(1, 1, SIZE, seed=seed)


@pytest.mark.parametrize("shift", [1e-7, 1e-4, 1e-2])
@pytest.mark.parametrize("tolerance", [1e-1, 1e-3, 1e-6])
def test_true_error_is_below_the_tolerance_but_not_far(shift: float, tolerance: float) -> None:
    values, b = diagonal_system(seed=1)
    x = conjugate_gradients(lambda v: values * v, b, shift, tolerance, 20_000)
    error = x - b / (values + shift)
    width = ((values + shift) * error**2).mean().sqrt()
    assert 0.01 * tolerance < width <= tolerance


def test_every_image_stops_on_its_own() -> None:
    values, b = diagonal_system(seed=1)
    shift = torch.tensor([1e-6, 1e-1, 1e-3], dtype=torch.float64)[:, None, None, None]
    batch = torch.stack([b, 5 * b.flip(-1), randn(1, 1, SIZE, seed=2)])
    together = conjugate_gradients(lambda v: values * v, batch, shift, 1e-2, 20_000)
    for index in range(3):
        one = slice(index, index + 1)
        alone = conjugate_gradients(lambda v: values * v, batch[one], shift[one], 1e-2, 20_000)
        torch.testing.assert_close(together[one], alone, rtol=1e-10, atol=1e-10)


def test_zero_and_exactly_solved_images() -> None:
    b = torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)])
    x = conjugate_gradients(lambda v: v, b, 0.5, 1e-6, 50)
    torch.testing.assert_close(x, b / 1.5)


def test_what_is_not_measured_at_all_is_solved_in_one_step() -> None:
    b = torch.ones(2, 1, 2, 2)
    torch.testing.assert_close(conjugate_gradients(lambda v: 0 * v, b, 0.5, 1e-6, 50), 2 * b)


def test_what_is_hardly_measured_does_not_stop_early() -> None:
    """The first step is 1 / shift but for rounding, while what is measured is not solved yet."""
    values, b, shift = torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[1.0, 3e-6]]]), 1e-4
    x = conjugate_gradients(lambda v: values * v, b, shift, 1e-3, 50)
    error = x.double() - b.double() / (values.double() + shift)
    assert ((values + shift) * error**2).mean().sqrt() <= 1e-3


def test_complex_systems() -> None:
    values, b = diagonal_system(seed=1)
    b = torch.complex(b, 2 * b.flip(-1))
    x = conjugate_gradients(lambda v: values * v, b, 1e-3, 1e-9, 20_000)
    torch.testing.assert_close(x, b / (values + 1e-3), rtol=1e-7, atol=1e-7)


def test_non_finite_input_names_the_images() -> None:
    b = torch.ones(2, 3, 1, 2, 2)
    b[1, 0, 0, 0, 0], b[1, 2, 0, 0, 0] = float("nan"), float("inf")
    with pytest.raises(FloatingPointError, match=r"finite.*\[3, 5\]"):
        conjugate_gradients(lambda v: v, b, 0.5, 1e-6, 50)


def test_iteration_limit() -> None:
    values, b = diagonal_system(seed=1)
    with pytest.raises(RuntimeError, match="17 iterations.*1 of 2"):
        conjugate_gradients(lambda v: values * v, torch.stack([b, 0 * b]), 1e-6, 1e-6, 17)


class Rows(LinearOperator):
    """A matrix that mixes the pixels of an image; it sets no tolerance of its own."""

    def __init__(self, matrix: Tensor, noise_std: float) -> None:
        super().__init__(noise_std)
        self.matrix = matrix

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(-3) @ self.matrix.mT).reshape(x.shape)

    def adjoint(self, y: Tensor) -> Tensor:
        return (y.flatten(-3) @ self.matrix).reshape(y.shape)


def test_an_operator_of_the_users_own_is_solved_to_a_small_part_of_the_posteriors_width() -> None:
    matrix, d, y = (randn(*shape, seed=seed) for seed, shape in enumerate([(64, 64), (1, 1, 8, 8), (1, 1, 8, 8)]))
    operator, t = Rows(matrix / 8, noise_std=0.1), 1.0
    precision = operator.matrix.mT @ operator.matrix / 0.1**2 + torch.eye(64, dtype=matrix.dtype) / t**2
    pull = operator.adjoint(y).flatten() / 0.1**2 + d.flatten() / t**2
    error = operator.posterior_mean(d, y, t).flatten() - torch.linalg.solve(precision, pull)
    assert (error @ precision @ error / 64).sqrt() <= 3e-3
