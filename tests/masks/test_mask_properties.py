"""Over random sizes, rates and seeds: what a rule promises to measure, and a mask for each image alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alps_exp.masks import BoxMask, CartesianMask1D, CartesianMask2D, MaskProduct, PoissonMask, RandomMask

SIDES = st.integers(1, 40)
SEEDS = st.integers(0, 2**31)
IMAGE_ID = st.text("ab/é脳\0", max_size=4)
IDS = st.lists(IMAGE_ID, min_size=1, max_size=4)
ACCELERATIONS = st.floats(1, 20)
CENTERS = st.floats(0, 0.5)
several = settings(deadline=None, max_examples=50, derandomize=True)


def batch(ids, height, width):
    return {"image": torch.zeros(len(ids), 1, height, width), "image_id": ids}


def masks_of(mask, ids, height, width):
    return mask(batch(ids, height, width))[:, 0].numpy()


@several
@given(st.floats(0, 1), st.floats(0, 1), IDS, SIDES, SIDES, SEEDS)
def test_random_pixels_drop_their_fraction_or_one_in_its_range(one, other, ids, height, width, seed):
    low, high = sorted((one, other))
    pixels = height * width
    exact = pixels - masks_of(RandomMask(low, seed), ids, height, width).sum((1, 2))
    ranged = pixels - masks_of(RandomMask([low, high], seed), ids, height, width).sum((1, 2))
    assert np.all(exact == round(low * pixels))
    assert np.all((round(low * pixels) <= ranged) & (ranged <= round(high * pixels)))


@several
@given(st.data(), IDS, SIDES, SIDES, SEEDS, st.sampled_from(["center", "random"]))
def test_a_box_is_whole_within_its_sizes_and_margin(data, ids, height, width, seed, position):
    low, high = sorted(data.draw(st.lists(st.integers(1, min(height, width)), min_size=2, max_size=2)))
    margin = data.draw(st.integers(0, (min(height, width) - high) // 2))
    for box in masks_of(BoxMask([low, high], position, margin, inverted=True, seed=seed), ids, height, width):
        rows, columns = (np.flatnonzero(box.any(axis)) for axis in (1, 0))
        assert box.sum() == len(rows) * len(columns) and box[np.ix_(rows, columns)].all()
        for found, side in ((rows, height), (columns, width)):
            assert low <= len(found) <= high and margin <= found[0] and found[-1] < side - margin


def check_center(masks, height, width):
    rows, columns = (slice(n // 2 - c // 2, n // 2 - c // 2 + c) for n, c in (height, width))
    assert np.all(masks[:, rows, columns] == 1)


@several
@given(ACCELERATIONS, CENTERS, st.sampled_from(["random", "equispaced"]), IDS, SIDES, SIDES, SEEDS)
def test_columns_are_the_acceleration_with_their_center_or_refused(
    acceleration, center, kind, ids, height, width, seed
):
    mask, kept, in_center = (
        CartesianMask1D(acceleration, center, kind, seed),
        round(width / acceleration),
        round(center * width),
    )
    if kept < max(in_center, 1):
        with pytest.raises(ValueError):
            masks_of(mask, ids, height, width)
        return
    masks = masks_of(mask, ids, height, width)
    assert np.all(masks.sum(2) == kept) and np.all(masks == masks[:, :1])
    check_center(masks, (height, height), (width, in_center))


@several
@given(ACCELERATIONS, CENTERS, IDS, SIDES, SIDES, SEEDS)
def test_points_are_the_acceleration_with_their_center_or_refused(acceleration, center, ids, height, width, seed):
    mask, kept = CartesianMask2D(acceleration, center, seed), round(height * width / acceleration)
    sides = round(center * height), round(center * width)
    if kept < max(sides[0] * sides[1], 1):
        with pytest.raises(ValueError):
            masks_of(mask, ids, height, width)
        return
    masks = masks_of(mask, ids, height, width)
    assert np.all(masks.sum((1, 2)) == kept)
    check_center(masks, (height, sides[0]), (width, sides[1]))


@settings(deadline=None, max_examples=6, derandomize=True)
@given(st.floats(2, 8), st.floats(0, 0.2), st.integers(24, 36), st.integers(24, 36), SEEDS)
def test_poisson_discs_are_the_acceleration_with_their_center(acceleration, center, height, width, seed):
    masks = masks_of(PoissonMask(acceleration, center, seed), ["a", "b"], height, width)
    assert np.all(masks.sum((1, 2)) == round(height * width / acceleration))
    check_center(masks, *((n, 2 * round(center * n / 2)) for n in (height, width)))


@st.composite
def masks(draw):
    """Draw a mask that fits images of at least 8 x 8."""
    seed, acceleration = draw(SEEDS), draw(st.floats(1, 8))
    box = BoxMask(draw(st.sampled_from([3, [2, 5]])), "random", draw(st.integers(0, 1)), draw(st.booleans()), seed)
    pixels = RandomMask(draw(st.sampled_from([0.5, [0.2, 0.9]])), seed)
    kinds = [box, pixels, MaskProduct([box, pixels], seed), CartesianMask2D(acceleration, 0.1, seed)]
    kinds += [CartesianMask1D(acceleration, 0.1, kind, seed) for kind in ("random", "equispaced")]
    return draw(st.sampled_from(kinds))


@several
@given(masks(), IDS, IDS, IMAGE_ID, st.integers(8, 24), st.integers(8, 24))
def test_the_mask_of_an_image_is_the_same_in_every_batch(mask, before, after, image_id, height, width):
    alone = masks_of(mask, [image_id], height, width)[0]
    assert np.array_equal(masks_of(mask, [*before, image_id, *after], height, width)[len(before)], alone)
