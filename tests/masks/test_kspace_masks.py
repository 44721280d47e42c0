"""Masks of k-space: Poisson discs, and fixed ones from a file."""

import h5py
import numpy as np
import pytest
import torch
from sigpy.mri import samp

from alps_exp.masks import FileMask, PoissonMask


def batch(*image_ids, height=48, width=40):
    return {"image": torch.zeros(len(image_ids), 1, height, width), "image_id": list(image_ids)}


@pytest.mark.parametrize(
    ("shape", "acceleration", "center_fraction"),
    [((48, 40), 2, 0.1), ((128, 128), 6, 0.08), ((64, 64), 4, 0.16), ((64, 64), 8, 0.04), ((61, 97), 5, 0.1)],
)
def test_every_poisson_disc_has_a_sampled_center_no_corners_and_the_acceleration(shape, acceleration, center_fraction):
    ids = list(map(str, range(20)))
    masks = PoissonMask(acceleration, center_fraction)(batch(*ids, height=shape[0], width=shape[1]))[:, 0]
    assert torch.all(masks.sum((1, 2)) == round(masks[0].numel() / acceleration))
    assert set(masks.unique().tolist()) == {0.0, 1.0} and len({mask.numpy().tobytes() for mask in masks}) == len(ids)
    rows, columns = (slice(n // 2 - c, n // 2 + c) for n, c in zip(shape, center(shape, center_fraction), strict=True))
    assert torch.all(masks[:, rows, columns] == 1)
    far = np.add.outer(*(((np.arange(n) - n / 2) / (n / 2)) ** 2 for n in shape)) > 1.6
    assert masks[:, far].sum() == 0


def center(shape, fraction):
    return [round(fraction * n / 2) for n in shape]


def test_the_search_for_a_poisson_disc_is_made_once_for_a_size(monkeypatch):
    drawn = []
    draw = samp._poisson
    monkeypatch.setattr(samp, "_poisson", lambda *arguments: drawn.append(arguments) or draw(*arguments))
    mask = PoissonMask(6)
    mask(batch("0", height=64, width=64))
    first = len(drawn)
    mask(batch(*map(str, range(1, 41)), height=64, width=64))
    assert len(drawn) - first < 2 * 40 and first < 10


def test_poisson_discs_thin_out_and_keep_apart():
    masks = PoissonMask(6, 0.0)(batch(*map(str, range(12)), height=64, width=64))
    rows, columns = np.mgrid[:64, :64] - 32
    radius = torch.from_numpy(np.hypot(rows, columns))
    inner, outer = (masks[:, 0, ring].mean() for ring in (radius < 8, (radius > 24) & (radius < 31)))
    assert inner > 2 * outer
    assert masks[:, 0, radius > 33].sum() == 0
    beside = (masks * masks.roll(1, -1))[:, 0, (radius > 24) & (radius < 31)].mean()
    assert beside < outer**2 / 3, "scattered points would be neighbors that often"


def test_a_poisson_disc_is_keyed_by_image_id_and_seed_alone():
    np.random.seed(5)
    expected_state = np.random.get_state()[1].copy()
    alone, together = PoissonMask(4)(batch("b")), PoissonMask(4)(batch("a", "b"))
    assert torch.equal(alone[0], together[1])
    assert not torch.equal(PoissonMask(4, seed=1)(batch("b")), alone)
    assert np.array_equal(np.random.get_state()[1], expected_state)


def test_impossible_poisson_discs_are_refused():
    with pytest.raises(ValueError, match="50.*38.*80.*0.2"):
        PoissonMask(50, 0.2)(batch("a"))
    with pytest.raises(ValueError, match="1.1.*58.*8 x 8"):
        PoissonMask(1.1)(batch("a", height=8, width=8))
    with pytest.raises(ValueError, match="acceleration.*1"):
        PoissonMask(1)


def test_columns_of_a_file_serve_all_rows(tmp_path):
    columns = np.arange(40) % 4 == 0
    np.save(tmp_path / "mask.npy", columns)
    with h5py.File(tmp_path / "mask.h5", "w") as file:
        file["kspace"], file["mask"] = np.zeros(3), columns
    for suffix in ("npy", "h5"):
        mask = FileMask(str(tmp_path / f"mask.{suffix}"))(batch("a"))
        assert torch.equal(mask, torch.from_numpy(columns).float().expand(1, 1, 48, 40))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["kspace"] = np.zeros(3)
    with pytest.raises(ValueError, match="other.h5"):
        FileMask(str(tmp_path / "other.h5"))(batch("a"))
