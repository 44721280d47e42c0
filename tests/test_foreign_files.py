"""What a file from anybody can do: nothing outside it, and no more memory than it is worth."""

import io
import os
import zipfile

import h5py
import numpy as np
import pytest
from PIL import Image

from alps_exp import pictures
from alps_exp.foreign_files import own_dataset, read_bytes, read_member, read_npy
from alps_exp.pictures import open_picture


@pytest.fixture
def other(tmp_path):
    """Return the path of another file with the numbers that nobody may read."""
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.arange(4.0)
    np.arange(4.0).tofile(tmp_path / "other.raw")
    return tmp_path / "other.h5"


def virtual(file, other):
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource(str(other), "x", (4,))
    file.create_virtual_dataset("x", layout)


def through_a_group(file, other):
    file["g"] = h5py.ExternalLink(str(other), "/")


ELSEWHERE = {
    "external link": lambda file, other: file.__setitem__("x", h5py.ExternalLink(str(other), "x")),
    "soft link": lambda file, other: (file.__setitem__("y", 1.0), file.__setitem__("x", h5py.SoftLink("/y"))),
    "external storage": lambda file, other: file.create_dataset(
        "x", (4,), "f8", external=[(str(other.with_suffix(".raw")), 0, h5py.h5f.UNLIMITED)]
    ),
    "virtual": virtual,
}


@pytest.mark.parametrize("make", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_dataset_that_is_elsewhere_is_refused(tmp_path, other, make):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        make(file, other)
    with h5py.File(tmp_path / "a.h5") as file, pytest.raises(ValueError, match="copy the data into this one"):
        own_dataset(file, "x")


def test_no_group_may_lead_elsewhere(tmp_path, other):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        through_a_group(file, other)
    with h5py.File(tmp_path / "a.h5") as file, pytest.raises(ValueError, match="link"):
        own_dataset(file, "g/x")


def test_a_dataset_of_the_file_is_read_and_one_that_is_missing_is_not(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/x"] = np.arange(3)
        file.create_dataset("z", data=np.zeros((64, 64, 64)), chunks=(1, 64, 64), compression="gzip")
        assert own_dataset(file, "g/x")[:].tolist() == [0, 1, 2] and not own_dataset(file, "z")[:].any()
        for missing in ("y", "g", "g/y", "g/x/y"):
            with pytest.raises(KeyError):
                own_dataset(file, missing)


def test_a_dataset_that_declares_far_more_than_is_stored_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (10**5, 10**5), "f4", chunks=(64, 64), fillvalue=1)
        with pytest.raises(ValueError, match="declares 40,000,000,000 bytes, and 0 are stored"):
            own_dataset(file, "x")


def test_a_chunk_that_unpacks_to_more_than_it_should_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        x = file.create_dataset("x", (4,), "u1", chunks=(4,), compression="gzip")
        x.id.write_direct_chunk((0,), bytes(1 << 17))
    with (
        h5py.File(tmp_path / "a.h5") as file,
        pytest.raises(ValueError, match="131,072 bytes in place of 4"),
    ):
        own_dataset(file, "x")


def test_only_plain_files_of_a_size_are_read(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert read_bytes(tmp_path / "a", 3) == b"abc"
    with pytest.raises(ValueError, match="3 bytes, expected at most 2"):
        read_bytes(tmp_path / "a", 2)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(ValueError, match="no plain file"):
            read_bytes(type(tmp_path)(path))


@pytest.mark.parametrize("damage", ["cut", "objects", "fields", "text", "nothing"])
def test_an_array_is_whole_and_of_numbers(tmp_path, damage):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(12.0).reshape(3, 4))
    assert read_npy(path).sum() == 66
    arrays = {"objects": np.array([{}], object), "fields": np.zeros(2, [("a", "f4")]), "text": np.array(["a"])}
    if damage in arrays:
        np.save(path, arrays[damage], allow_pickle=True)
    else:
        path.write_bytes(path.read_bytes()[: {"cut": -8, "nothing": 0}[damage]])
    with pytest.raises(ValueError, match=r"a\.npy is no .*numbers$"):
        read_npy(path)


def test_a_member_of_an_archive_is_bounded_and_plainly_packed(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", bytes(1000), zipfile.ZIP_DEFLATED)
        archive.writestr("b", bytes(1000), zipfile.ZIP_BZIP2)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert read_member(archive, "a", 1000) == bytes(1000)
        with pytest.raises(ValueError, match="unpacks to more than 999 bytes"):
            read_member(archive, "a", 999)
        with pytest.raises(ValueError, match="unusual method"):
            read_member(archive, "b", 1000)


def encoded(suffix, size=(8, 8)):
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, suffix)
    return buffer.getvalue()


def test_pictures_are_of_formats_that_start_nothing_and_of_a_size(monkeypatch):
    for suffix in ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"):
        with open_picture(encoded(suffix)) as picture:
            assert picture.size == (8, 8)
    with pytest.raises(OSError):
        open_picture(encoded("EPS")).__enter__()
    monkeypatch.setattr(pictures, "MOST_PIXELS", 63)
    with pytest.raises(ValueError, match="8 x 8 pixels, expected at most 63 in all"):
        open_picture(encoded("PNG")).__enter__()


def test_a_picture_of_scans_without_end_is_refused():
    whole = encoded("JPEG")
    with pytest.raises(ValueError, match="more than 200 scans"):
        open_picture(whole + b"\xff\xda" * 200).__enter__()
