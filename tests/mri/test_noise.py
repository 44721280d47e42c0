"""The noise level of k-space without a noise scan, on phantoms whose noise is known."""

import numpy as np
import pytest
from phantoms import NOISE, kspace_of, to_kspace

from alps_exp.mri import KSpaceError
from alps_exp.mri.noise import estimated_noise, given_noise, noise_covariance, rms_level


def measured(kspace):
    return (kspace != 0).any(0)


def cut(kspace, kind):
    """Return k-space as it comes: padded, partial Fourier, undersampled lines, cropped along the readout."""
    kspace, (rows, columns) = kspace.copy(), kspace.shape[-2:]
    if kind == "padded":
        kspace[:, : rows // 8] = kspace[:, -(rows // 8) :] = 0
    if kind == "partial":
        kspace[..., : 3 * columns // 8] = 0
    if kind == "lines":
        lines = np.arange(columns)
        kspace *= (lines % 4 == 0) | (np.abs(lines - columns // 2) <= 8)
    if kind == "cropped":
        image = np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(kspace, -2), axis=-2, norm="ortho"), -2)
        inner = image[:, rows // 8 : -(rows // 8)]
        kspace = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(inner, -2), axis=-2, norm="ortho"), -2)
    return kspace


@pytest.mark.parametrize("kind", ["full", "padded", "partial", "lines", "cropped"])
@pytest.mark.parametrize(("size", "coils"), [(64, 1), (64, 8), (96, 16), (128, 2), (320, 4)])
def test_it_is_within_five_percent(size, coils, kind):
    kspace = cut(kspace_of(size, size, coils)[0], kind)
    noise = estimated_noise([kspace], [measured(kspace)], "auto")
    assert noise.level == pytest.approx(NOISE, rel=0.05)
    assert set(noise.levels) <= {"edge", "background"} and noise.level == min(noise.levels.values())


def test_slices_add_up_and_unlike_coils_keep_their_own_level():
    gains = np.array([0.5, 1, 2, 4])[:, None, None]
    slices = [gains * kspace_of(96, 80, 4, seed=seed)[0] for seed in range(3)]
    noise = estimated_noise(slices, [measured(one) for one in slices], "auto")
    assert np.sqrt(np.diag(noise.covariance).real) == pytest.approx(NOISE * gains.ravel(), rel=0.05)


def test_correlated_noise_has_its_covariance():
    rng = np.random.default_rng(3)
    mixing = np.eye(3) + 0.4 * (rng.standard_normal((3, 3)) + 1j * rng.standard_normal((3, 3)))
    clean = kspace_of(128, 128, 3, noise=0)[0]
    normals = rng.standard_normal((2, 3, 128 * 128))
    noisy = clean + 0.05 * (mixing @ (normals[0] + 1j * normals[1])).reshape(clean.shape)
    found = estimated_noise([noisy], [np.ones((128, 128), bool)], "auto").covariance
    expected = 0.05**2 * mixing @ mixing.conj().T
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_an_object_that_fills_the_view_leaves_the_edge_of_k_space():
    rng = np.random.default_rng(1)
    y, x = np.mgrid[-1:1:128j, -1:1:128j]
    smooth = to_kspace((1 + 0.3 * np.cos(2 * x) * np.cos(2 * y))[None] * np.hanning(128)[:, None] ** 0.1)
    kspace = smooth + NOISE * (rng.standard_normal(smooth.shape) + 1j * rng.standard_normal(smooth.shape))
    noise = estimated_noise([kspace], [np.ones((128, 128), bool)], "auto")
    assert noise.source == "edge" and noise.levels["background"] > 3 * noise.level


def test_both_levels_are_told_and_one_can_be_chosen():
    kspace = kspace_of(64, 64, 1)[0]
    noise = estimated_noise([kspace], [measured(kspace)], "auto")
    edge = estimated_noise([kspace], [measured(kspace)], "edge")
    assert noise.source == "background" and edge.level == noise.levels["edge"] > 2 * NOISE
    assert str(noise) == f"noise {noise.level:.4g} by background (edge {edge.level:.4g})"


def test_scattered_points_have_no_background():
    kspace = kspace_of(64, 64, 4)[0] * (np.random.default_rng(0).random((64, 64)) < 0.5)
    assert estimated_noise([kspace], [measured(kspace)], "auto").source == "edge"
    with pytest.raises(KSpaceError, match="noise=edge"):
        estimated_noise([kspace], [measured(kspace)], "background")


def test_a_given_level_is_that_of_every_coil():
    assert np.array_equal(given_noise(0.5, 3).covariance, 0.25 * np.eye(3))
    with pytest.raises(KSpaceError, match="-1"):
        given_noise(-1, 3)
    samples = np.random.default_rng(0).standard_normal((2, 4, 10_000))
    assert rms_level(noise_covariance(samples[0] + 1j * samples[1])) == pytest.approx(1, rel=0.02)
