"""Brain slices: scale, determinism, and the slab that training never reads."""

from pathlib import Path

import numpy as np
import pytest
import torch

from alps_exp.datasets import BrainSlices, HeadSlices, MagnitudeSlices, brain
from alps_exp.datasets.mr_augmentation import Warp, random_contrast, random_phase, smooth_field

SIZE = 16


@pytest.fixture(scope="module")
def volume():
    pytest.importorskip("nilearn", reason="needs the demo extra")
    return brain.mni152_volume(SIZE)


def test_volume_is_upright_centered_and_of_unit_maximum(volume):
    assert volume.shape == (189, 2 * SIZE, 2 * SIZE)
    assert volume.max() == 1 and volume.min() == 0
    head = volume[80] > 0.1
    rows, columns = np.flatnonzero(head.any(1)), np.flatnonzero(head.any(0))
    assert abs(rows[0] + rows[-1] - 2 * SIZE + 1) <= 2 and abs(columns[0] + columns[-1] - 2 * SIZE + 1) <= 2
    # The brain is widest behind its middle.
    assert head[SIZE : SIZE + 4].sum() > head[SIZE - 8 : SIZE - 4].sum()


def test_test_slices_are_the_volume_with_a_phase_of_their_own(volume):
    data = BrainSlices("test", SIZE)
    for index, plane in enumerate(brain.TEST_PLANES):
        item = data[index]
        expected = volume[plane].reshape(SIZE, 2, SIZE, 2).mean((1, 3))
        assert item["image"].shape == (1, SIZE, SIZE) and item["image"].dtype == torch.complex64
        np.testing.assert_allclose(item["image"][0].abs().numpy(), expected, atol=1e-6)
        assert torch.equal(BrainSlices("test", SIZE)[index]["image"], item["image"])
    phases = [data[i]["image"][0, SIZE // 2, SIZE // 2 + 2].angle().item() for i in range(len(data))]
    assert len(data) == 6 and len(set(phases)) == 6


def test_training_items_are_functions_of_the_key(volume):
    data = BrainSlices("train", SIZE)
    assert torch.equal(data[0, 5]["image"], data[0, 5]["image"])
    assert not torch.equal(data[0, 5]["image"], data[0, 6]["image"])
    assert all(data[0, key]["image"].abs().max() <= 1 for key in range(20))


def test_training_never_reads_the_held_out_slab(volume, monkeypatch):
    poisoned = volume.copy()
    poisoned[brain.HELD_OUT[0] : brain.HELD_OUT[1] + 1] = np.nan
    monkeypatch.setattr(brain, "mni152_volume", lambda size: poisoned)
    data = BrainSlices("train", SIZE)
    assert all(torch.isfinite(data[0, key]["image"].abs()).all() for key in range(300))
    validation = BrainSlices("validation", SIZE)
    assert all(torch.isnan(validation[i]["image"].abs()).any() for i in range(20))


def test_training_planes_stay_a_margin_away_and_reach_both_sides():
    data = BrainSlices("train", SIZE)
    planes = np.stack([data.sample_planes(np.random.default_rng(key)) for key in range(2000)])
    low, high = brain.HELD_OUT
    below, above = planes.max((1, 2)) <= low - brain.MARGIN, planes.min((1, 2)) >= high + brain.MARGIN
    assert np.all(below | above)
    assert below.sum() > 500 and above.sum() > 500
    assert np.ptp(planes[0]) > 1  # tilted
    assert planes.min() >= brain.EXTENT[0] and planes.max() <= brain.EXTENT[1]


def test_validation_is_deterministic_and_varied(volume):
    data = BrainSlices("validation", SIZE, num_images=8)
    items = [data[i] for i in range(len(data))]
    assert len({item["image_id"] for item in items}) == 8
    assert torch.equal(BrainSlices("validation", SIZE)[3]["image"], items[3]["image"])
    assert not torch.equal(items[3]["image"], items[4]["image"])


def test_bad_parts_and_missing_keys(volume):
    with pytest.raises(ValueError, match="train.*validation.*test.*'training'"):
        BrainSlices("training")
    with pytest.raises(ValueError, match="index alone"):
        BrainSlices("train", SIZE)[0]


def test_contrast_is_monotone_and_keeps_the_background():
    ramp = np.linspace(0, 1, 64, dtype=np.float32) * np.ones((64, 1), np.float32)
    for key in range(50):
        rng = np.random.default_rng(key)
        result = random_contrast(rng, ramp, (-2, 3))
        assert result.dtype == np.float32
        assert np.all(result[:, 0] == 0)
        assert 0.75 <= result.max() <= 1 + 1e-6
        assert np.all(np.diff(result.mean(0)) > -0.01)


def test_phase_has_unit_modulus_is_smooth_and_takes_every_value():
    phases = np.stack([random_phase(np.random.default_rng(key), 32) for key in range(200)])
    np.testing.assert_allclose(np.abs(phases), 1, atol=1e-6)
    steps = np.angle(phases[:, 1:] * phases[:, :-1].conj())
    assert np.abs(steps).max() < 0.5
    assert abs(phases[:, 16, 16].mean()) < 0.2


def test_smooth_field_has_the_stated_spread():
    fields = np.stack([smooth_field(np.random.default_rng(key), 32, 9) for key in range(300)])
    assert abs(fields.mean()) < 0.03
    assert 0.4 < fields.std() < 0.6


def test_warp_without_ranges_is_the_identity_up_to_mirroring():
    warp = Warp(zoom=(1, 1), stretch=0, rotation=0, shear=0, shift=0, elastic=0)
    centers = (np.arange(8) + 0.5) / 8 - 0.5
    for key in range(10):
        rows, columns = warp.sample(np.random.default_rng(key), 8)
        np.testing.assert_allclose(rows, np.broadcast_to(centers[:, None], (8, 8)), atol=1e-6)
        np.testing.assert_allclose(np.abs(columns), np.abs(np.broadcast_to(centers, (8, 8))), atol=1e-6)


def test_default_warps_never_fold():
    for warp in (brain.TEMPLATE_WARP, brain.SLICE_WARP):
        for key in range(200):
            rows, columns = warp.sample(np.random.default_rng(key), 32)
            (rr, rc), (cr, cc) = np.gradient(rows), np.gradient(columns)
            assert np.ptp(np.sign(rr * cc - rc * cr)) == 0


def archive(path, images, axial):
    np.savez(path, images=images, axial=axial)
    return str(path)


def test_magnitude_slices_take_axial_ones_and_vary_with_the_key(tmp_path):
    images = np.full((3, 40, 40), 200, np.uint8)
    images[:, :8] = 0
    path = archive(tmp_path / "slices.npz", images, np.array([True, False, True]))
    data = MagnitudeSlices(path, SIZE)
    assert len(data) == 2 and len(MagnitudeSlices(path, SIZE, axial=False)) == 3
    image = data[1, 4]["image"]
    assert image.shape == (1, SIZE, SIZE) and image.dtype == torch.complex64
    assert torch.equal(image, data[1, 4]["image"]) and not torch.equal(image, data[1, 5]["image"])
    assert image.abs().max() <= 1 + 1e-6
    # Only the upper fifth is empty: the front stays at the top.
    rows = torch.stack([data[0, k]["image"][0].abs().mean(1) for k in range(50)]).mean(0)
    assert rows[0] < 0.3 * rows[-4]


def test_bad_archives(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.npz"):
        len(MagnitudeSlices(str(tmp_path / "nowhere.npz")))
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(ValueError, match="text.npz"):
        len(MagnitudeSlices(str(tmp_path / "text.npz")))
    np.savez(tmp_path / "other.npz", pictures=np.zeros(3))
    with pytest.raises(ValueError, match="other.npz.*images.*axial"):
        len(MagnitudeSlices(str(tmp_path / "other.npz")))
    path = archive(tmp_path / "float.npz", np.zeros((2, 4, 4)), np.ones(2, bool))
    with pytest.raises(ValueError, match=r"\(N, n, n\) uint8"):
        len(MagnitudeSlices(path))
    path = archive(tmp_path / "none.npz", np.zeros((2, 4, 4), np.uint8), np.zeros(2, bool))
    with pytest.raises(ValueError, match="no slice"):
        len(MagnitudeSlices(path))


@pytest.fixture
def nifti(tmp_path):
    """Return what writes a volume, here one that is bright in front and above, as a NIfTI file."""
    nibabel = pytest.importorskip("nibabel", reason="needs the demo extra")

    def write(affine=None, shape=(181, 217, 181), bright=100):
        values = np.zeros(shape, np.uint8)
        values[:, shape[1] // 2 :] = bright
        values[:, shape[1] // 2 :, shape[2] // 2 :] = 2 * bright
        if affine is None:
            affine = np.eye(4)
            affine[:3, 3] = -90, -125, -71
        nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "head.nii.gz")
        return str(tmp_path / "head.nii.gz")

    return write


def test_a_head_stands_where_the_template_does(nifti):
    size, view = 60, brain.HEAD_VIEW
    volume = brain.head_volume(nifti(), size)
    assert volume.shape == (brain.NUM_PLANES, 2 * size, 2 * size) and volume.max() == 1
    # Front half, y from -17 mm on: at the top, from the middle to 91 mm before it; above z = 19 twice as bright.
    rows = np.flatnonzero(volume[60].max(1) > 0.25) * view / (2 * size)
    assert abs(rows[0] - (view / 2 - 17 - 91)) <= 2 and abs(rows[-1] - (view / 2 - 1)) <= 2
    columns = np.flatnonzero(volume[60].max(0) > 0.25) * view / (2 * size)
    assert abs(columns[0] - (view / 2 - 90)) <= 2 and abs(columns[-1] - (view / 2 + 90)) <= 2
    planes = volume[:, size // 2, size]
    assert planes[0] == 0 and planes[1] == pytest.approx(0.5, abs=0.1)
    assert planes[90] == pytest.approx(0.5, abs=0.1) and planes[91] == pytest.approx(1, abs=0.1)


def test_slices_of_heads_are_functions_of_key_volume_and_warp(nifti):
    data = HeadSlices(nifti(), SIZE, num_images=5)
    item = data[3, 7]
    assert len(data) == 5 and item["image_id"] == "head_train003"
    assert torch.equal(item["image"], data[3, 7]["image"]) and not torch.equal(item["image"], data[3, 8]["image"])
    zoomed = HeadSlices(nifti(), SIZE, warp=Warp(zoom=(2, 2)))
    assert not torch.equal(item["image"], zoomed[3, 7]["image"])
    (line,) = data.index
    assert line.startswith("head ")


def test_bad_volumes(nifti, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.nii"):
        HeadSlices("nowhere.nii")[0, 0]
    (tmp_path / "text.nii.gz").write_text("no volume")
    with pytest.raises(ValueError, match="text.nii.gz"):
        HeadSlices(str(tmp_path / "text.nii.gz"))[0, 0]
    with pytest.raises(ValueError, match="1 mm.*MNI"):
        HeadSlices(nifti(affine=np.diag([2, 2, 2, 1])))[0, 0]
    far = np.eye(4)
    far[:3, 3] = 500
    with pytest.raises(ValueError, match="500, 500, 500"):
        HeadSlices(nifti(affine=far))[0, 0]
    with pytest.raises(ValueError, match="finite"):
        HeadSlices(nifti(bright=0))[0, 0]
    whole = Path(nifti()).read_bytes()
    (tmp_path / "torn.nii.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="torn.nii.gz"):
        HeadSlices(str(tmp_path / "torn.nii.gz"))[0, 0]
