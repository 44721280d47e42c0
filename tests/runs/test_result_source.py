"""A result says which slice of which volume it is, and what its numbers mean, to who opens the file alone."""

import json

import h5py
import numpy as np
import pytest

from alps_exp.files import text_checksum
from alps_exp.runs import DamagedFile, ImageResult, Record, read_result, read_source, write_result
from alps_exp.source import SourceSlice

IMAGE = np.linspace(-1, 1, 12).reshape(1, 3, 4)
RECORD = Record("a", "blur", "blur", 0.05, "alps", 0, "mmse")


def write(path, image=IMAGE, source=None):
    arrays = {"std": np.abs(image), "truth": image, "measurement": IMAGE}
    write_result(path, ImageResult([RECORD], estimates={"mmse": image}, source=source, **arrays))
    return path


@pytest.mark.parametrize("scale", [None, np.float32([[[1.5, 2, 3, 4]] * 3])])
@pytest.mark.parametrize("voxel_size", [None, [0.5, 0.5, 5.0]])
def test_a_source_reads_back(tmp_path, scale, voxel_size):
    path = write(tmp_path / "a.h5", IMAGE * 1j, SourceSlice("knee ü", 3, [0, 3, 7], scale, voxel_size))
    for source in (read_result(path).source, read_source(path)):
        assert (source.volume, source.number, source.numbers, source.voxel_size) == ("knee ü", 3, [0, 3, 7], voxel_size)
    np.testing.assert_equal(read_result(path).source.scale, scale)
    assert read_source(write(tmp_path / "b.h5")) is None and read_result(tmp_path / "b.h5").source is None


def test_attributes_say_range_and_units(tmp_path):
    source = SourceSlice("a", 0, [0], np.ones((1, 3, 4)))
    paths = write(tmp_path / "a.h5"), write(tmp_path / "b.h5", IMAGE * 1j), write(tmp_path / "c.h5", IMAGE * 1j, source)
    told = []
    for path in paths:
        with h5py.File(path) as file:
            told.append({name: dict(file[name].attrs) for name in ("estimates/mmse", "truth", "std", "measurement")})
            assert all(one.keys() == {"range", "units"} for one in told[-1].values())
            assert ("source_scale" in file) == (path.name == "c.h5")
    pictures, complex_images, slices = told
    assert pictures["truth"]["range"] == "-1 (black) to 1 (white)" and "/ 2" in pictures["std"]["units"]
    assert complex_images["truth"]["units"] == "those of the dataset"
    assert slices["truth"]["units"].startswith("times source_scale: root sum of squares")
    assert slices["std"]["range"] == "at least 0"


def test_the_same_result_is_the_same_bytes(tmp_path):
    source = SourceSlice("a", 0, [0, 1], np.ones((1, 3, 4)), [1.0, 1.0, 2.0])
    paths = [write(tmp_path / name, IMAGE * 1j, source) for name in ("a.h5", "b.h5")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_file_without_attributes_is_read_as_before(tmp_path):
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        for item in (file["truth"], file["std"], file["estimates/mmse"], file["measurement"]):
            for name in list(item.attrs):
                del item.attrs[name]
    np.testing.assert_array_equal(read_result(path).truth, IMAGE.astype(np.float32))


WHOLE = {"volume": "a", "number": 0, "numbers": [0], "voxel_size": None}


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        "[" * 30_000,
        json.dumps({}),
        *(json.dumps(WHOLE | change) for change in (
            {"volume": 7}, {"number": "0"}, {"number": 1}, {"numbers": []}, {"numbers": [0, 0]}, {"numbers": [1, 0]},
            {"number": -1, "numbers": [-1]}, {"voxel_size": "1"}, {"more": 1},
        )),
    ],
)  # fmt: skip
def test_a_source_that_is_none_is_damage(tmp_path, text):
    path = write(tmp_path / "a.h5", IMAGE * 1j, SourceSlice("a", 0, [0]))
    with h5py.File(path, "r+") as file:
        file.attrs["source"] = text
        sums = json.loads(file.attrs["checksums"]) | {"source": text_checksum(text)}
        file.attrs["checksums"] = json.dumps(sums)
    for read in (read_result, read_source):
        with pytest.raises(DamagedFile, match="a.h5 is damaged"):
            read(path)


def test_a_source_that_was_changed_or_lost_is_damage(tmp_path):
    path = write(tmp_path / "a.h5", IMAGE * 1j, SourceSlice("a", 0, [0]))
    with h5py.File(path, "r+") as file:
        file.attrs["source"] = json.dumps(WHOLE | {"volume": "b"})
    with pytest.raises(DamagedFile, match="source do not match"):
        read_source(path)
    with h5py.File(path, "r+") as file:
        del file.attrs["source"]
    with pytest.raises(DamagedFile):
        read_result(path)
