"""Images larger than the field of view: every other line of k-space holds what folds onto itself."""

from __future__ import annotations

import pytest
import torch
from operator_cases import BATCH, COILS, ETA, HEIGHT, WIDTH, randn, smooth_maps

from alps_exp.folding import Folding
from alps_exp.operators import MultiCoilMRI

COMPLEX = torch.complex128


@pytest.mark.parametrize(
    ("image_shape", "fov_shape"),
    [((6, 10), (6, 5)), ((7, 9), (4, 5)), ((6, 6), (6, 6)), ((5, 13), (5, 5)), ((8, 5), (3, 5)), ((3, 6), (3, 5))],
)
def test_parts_are_the_image_in_another_order(image_shape: tuple[int, int], fov_shape: tuple[int, int]) -> None:
    folding, x = Folding(image_shape, fov_shape), randn(2, 3, *image_shape, seed=0, dtype=COMPLEX)
    parts = folding.split(x)
    assert parts.shape[-2:] == fov_shape and torch.equal(folding.merge(parts), x)
    others = randn(*parts.shape, seed=1, dtype=COMPLEX)
    torch.testing.assert_close((parts.conj() * others).sum(), (x.conj() * folding.merge(others)).sum())


@pytest.mark.parametrize("fov", [4, 5])
@pytest.mark.parametrize("axis", [-2, -1])
def test_it_is_every_other_line_of_the_whole_k_space(axis: int, fov: int) -> None:
    whole = [HEIGHT, WIDTH]
    whole[axis] = 2 * fov
    maps = randn(BATCH, COILS, *whole, seed=0, dtype=COMPLEX)
    x = randn(BATCH, 1, *whole, seed=1, dtype=COMPLEX)
    full = MultiCoilMRI(torch.ones(1, 1, *whole), maps, ETA).forward(x)
    zero = whole[axis] // 2  # frequency zero is measured
    every_other = full.index_select(axis, torch.arange(zero % 2, whole[axis], 2)) * 2**0.5
    small = MultiCoilMRI(torch.ones(1, 1, *every_other.shape[-2:]), maps, ETA, folds=True)
    torch.testing.assert_close(small.forward(x), every_other)


def test_an_object_of_twice_the_field_of_view_is_unfolded_by_its_maps() -> None:
    x, maps = randn(1, 1, HEIGHT, WIDTH, seed=1, dtype=COMPLEX), smooth_maps(COMPLEX)[:1]
    operator = MultiCoilMRI(torch.ones(1, 1, HEIGHT, 4), maps, ETA, folds=True)
    torch.testing.assert_close(operator.solve(operator.adjoint(operator.forward(x)), 1e4), x, rtol=0, atol=1e-4)


def test_maps_of_another_size_than_the_mask_are_refused_unless_they_may_fold() -> None:
    maps, mask = smooth_maps(COMPLEX), torch.ones(1, 1, HEIGHT, WIDTH - 1)
    with pytest.raises(ValueError, match="mask of shape"):
        MultiCoilMRI(mask, maps, ETA)
    with pytest.raises(ValueError, match="smaller than k-space"):
        MultiCoilMRI(torch.ones(1, 1, HEIGHT, WIDTH + 1), maps, ETA, folds=True)
    assert MultiCoilMRI(torch.ones(1, 1, 1, WIDTH), maps, ETA, folds=True).folding is None
