"""Slices of tissue maps: where they stand, what they never read, and their contrasts."""

import numpy as np
import pytest
import torch

from alps_exp.datasets import TissueSlices, Warp, brain, tissues

SIZE = 24
STILL = Warp(zoom=(1, 1), stretch=0, rotation=0, shear=0, shift=0, elastic=0)


def maps():
    """Return a brain whose left is gray, whose middle is fluid and whose right is white, each 8 pixels wide."""
    fractions = np.zeros((3, brain.NUM_PLANES, 2 * SIZE, 2 * SIZE), np.float32)
    fractions[0, :, 12:36, 12:20] = fractions[1, :, 12:36, 28:36] = fractions[2, :, 12:36, 12:36] = 1
    return fractions


@pytest.fixture
def blocks(monkeypatch):
    """Let the maps be known ones, and return them."""
    fractions = maps()
    monkeypatch.setattr(tissues, "mni152_tissues", lambda size, view: fractions)
    return fractions


def magnitude(data, key):
    """Return the slice that a key gives before its contrast is bent, shaded and scaled."""
    rows, columns = np.mgrid[: 2 * SIZE, : 2 * SIZE].astype(np.float32)
    return data.magnitude(np.random.default_rng(key), [np.full_like(rows, 50), rows, columns])


def test_each_tissue_has_an_intensity_of_its_own(blocks):
    data = TissueSlices(SIZE, heads=0)
    slices = np.stack([magnitude(data, key) for key in range(300)])
    gray, fluid, white = (slices[:, 8:16, column] for column in (7, 12, 16))
    for tissue in (gray, fluid, white):
        assert np.ptp(tissue, axis=1).max() < 1e-6
        assert tissue[:, 0].mean() == pytest.approx(0.5, abs=0.05) and np.ptp(tissue[:, 0]) > 0.95
    for one, other in ((gray, white), (gray, fluid), (white, fluid)):
        assert 0.4 < (one > other).mean() < 0.6
    assert not slices[:, :5].any() and not slices[:, :, 19:].any()


def test_borders_are_sharpened_between_the_same_tissues(blocks):
    blocks[0, :, :, 19], blocks[2, :, :, 19] = 0.75, 1  # a quarter is fluid
    rng = np.random.default_rng(0)
    power, intensities = rng.uniform(*tissues.SHARPNESS), rng.uniform(0, 1, 3)
    gray = 0.75**power / (0.75**power + 0.25**power)
    expected = (intensities[0] + gray * intensities[0] + (1 - gray) * intensities[2]) / 2
    assert magnitude(TissueSlices(SIZE, heads=0), 0)[10, 9] == pytest.approx(expected, abs=1e-5)


def test_heads_are_shells_around_some_brains(blocks):
    some = [magnitude(TissueSlices(SIZE, heads=0.3), key)[9:15, :6].any() for key in range(300)]
    assert 0.22 < np.mean(some) < 0.38
    millimeters = brain.HEAD_VIEW / SIZE
    for key in range(20):
        head = magnitude(TissueSlices(SIZE, heads=1), key)
        scalp = np.flatnonzero(head[12] > 0.1)
        thickness = (6 - scalp[0]) * millimeters
        assert head[12, :6].any() and thickness < sum(high for _, high in tissues.SHELL) * np.exp(1)


def test_training_never_reads_the_held_out_slab(blocks):
    blocks[:, brain.HELD_OUT[0] : brain.HELD_OUT[1] + 1] = np.nan
    data = TissueSlices(SIZE)
    assert all(torch.isfinite(data[0, key]["image"].abs()).all() for key in range(200))
    low, high = brain.HELD_OUT
    near = brain.MARGIN + 1
    blocks[:, low - near : high + near + 1] = np.nan
    assert any(torch.isnan(data[0, key]["image"].abs()).any() for key in range(200))  # poison does show


def test_items_are_functions_of_the_key(blocks):
    data = TissueSlices(SIZE, num_images=5)
    item = data[3, 7]
    assert len(data) == 5 and item["image_id"] == "tissues_train003"
    assert item["image"].dtype == torch.complex64 and item["image"].abs().max() <= 1 + 1e-6
    assert torch.equal(item["image"], data[3, 7]["image"]) and not torch.equal(item["image"], data[3, 8]["image"])
    with pytest.raises(ValueError, match="index alone"):
        data[0]


def test_bad_share_of_heads():
    with pytest.raises(ValueError, match=r"heads.*\[0, 1\].* 1.5"):
        TissueSlices(heads=1.5)


def test_the_maps_lie_where_the_template_does():
    pytest.importorskip("nilearn", reason="needs the demo extra")
    gray, white, whole = tissues.mni152_tissues(SIZE, brain.BRAIN_VIEW)
    template = brain.mni152_volume(SIZE)
    assert whole.max() <= 1 and (gray + white).max() < 1.1
    inside = whole > 0.5
    assert np.mean(inside == (template > 0.1)) > 0.98
    assert template[white > 0.9].mean() > template[gray > 0.9].mean() > template[inside & (gray + white < 0.1)].mean()
