"""Which truths are flagged: those that do not explain their own k-space, and no others."""

import numpy as np
import pytest
from phantoms import NOISE, kspace_of, to_kspace

from alps_exp.mri import EspiritMaps
from alps_exp.mri.fourier import to_image
from alps_exp.mri.truth import check_truth

ALL = np.ones((64, 64), bool)


def check(kspace, maps, noise=NOISE):
    """Return the check of the combined image, for maps that are known."""
    return check_truth(
        kspace / noise, maps, (maps.conj() * to_image(kspace)).sum(0) / noise, np.ones(maps.shape[1:], bool)
    )


@pytest.mark.parametrize("coils", [2, 4, 8, 32])
@pytest.mark.parametrize("noise", [0.002, 0.02, 0.2])
def test_the_misfit_of_a_truth_is_what_noise_alone_leaves(coils, noise):
    kspace, _, maps = kspace_of(64, 64, coils, noise)
    found = check(kspace, maps, noise)
    assert found.misfit == pytest.approx(1, abs=0.05) and found.residual < 0.2 and found.is_sound


def test_a_residual_is_found_where_it_is():
    """With one of two equal coils, a corner is explained by half of its energy."""
    kspace, image, maps = kspace_of(64, 64, 2, noise=1e-4)
    bright = np.zeros((64, 64))
    bright[:16, 48:] = 1
    images = to_image(kspace) + bright
    wrong = maps.copy()
    wrong[:, :16, 48:] = np.array([1, 0])[:, None, None]
    found = check(to_kspace(images), wrong, 1e-4)
    assert found.residual == pytest.approx(np.sqrt(0.5), abs=0.01) and not found.is_sound
    assert found.region == "rows 0-15, columns 48-63"


@pytest.mark.parametrize(("factor", "ratio"), [(1.5, 1 / 2.25), (1 / 1.5, 2.25)])
def test_noise_that_is_off_by_half_is_flagged(factor, ratio):
    kspace, _, maps = kspace_of(64, 64, 8)
    found = check(kspace, maps, factor * NOISE)
    assert found.misfit == pytest.approx(ratio, rel=0.05) and not found.is_sound


def test_a_folded_field_of_view_is_flagged_with_one_set_of_maps():
    kspace, _, _ = kspace_of(96, 96, 8)
    folded = np.ascontiguousarray(kspace[..., ::2])  # the object is 0.7 of the view wide, and folds over itself
    maps = EspiritMaps()((folded / NOISE).astype(np.complex64), np.ones(folded.shape[1:], bool))
    assert not check(folded, maps).is_sound
    whole = EspiritMaps()((kspace / NOISE).astype(np.complex64), np.ones(kspace.shape[1:], bool))
    assert check(kspace, whole).is_sound


def test_a_single_coil_fits_anything():
    kspace, _, maps = kspace_of(64, 64, 1)
    assert check_truth(kspace, maps, to_image(kspace)[0], ALL) is None


def test_padding_is_no_residual():
    kspace, _, maps = kspace_of(64, 64, 8)
    measured = ALL.copy()
    measured[:, :6] = measured[:, -6:] = False
    kspace = kspace * measured / NOISE
    found = check_truth(kspace, maps, (maps.conj() * to_image(kspace)).sum(0), measured)
    assert found.misfit == pytest.approx(1, abs=0.1) and found.is_sound
