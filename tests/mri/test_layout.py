"""K-space as others store it: the corner for the center, the object across the border, axes against the header."""

import h5py
import numpy as np
import pytest
from phantoms import NOISE, kspace_of, phantom, to_kspace

from alps_exp.mri import FastMRIVolume, KSpaceError, LowResolutionMaps
from alps_exp.mri.layout import centered
from alps_exp.mri.preparation import PreparationSettings, prepare

SIZES = [(64, 48), (63, 49), (96, 33)]
HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>{0}</x><y>{1}</y><z>1</z></matrixSize></encodedSpace>
<reconSpace><matrixSize><x>{0}</x><y>{1}</y><z>1</z></matrixSize></reconSpace></encoding></ismrmrdHeader>"""


@pytest.fixture(params=SIZES, ids=str)
def kspace(request):
    return kspace_of(*request.param, coils=4)[0]


def alternating(kspace, axis):
    """Shift the object by half a field of view (of an odd number of pixels, nearly so)."""
    signs = (-1.0) ** (np.arange(kspace.shape[axis]) - kspace.shape[axis] // 2)
    return (kspace * (signs[:, None] if axis == -2 else signs)).astype(np.complex64)


def test_what_lies_as_it_should_stays(kspace):
    (same,), remarks = centered([kspace])
    assert same is kspace and remarks == []


@pytest.mark.parametrize("axes", [(-2,), (-1,), (-2, -1)])
def test_zero_frequency_is_found_in_the_corner(kspace, axes):
    (mended,), remarks = centered([np.fft.ifftshift(kspace, axes)])
    np.testing.assert_array_equal(mended, kspace)
    assert len(remarks) == len(axes) and all("zero frequency" in remark for remark in remarks)


@pytest.mark.parametrize("axes", [(-2,), (-1,), (-2, -1)])
def test_an_object_across_the_border_is_moved_back(kspace, axes):
    shifted = kspace
    for axis in axes:
        shifted = alternating(shifted, axis)
    (mended,), remarks = centered([shifted])
    np.testing.assert_array_equal(mended, kspace)
    assert len(remarks) == len(axes) and all("half a field of view" in remark for remark in remarks)


def test_a_peak_between_center_and_corner_is_refused(kspace):
    rows = kspace.shape[-2]
    with pytest.raises(KSpaceError, match=f"of {rows} rows.* {rows // 2}.*pad"):
        centered([np.roll(kspace, rows // 4, axis=-2)])


def test_something_bright_at_the_border_does_not_move_the_object():
    image = phantom(64, 48)[0]
    image[:, -2:] = 5
    assert centered([to_kspace(image)[None]])[1] == []


def test_an_object_that_is_everywhere_is_not_moved():
    rng = np.random.default_rng(0)
    flat = rng.standard_normal((2, 4, 32, 32)) @ np.ones(32) * 1e-3
    kspace = np.zeros((4, 32, 32), complex)
    kspace[:, 16, 16] = 10 + flat[0, :, 0]
    assert centered([kspace])[1] == []


def write(path, kspace, sizes, header=None):
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace
        file["ismrmrd_header"] = HEADER.format(*sizes) if header is None else header
    return path


def settings():
    return PreparationSettings(FastMRIVolume, LowResolutionMaps(12), "auto", True, {})


def test_a_prepared_volume_is_the_same_however_it_was_stored(tmp_path):
    kspace = kspace_of(64, 48, 4)[0]
    plain = prepare(FastMRIVolume(write(tmp_path / "a.h5", kspace[None], (64, 48))), settings())
    for name, stored in (("corner", np.fft.ifftshift(kspace, (-2, -1))), ("shifted", alternating(kspace, -1))):
        other = prepare(FastMRIVolume(write(tmp_path / f"{name}.h5", stored[None], (64, 48))), settings())
        np.testing.assert_array_equal(other.image, plain.image)
        assert len(other.remarks) > len(plain.remarks)
    assert plain.scale and 1 / plain.noise_std == plain.scale and plain.checks[0].is_sound


def test_axes_against_the_header_are_refused_with_the_ones_to_give(tmp_path):
    kspace = kspace_of(64, 48, 4)[0].swapaxes(-1, -2)
    with pytest.raises(KSpaceError, match=r"48 rows.*64 columns.*reader\.axes=\[slice,coil,column,row\]"):
        FastMRIVolume(write(tmp_path / "a.h5", kspace[None], (64, 48)))


@pytest.mark.parametrize(
    "stored",
    [
        lambda text: text,
        lambda text: np.bytes_(text.encode()),
        lambda text: np.array([text.encode()], dtype=object).astype(h5py.string_dtype()),
        lambda text: np.frombuffer(text.encode(), np.uint8),
    ],
    ids=["text", "bytes", "array of one", "characters"],
)
def test_a_header_may_be_stored_as_any_text(tmp_path, stored):
    text = HEADER.format(64, 48)
    volume = FastMRIVolume(write(tmp_path / "a.h5", kspace_of(64, 48, 2)[0][None], (), stored(text)))
    assert volume.encoded_shape == volume.image_shape == (64, 48)


def test_k_space_of_a_single_coil_needs_no_axis_for_it(tmp_path):
    kspace = kspace_of(64, 48, 1)[0]
    volume = FastMRIVolume(write(tmp_path / "a.h5", kspace, (64, 48)))
    np.testing.assert_array_equal(volume.read(0), kspace)
    ready = prepare(volume, settings())
    assert ready.kspace.shape == (1, 1, 64, 48) and ready.checks == [None]
    assert ready.scale * ready.noise_std == pytest.approx(1)
    assert ready.remarks[0].startswith(f"noise {NOISE:.2f}"[:10])


def test_without_a_header_the_reader_to_take_is_named(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = kspace_of(64, 48, 2)[0][None]
    with pytest.raises(KSpaceError, match=r"ismrmrd_header.*reader=arrays.*\(1, 2, 64, 48\)"):
        FastMRIVolume(tmp_path / "a.h5")
