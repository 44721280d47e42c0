"""An object that exceeds the field of view is unfolded where the coils tell its points apart, and flagged elsewhere."""

import numpy as np
import pytest
import torch
from phantoms import kspace_of, to_kspace

from alps_exp.mri import ArrayVolume, EspiritMaps
from alps_exp.mri.fourier import to_image
from alps_exp.mri.preparation import PreparationSettings, prepare
from alps_exp.operators import MultiCoilMRI

SIDE = 96


def prepared(folder, slices, **settings):
    """Return what is prepared of slices (coils, H, W)."""
    np.save(folder / "kspace.npy", np.stack(slices).astype(np.complex64))
    volume = ArrayVolume(folder / "kspace.npy", axes=["slice", "coil", "row", "column"])
    return prepare(volume, PreparationSettings(ArrayVolume, EspiritMaps(**settings), "auto", True, {}))


def error(found, image):
    """Return the relative squared error of a magnitude image, up to its scale."""
    found, image = np.abs(found), np.abs(image)
    found = found * (found * image).sum() / (found**2).sum()
    return ((found - image) ** 2).sum() / (image**2).sum()


def narrow(kspace, width):
    """Return k-space of a field of view of `width` columns, which need not divide the object's."""
    images = to_image(kspace)
    start = images.shape[-1] // 2 - width // 2
    padded = np.pad(images, ((0, 0), (0, 0), (-start % width, 0)))
    padded = np.pad(padded, ((0, 0), (0, 0), (0, -padded.shape[-1] % width)))
    return to_kspace(padded.reshape(*images.shape[:2], -1, width).sum(-2))


@pytest.fixture(scope="module")
def whole():
    """K-space of 8 coils that tell left from right, but not top from bottom; the image, 0.7 of the view wide."""
    return kspace_of(SIDE, SIDE, 8, noise=0.01)[:2]


@pytest.mark.parametrize("axis", ["columns", "rows"])
def test_every_other_line_gives_the_whole_image(whole, axis, tmp_path):
    kspace, image = whole
    slices = [kspace[..., ::2]]
    if axis == "columns":
        slices.append(kspace_of(SIDE, SIDE, 8, noise=0.01, seed=1)[0][..., ::2])
    else:
        slices, image = [one.swapaxes(-1, -2) for one in slices], image.T
    found = prepared(tmp_path, slices)
    assert found.image.shape == (len(slices), 1, SIDE, SIDE) and found.recon_shape == (SIDE, SIDE)
    assert all(error(one[0], image) < 0.01 for one in found.image)
    # The squared sensitivities sum to 1; an orthonormal transform of every other sample has images of 1 / sqrt(2).
    values, bright = found.source_scale * np.abs(found.image[:, 0]), np.abs(image) > 0.5
    assert values[:, bright].sum(-1) / np.abs(image)[bright].sum() == pytest.approx(np.sqrt(0.5), rel=0.01)
    assert all(check.misfit == pytest.approx(1, abs=0.1) and check.is_sound for check in found.checks)
    assert any(f"field of view along the {axis}" in remark and "96 x 96" in remark for remark in found.remarks)


def test_a_field_of_view_that_is_a_little_too_narrow(whole, tmp_path):
    kspace, image = whole
    found = prepared(tmp_path, [narrow(kspace, 60)])
    assert found.image.shape == (1, 1, SIDE, 120)
    beyond = (120 - SIDE) // 2
    assert error(found.image[0, 0, :, beyond:-beyond], image) < 0.01
    assert np.abs(found.image[0, 0, :, [*range(beyond), *range(-beyond, 0)]]).max() < 0.1


def test_its_k_space_gives_the_image_back(whole, tmp_path):
    """The operator of the prepared maps and mask is the one that the image was combined by."""
    found = prepared(tmp_path, [whole[0][..., ::2]])
    mask, maps, y, image = map(
        torch.from_numpy, (found.mask[:, None].astype(np.float32), found.sensitivity_maps, found.kspace, found.image)
    )
    operator = MultiCoilMRI(mask, maps, found.noise_std, folds=True)
    torch.testing.assert_close(operator.solve(operator.adjoint(y), 1e3), image, rtol=0, atol=1e-3)


@pytest.mark.parametrize("coils", [2, 4, 16])
@pytest.mark.parametrize("shape", [(64, 64), (96, 64), (120, 90)])
def test_an_object_within_the_field_of_view_is_not_unfolded(coils, shape, tmp_path):
    found = prepared(tmp_path, [kspace_of(*shape, coils)[0]])
    assert found.image.shape[2:] == shape and found.checks[0].is_sound


def test_what_the_coils_do_not_tell_apart_is_flagged(whole, tmp_path):
    """Top and bottom have nearly the same sensitivities."""
    found = prepared(tmp_path, [whole[0][:, ::2]])
    assert found.image.shape[2:] == (SIDE // 2, SIDE) and not found.checks[0].is_sound


def test_three_points_on_one_pixel_are_flagged(whole, tmp_path):
    found = prepared(tmp_path, [whole[0][..., ::4]])
    assert not found.checks[0].is_sound


def test_whether_to_unfold_can_be_said(whole, tmp_path):
    folded = whole[0][..., ::2]
    found = prepared(tmp_path, [folded], unfold="none")
    assert found.image.shape[2:] == (SIDE, SIDE // 2) and not found.checks[0].is_sound
    assert prepared(tmp_path, [folded], unfold="columns").image.shape[2:] == (SIDE, SIDE)
    with pytest.raises(ValueError, match="unfold.*auto"):
        EspiritMaps(unfold="sideways")
