"""A file of a result may come from anybody: what no result holds is damage, found before it fills the memory."""

import json
import re

import h5py
import numpy as np
import pytest

from alps_exp.errors import ImageError
from alps_exp.files import checksum, text_checksum
from alps_exp.runs import DamagedFile, ImageResult, Record, read_records, read_result, write_result

IMAGE = np.linspace(-1, 1, 12).reshape(1, 3, 4)


def put(file, name, array, **options):
    """Replace an array of a result, with its checksum as far as it can have one."""
    if name in file:
        del file[name]
    if array is not None or options:
        file.create_dataset(name, data=array, **options)
    sums = json.loads(file.attrs["checksums"])
    sums.pop(name, None)
    if name in file:
        sums[name] = checksum(array) if isinstance(array, np.ndarray) else ""
    file.attrs["checksums"] = json.dumps(sums)


def put_text(file, text):
    file.attrs["records"] = text
    file.attrs["checksums"] = json.dumps(json.loads(file.attrs["checksums"]) | {"records": text_checksum(text)})


@pytest.fixture
def path(tmp_path):
    record = Record("a", "blur", "blur", 0.05, "alps", 0, "mmse", psnr=20.0)
    images = {"measurement": IMAGE, "adjoint": IMAGE, "std": IMAGE, "samples": IMAGE[None]}
    write_result(tmp_path / "a.h5", ImageResult([record], truth=IMAGE, estimates={"mmse": IMAGE}, **images))
    assert read_result(tmp_path / "a.h5").records == [record]
    return tmp_path / "a.h5"


@pytest.mark.parametrize("value", [7, ["a", "b"], np.bytes_(b"\xff"), h5py.Empty("S1"), np.zeros((3, 3))])
@pytest.mark.parametrize("name", ["records", "checksums"])
def test_an_attribute_that_is_no_text_is_damage(path, name, value):
    with h5py.File(path, "r+") as file:
        file.attrs[name] = value
    for read in (read_result, read_records):
        with pytest.raises(DamagedFile, match=f"a.h5 is damaged: its {name} are no text"):
            read(path)


@pytest.mark.parametrize(("text", "message"), [("[" * 30_000, "recursion"), ("[]", "no names"), ("{}", "do not match")])
def test_checksums_that_are_none_are_damage(path, text, message):
    with h5py.File(path, "r+") as file:
        file.attrs["checksums"] = text
    with pytest.raises(DamagedFile, match=message):
        read_records(path)


def test_an_array_that_is_declared_and_not_stored_is_damage(path):
    with h5py.File(path, "r+") as file:
        put(file, "truth", None, shape=(1, 10**6, 10**6), dtype="f4", chunks=(1, 64, 64))
    with pytest.raises(DamagedFile, match="truth is not stored as a whole in the file itself"):
        read_result(path)


def test_an_array_of_another_file_is_damage(path):
    other = path.with_name("other.raw")
    other.write_bytes(IMAGE.astype("f4").tobytes())
    layout = h5py.VirtualLayout(IMAGE.shape, "f4")
    layout[:] = h5py.VirtualSource(path.with_name("other.h5"), "truth", IMAGE.shape)
    for make in (
        lambda file: file.create_dataset("truth", IMAGE.shape, "f4", external=[(str(other), 0, 48)]),
        lambda file: file.create_virtual_dataset("truth", layout),
        lambda file: file.create_dataset("truth", data=IMAGE.astype("f4"), chunks=IMAGE.shape, compression="gzip"),
    ):
        with h5py.File(path, "r+") as file:
            del file["truth"]
            make(file)
        with pytest.raises(DamagedFile, match="truth is not stored as a whole in the file itself"):
            read_result(path)


ODD = [
    ("truth", np.array([b"a"]), "truth has no numbers of single precision"),
    ("truth", h5py.Empty("f4"), "truth has no numbers of single precision"),
    ("samples", IMAGE[None].astype("i4"), "samples has no numbers of single precision"),
    ("truth", np.float32(1), "truth has the shape (), expected that of an image"),
    ("truth", np.zeros((1,) * 20, "f4"), "expected that of an image"),
    ("truth", np.zeros((1, 0, 0), "f4"), "truth has the shape (1, 0, 0)"),
    ("adjoint", np.zeros((3, 4), "c8"), "adjoint has the shape (3, 4)"),
    ("samples", np.zeros((1, 3, 4), "f4"), "samples has the shape (1, 3, 4)"),
    ("truth", np.zeros((1, 3, 5), "f4"), "its truth and estimates have the shapes (1, 3, 4), (1, 3, 5)"),
    ("estimates/mmse", np.zeros((3, 100, 2), "f4"), "its truth and estimates have the shapes"),
    ("estimates/map", IMAGE.astype("f4"), "no record of the estimate 'map'"),
    ("estimates/mmse", None, "the estimate 'mmse' is missing"),
]


@pytest.mark.parametrize(("name", "array", "message"), ODD)
def test_an_array_that_no_result_has_is_damage(path, name, array, message):
    with h5py.File(path, "r+") as file:
        put(file, name, np.asarray(array) if isinstance(array, np.generic) else array)
    with pytest.raises(DamagedFile, match=re.escape(message)) as refused:
        read_result(path)
    assert isinstance(refused.value, ImageError)  # which is told without a traceback at any time


@pytest.mark.parametrize("text", ["[" * 30_000, "7", '{"hunter2": 1}'])
def test_records_that_are_none_are_damage_and_not_quoted(path, text):
    with h5py.File(path, "r+") as file:
        put_text(file, text)
    with pytest.raises(DamagedFile, match="a.h5 is damaged: not a record: ") as refused:
        read_records(path)
    assert "hunter2" not in str(refused.value)


BOUNDS = {"images": 9, "levels": [0.8, 0.9], "pixel_share": 0.95, "half_width": [1.0, None], "covered": None}
BOUNDS |= {name: [1.0, 2.0] for name in ("error", "psnr", "ssim")}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_half_widths_of_other_levels_than_the_record_has_are_damage(tmp_path, count):
    record = Record("a", "blur", "blur", 0.05, "alps", 0, "mmse", conformal=BOUNDS)
    result = ImageResult([record], truth=IMAGE, estimates={"mmse": IMAGE}, half_width=np.stack([IMAGE] * count))
    write_result(tmp_path / "a.h5", result)
    if count == 2:
        assert read_result(tmp_path / "a.h5").record("mmse").conformal == BOUNDS
    else:
        with pytest.raises(DamagedFile, match="half_width has not one map for each level"):
            read_result(tmp_path / "a.h5")


def test_an_image_that_failed_keeps_its_half_widths_without_bounds(tmp_path):
    record = Record("a", "blur", "blur", 0.05, "alps", 0, "mmse", psnr=float("nan"), conformal=BOUNDS)
    result = ImageResult([record], truth=IMAGE, estimates={"mmse": IMAGE}, half_width=np.stack([IMAGE, IMAGE]))
    write_result(tmp_path / "a.h5", result)
    assert read_result(tmp_path / "a.h5").record("mmse").conformal is None


def test_a_record_without_a_bound_for_each_level_is_none():
    with pytest.raises(ValueError, match="conformal has not one bound for each level"):
        Record("a", "blur", "blur", 0.05, "alps", 0, "mmse", conformal=BOUNDS | {"psnr": [1.0]})
