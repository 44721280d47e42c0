"""Readers of k-space, against plain h5py and NumPy's own transforms; volumes prepared from them."""

import pickle
import time
from functools import partial

import h5py
import numpy as np
import pytest
import torch

from alps_exp.errors import SettingError
from alps_exp.masks import MapsFromBatch, MaskFromBatch, NoiseFromBatch
from alps_exp.mri import ArrayVolume, EspiritMaps, FastMRIVolume, KSpaceError, LowResolutionMaps
from alps_exp.mri.noise import noise_covariance, whitening_matrix
from alps_exp.mri.preparation import PreparationSettings, find_volumes, is_fully_sampled, open_volumes, prepare
from alps_exp.mri.prepared_volume import PreparedVolumeFile, write_prepared_volume
from alps_exp.operators import MultiCoilMRI

HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>{0}</x><y>{1}</y><z>1</z></matrixSize></encodedSpace>
<reconSpace><matrixSize><x>{2}</x><y>{3}</y><z>1</z></matrixSize></reconSpace></encoding></ismrmrdHeader>"""
SHAPE = (3, 4, 42, 25)


def ifft2(x):
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(x, (-2, -1)), norm="ortho"), (-2, -1))


WHOLE = HEADER.format(42, 25, 21, 19)


def write_fastmri(path, kspace, header=WHOLE):
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace
        if header is not None:
            file["ismrmrd_header"] = header
        file.attrs["acquisition"] = "AXT2"
    return path


@pytest.fixture
def kspace():
    """A smooth object under four smooth coils, with correlated noise."""
    rng = np.random.default_rng(0)
    rows, columns = np.meshgrid(np.linspace(-2, 2, SHAPE[2]), np.linspace(-1, 1, SHAPE[3]), indexing="ij")
    inside = (rows**2 + columns**2 < 0.6) * np.exp(1j * rows)
    coils = np.stack([np.exp(-((rows - a) ** 2 + (columns - b) ** 2)) for a in (-1, 1) for b in (-1, 1)])
    images = 100 * inside * coils * np.array([1, 0.8, 0.6])[:, None, None, None]
    mixing = np.eye(4) + 0.3 * rng.standard_normal((4, 4))
    noise = rng.standard_normal((*SHAPE, 2)) @ np.array([1, 1j])
    noise = np.einsum("ij,sjhw->sihw", mixing, noise)
    full = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(images, (-2, -1)), norm="ortho"), (-2, -1))
    return (full + 0.05 * noise).astype(np.complex64)


def test_fastmri_slices_are_read_and_cropped_as_published(tmp_path, kspace):
    volume = FastMRIVolume(write_fastmri(tmp_path / "a.h5", kspace))
    assert (volume.shape, volume.encoded_shape, volume.image_shape, volume.recon_shape) == (
        SHAPE,
        (42, 25),
        (21, 25),
        (21, 19),
    )
    assert volume.attributes["acquisition"] == "AXT2"
    for index in range(3):
        np.testing.assert_array_equal(volume.read(index), kspace[index])
        cropped = volume.slice(index)
        assert cropped.dtype == np.complex64
        np.testing.assert_allclose(ifft2(cropped), ifft2(kspace[index])[:, 10:31], atol=1e-4)
    with pytest.raises(IndexError, match="3 slices.* 3"):
        volume.read(3)


@pytest.mark.slow
def test_reading_is_nearly_as_fast_as_plain_h5py(tmp_path):
    path = write_fastmri(tmp_path / "a.h5", np.ones((8, 16, 640, 320), np.complex64), HEADER.format(640, 320, 320, 320))
    volume = FastMRIVolume(path)

    def seconds(read):
        start = time.perf_counter()
        for index in range(8):
            read(index)
        return time.perf_counter() - start

    with h5py.File(path, locking=False) as file:
        times = [(seconds(volume.read), seconds(file["kspace"].__getitem__)) for _ in range(25)]
    ours, plain = np.min(times, axis=0)  # what other work on the machine does not touch
    assert plain >= 0.8 * ours


def test_workers_open_the_file_themselves(tmp_path, kspace):
    volume = FastMRIVolume(write_fastmri(tmp_path / "a.h5", kspace))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(volume)).read(1), volume.read(1))
    with torch.multiprocessing.get_context("fork").Pool(2) as pool:
        for index, found in enumerate(pool.map(volume.read, range(3))):
            np.testing.assert_array_equal(found, kspace[index])


def test_named_axes_in_any_order(tmp_path, kspace):
    np.save(tmp_path / "a.npy", kspace.transpose(2, 1, 3, 0))
    volume = ArrayVolume(tmp_path / "a.npy", axes=["row", "coil", "column", "slice"])
    np.testing.assert_array_equal(volume.read(2), kspace[2])
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["data"] = kspace[1].transpose(2, 0, 1)
    one = ArrayVolume(tmp_path / "b.h5", axes=["column", "coil", "row"], dataset="data")
    assert one.shape == (1, *SHAPE[1:])
    np.testing.assert_array_equal(one.read(0), kspace[1])


def test_an_array_of_one_slice_needs_no_axis_for_it(tmp_path, kspace):
    np.save(tmp_path / "a.npy", kspace[1])
    volume = ArrayVolume(tmp_path / "a.npy")
    assert volume.shape == (1, *SHAPE[1:])
    np.testing.assert_array_equal(volume.read(0), kspace[1])


def test_matlab_stores_pairs_with_the_axes_reversed(tmp_path, kspace):
    pairs = np.empty(kspace.T.shape, [("real", "f4"), ("imag", "f4")])
    pairs["real"], pairs["imag"] = kspace.T.real, kspace.T.imag
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["kspace"] = pairs
    volume = ArrayVolume(tmp_path / "a.mat", axes=["column", "row", "coil", "slice"])
    np.testing.assert_array_equal(volume.read(2), kspace[2])
    assert find_volumes(tmp_path) == {"a": tmp_path / "a.mat"}


def test_wrong_axes_are_a_fault_of_the_request_not_of_the_file(tmp_path, kspace):
    np.save(tmp_path / "a.npy", kspace)
    with pytest.raises(SettingError, match="reader.axes.*'rows'.*slice, coil, row, column"):
        open_volumes({"a": tmp_path / "a.npy"}, partial(ArrayVolume, axes=["slice", "coil", "rows", "column"]))


def damaged(tmp_path, kspace):
    whole = write_fastmri(tmp_path / "whole.h5", kspace).read_bytes()
    (tmp_path / "truncated.h5").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.h5").write_bytes(b"")
    write_fastmri(tmp_path / "headless.h5", kspace, None)
    write_fastmri(tmp_path / "entities.h5", kspace, '<!DOCTYPE a [<!ENTITY b "c">]>' + HEADER)
    write_fastmri(tmp_path / "sizeless.h5", kspace, HEADER.format(42, 25, "x", 19))
    write_fastmri(tmp_path / "real.h5", kspace.real)
    write_fastmri(tmp_path / "flat.h5", kspace[0, 0])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("truncated", "truncated.h5"),
        ("empty", "empty.h5"),
        ("headless", "ismrmrd_header.*headless.h5"),
        ("entities", "document type"),
        ("sizeless", "reconSpace/matrixSize.*'x'.*'19'"),
        ("real", "complex.* 4 axes.* float32"),
        ("flat", "4 axes.* complex64.*shape"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, kspace, name, message):
    damaged(tmp_path, kspace)
    with pytest.raises(KSpaceError, match=message) as error:
        FastMRIVolume(tmp_path / f"{name}.h5")
    assert "\n" not in str(error.value)


def recipe(whiten=True):
    return PreparationSettings(FastMRIVolume, LowResolutionMaps(12), "auto", whiten, {"maps": "low"})


def test_whitening_makes_the_noise_white():
    rng = np.random.default_rng(1)
    mixing = rng.standard_normal((4, 4)) + 1j * rng.standard_normal((4, 4))
    noise = mixing @ (rng.standard_normal((4, 4000)) + 1j * rng.standard_normal((4, 4000)))
    whitening = whitening_matrix(noise_covariance(noise))
    np.testing.assert_allclose(noise_covariance(whitening @ noise), np.eye(4), atol=1e-10)


def test_a_full_volume_has_images_of_maximum_one_that_are_its_adjoint(tmp_path, kspace):
    ready = prepare(FastMRIVolume(write_fastmri(tmp_path / "a.h5", kspace)), recipe())
    assert ready.image.shape == (3, 1, 21, 25) and ready.mask.all()
    assert np.abs(ready.image).max() == pytest.approx(1, abs=1e-6)
    batch = {
        "sensitivity_maps": torch.from_numpy(ready.sensitivity_maps),
        "mask": torch.from_numpy(ready.mask)[:, None].float(),
        "noise_std": torch.full((3,), ready.noise_std, dtype=torch.float64),
    }
    operator = MultiCoilMRI(MaskFromBatch()(batch), MapsFromBatch()(batch), NoiseFromBatch()(batch))
    adjoint = operator.adjoint(torch.from_numpy(ready.kspace))
    np.testing.assert_allclose(adjoint.numpy(), ready.image, atol=1e-5)
    assert operator.noise_std == ready.noise_std == 1 / ready.scale


def test_undersampled_k_space_has_no_image_and_the_scale_of_its_calibration_region(tmp_path, kspace):
    for every in (2, 4):
        measured = np.zeros(SHAPE[-1], bool)
        measured[::every] = measured[8:17] = True
        path = write_fastmri(tmp_path / f"{every}.h5", kspace * measured)
        ready = prepare(FastMRIVolume(path), recipe())
        assert ready.image is None and not any(map(is_fully_sampled, ready.mask))
        region = np.zeros_like(ready.kspace)
        rows, columns = (slice(n // 2 - 4, n // 2 + 5) for n in region.shape[-2:])
        region[..., rows, columns] = ready.kspace[..., rows, columns]
        images = np.abs((ready.sensitivity_maps.conj() * ifft2(region)).sum(1))
        assert images[:, :, 3:22].max() == pytest.approx(1, rel=1e-5)


def test_a_file_that_an_older_version_prepared_is_refused_with_the_cure(tmp_path, kspace):
    ready = prepare(FastMRIVolume(write_fastmri(tmp_path / "a.h5", kspace)), recipe())
    write_prepared_volume(tmp_path / "old.h5", ready, {}, 1)
    with h5py.File(tmp_path / "old.h5", "a") as file:
        file.attrs["reconstruction"] = file.attrs.pop("recon_shape")
    with pytest.raises(KSpaceError, match=r"old\.h5.*recon_shape.*prepare"):
        PreparedVolumeFile(tmp_path / "old.h5")


def test_a_prepared_file_is_a_function_of_its_volume_and_reads_back(tmp_path, kspace):
    ready = prepare(FastMRIVolume(write_fastmri(tmp_path / "a.h5", kspace)), recipe())
    for name in ("one.h5", "two.h5"):
        write_prepared_volume(tmp_path / name, ready, {"maps": "low"}, 7)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
    volume_file = PreparedVolumeFile(tmp_path / "one.h5")
    np.testing.assert_array_equal(volume_file.read("kspace", 2), ready.kspace[2])
    assert (volume_file.noise_std, volume_file.recon_shape, volume_file.hashes) == (
        ready.noise_std,
        (21, 19),
        ready.hashes,
    )


def test_nothing_is_half_read(tmp_path, kspace):
    kspace[1] = np.nan
    with pytest.raises(KSpaceError, match="slice 1.*not finite"):
        prepare(FastMRIVolume(write_fastmri(tmp_path / "b.h5", kspace)), recipe())
    with pytest.raises(KSpaceError, match="empty"):
        prepare(FastMRIVolume(write_fastmri(tmp_path / "c.h5", np.zeros_like(kspace))), recipe())


def test_an_empty_slice_and_a_dead_coil_are_left_out_and_cost_nothing_else(tmp_path, kspace):
    damaged = kspace.copy()
    damaged[1], damaged[:, 2] = 0, 0
    ready = prepare(FastMRIVolume(write_fastmri(tmp_path / "damaged.h5", damaged)), recipe())
    alone = kspace[[0, 2]][:, [0, 1, 3]]
    same = prepare(FastMRIVolume(write_fastmri(tmp_path / "alone.h5", alone)), recipe())
    assert ready.slices == [0, 2] and same.slices == [0, 1]
    for name in ("kspace", "sensitivity_maps", "image"):
        np.testing.assert_array_equal(getattr(ready, name), getattr(same, name))
    assert [remark for remark in ready.remarks if remark not in same.remarks] == [
        "1 empty slices left out",
        "coils without a sample left out: 2",
    ]


@pytest.mark.parametrize("rows", [(5, 5), (12, 0), (1, 0)])
def test_a_readout_with_zeros_is_not_cropped(tmp_path, kspace, rows):
    kspace[:, :, : rows[0]] = kspace[:, :, SHAPE[2] - rows[1] :] = 0
    path = write_fastmri(tmp_path / "padded.h5", kspace)
    whole = write_fastmri(tmp_path / "whole.h5", kspace, HEADER.format(42, 25, 42, 19))
    with pytest.raises(KSpaceError) as error:
        prepare(FastMRIVolume(path), recipe())
    assert all(part in str(error.value) for part in (str(path), f"{rows[0]} + {rows[1]} of 42", "21", "reader=arrays"))
    with pytest.raises(KSpaceError, match="padded.h5"):
        FastMRIVolume(path).slice(0)
    for volume in (ArrayVolume(path), FastMRIVolume(whole)):
        ready = prepare(volume, recipe(whiten=False))
        assert ready.mask.mean() == pytest.approx(1 - sum(rows) / 42)
        assert ready.scale * ready.noise_std == pytest.approx(1)


def test_the_mask_is_that_of_the_samples_whatever_is_cropped(tmp_path, kspace):
    kspace[..., :4] = kspace[..., -2:] = 0  # as phase encoding is padded
    for cropped in (21, 42):
        path = write_fastmri(tmp_path / "a.h5", kspace, HEADER.format(42, 25, cropped, 25))
        ready = prepare(FastMRIVolume(path), recipe())
        np.testing.assert_array_equal(ready.mask, np.tile(np.isin(np.arange(25), range(4, 23)), (3, cropped, 1)))


def test_slices_have_masks_of_their_own_and_only_full_ones_a_truth(tmp_path, kspace):
    """Half of the lines each, which together would be taken for fully sampled k-space."""
    shots = kspace.copy()
    shots[0, ..., 0:8:2] = shots[1, ..., 1:8:2] = 0
    ready = prepare(FastMRIVolume(write_fastmri(tmp_path / "shots.h5", shots)), recipe())
    assert ready.has_image == [False, False, True] and [c is None for c in ready.checks] == [True, True, False]
    assert ready.mask.mean((1, 2)) == pytest.approx([21 / 25, 21 / 25, 1])
    np.testing.assert_array_equal(ready.mask[0, 0], ~np.isin(np.arange(25), range(0, 8, 2)))
    assert np.abs(ready.image[2]).max() == pytest.approx(1) and not ready.image[:2].any()


def test_k_space_of_two_real_parts_and_a_small_center_are_refused_with_the_cure(tmp_path):
    np.save(tmp_path / "parts.npy", np.zeros((2, 3, 8, 8, 2), np.float32))
    with pytest.raises(KSpaceError, match=r"must be complex .*: store kspace\[..., 0\] \+ 1j"):
        ArrayVolume(tmp_path / "parts.npy")
    measured = np.zeros((32, 32), bool)
    measured[:, 12:20] = True
    with pytest.raises(KSpaceError, match="8 x 8 samples, .* need 12 x 12: take maps=low_resolution"):
        EspiritMaps()(np.ones((2, 32, 32), np.complex64), measured)
    with pytest.raises(KSpaceError, match="need 4 x 4$"):
        LowResolutionMaps()(np.ones((2, 32, 32), np.complex64), measured & (np.arange(32) == 16))
