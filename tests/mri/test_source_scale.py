"""What makes the values of a prepared image those of its file, and the geometry that its header gives."""

from functools import partial

import h5py
import numpy as np
import pytest
from phantoms import kspace_of

from alps_exp.mri import ArrayVolume, EspiritMaps, FastMRIVolume, PreparedSlices
from alps_exp.mri.coil_images import source_scale
from alps_exp.mri.example_slice import ExampleSlice
from alps_exp.mri.fourier import to_image
from alps_exp.mri.kspace import KSpaceError
from alps_exp.mri.preparation import PreparationSettings, prepare_volumes

SLICES = 3
SPACE = "<{0}Space><matrixSize><x>{1}</x><y>{2}</y><z>{3}</z></matrixSize>{4}</{0}Space>"
FOV = "<fieldOfView_mm><x>{}</x><y>{}</y><z>{}</z></fieldOfView_mm>"


def header(fov, planes=1):
    spaces = SPACE.format("encoded", 96, 64, planes, fov) + SPACE.format("recon", 48, 64, 1, "")
    return f'<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>{spaces}</encoding></ismrmrdHeader>'


def test_it_is_the_root_sum_of_squares_of_the_stored_coils_of_ones():
    rng = np.random.default_rng(0)
    normals = rng.standard_normal((2, 4, 4)), rng.standard_normal((2, 4, 5, 6)), rng.standard_normal((2, 5, 6))
    mixing, maps, x = (parts[0] + 1j * parts[1] for parts in normals)  # stored coils = mixing @ whitened coils
    stored = np.einsum("ij,jhw->ihw", mixing, maps * x)
    np.testing.assert_allclose(
        source_scale(maps, np.linalg.inv(mixing))[0] * np.abs(x), np.linalg.norm(stored, axis=0), rtol=1e-12
    )


@pytest.fixture(scope="module", params=[True, False], ids=["whitened", "as stored"])
def prepared(request, tmp_path_factory):
    """Prepare a volume with an empty slice and coils of unequal gains; return its folder and k-space."""
    folder = tmp_path_factory.mktemp("source")
    slices = [kspace_of(64, 64, 4, noise=1e-3, seed=seed)[0] for seed in range(SLICES)]
    kspace = 3e-5 * np.array(slices) * np.array([1, 2, 4, 8])[:, None, None]
    kspace[1] = 0
    np.save(folder / "a.npy", kspace.astype(np.complex64))
    recipe = PreparationSettings(ArrayVolume, EspiritMaps(24, 6), "background", request.param, {})
    report = prepare_volumes({"a": folder / "a.npy"}, folder / "prepared", recipe, 1, print)
    assert not report.failed
    return folder / "prepared", kspace


def test_times_it_an_image_has_the_values_of_its_file(prepared):
    folder, kspace = prepared
    items = list(PreparedSlices(str(folder)))
    assert [item["source_slice"].number for item in items] == [0, 2]
    for item in items:
        source = item["source_slice"]
        assert (source.volume, source.numbers, source.voxel_size) == ("a", [0, 2], None)
        rss = np.linalg.norm(to_image(kspace[source.number]), axis=0)
        found = np.abs(item["image"][0].numpy()) * source.scale[0]
        bright = rss > 0.2 * rss.max()
        # What is left is the error of the estimated maps.
        assert np.abs(found - rss)[bright].max() < 0.03 * rss.max() and found[bright].sum() / rss[bright].sum() > 0.99


def test_a_file_of_an_earlier_version_has_none(prepared):
    folder, _ = prepared
    volume_file = PreparedSlices(str(folder))._file_of("a")
    assert volume_file.has_source_scale
    volume_file._checksums.pop("source_scale")  # as such a file says
    volume_file.has_source_scale = False
    slices = PreparedSlices(str(folder))
    slices._files["a"] = volume_file
    assert slices[0]["source_slice"].scale is None and slices[0]["source_slice"].numbers == [0, 2]


def test_the_embedded_slice_has_one():
    source = ExampleSlice(EspiritMaps())[0]["source_slice"]
    assert (source.volume, source.number, source.scale.shape) == ("kspace_example", 0, (1, 230, 180))


@pytest.mark.parametrize(
    ("fov", "planes", "expected"),
    [
        (FOV.format(192, "160.0", 5), 1, (2.0, 2.5, 5.0)),
        (FOV.format(192, 160, 60), 12, (2.0, 2.5, 5.0)),
        ("", 1, None),
        (FOV.format(192, 160, ""), 1, None),
        (FOV.format(192, 0, 5), 1, None),
        (FOV.format("nan", 160, 5), 1, None),
    ],
)
def test_voxels_are_the_field_of_view_over_the_samples(tmp_path, fov, planes, expected):
    """Twice as many rows are stored as there are in the image, whose pixels are no larger for it."""
    kspace = kspace_of(96, 64, 2)[0]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"], file["ismrmrd_header"] = kspace[None], header(fov, planes)
    volume = FastMRIVolume(tmp_path / "a.h5")
    assert volume.image_shape == (48, 64) and volume.voxel_size == expected
    recipe = PreparationSettings(partial(FastMRIVolume), EspiritMaps(16, 4), 0.02, True, {})
    prepare_volumes({"a": tmp_path / "a.h5"}, tmp_path / "prepared", recipe, 1, print)
    stored = PreparedSlices(str(tmp_path / "prepared"))[0]["source_slice"].voxel_size
    assert stored == (None if expected is None else list(expected))


def test_a_header_that_is_no_text_is_refused_as_before(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"], file["ismrmrd_header"] = kspace_of(96, 64, 2)[0][None], np.uint8([255, 254])
    with pytest.raises(KSpaceError, match="ismrmrd_header in .* is not usable"):
        FastMRIVolume(tmp_path / "a.h5")
