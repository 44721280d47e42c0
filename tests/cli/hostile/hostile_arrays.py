"""Hostile arrays of NumPy, as k-space and as masks, and masks in the other formats that a request may name."""

import struct

import h5py
import numpy as np
from hostile_archives import raw_zip
from hostile_hdf5 import put
from hostile_pickles import op, touch
from hostile_pictures import PICTURE_FILES
from hostile_place import zeros


def npy(header, data=b"", version=1, claimed=None):
    text = header.encode() + b"\n"
    size = len(text) if claimed is None else claimed
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", size) + text + data


def described_array(shape="(4, 32, 16)", descr="'<c8'", order="False"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


def of_objects(place):
    harmful = b"\x80\x04" + op(touch(place)) + b"."
    return npy(described_array("(1,)", "'|O'"), harmful)


KSPACE = (
    (
        np.random.default_rng(0).standard_normal((4, 32, 16))
        + 300 * np.pad(np.ones((4, 1, 1)), ((0, 0), (16, 15), (8, 7)))
    )
    .astype("c8")
    .tobytes()
)

FIELDS = "[" + ", ".join(f"('f{i}', '<c8')" for i in range(10_000)) + "]"

NPY = {
    "control": npy(described_array(), KSPACE),
    "objects": of_objects,
    "larger_than_the_file": npy(described_array("(1000000, 1000000, 1000)"), KSPACE),
    "fortran_order": npy(described_array(order="True"), KSPACE),
    "10000_fields": npy(described_array("(1,)", FIELDS), bytes(80_000), version=2),
    "header_of_10^8": npy(described_array(), KSPACE, version=2, claimed=10**8),
    "code_in_the_header": lambda place: npy(f"__import__('os').system('touch {place.canary}')", KSPACE),
    "deep_header": npy("-" * 9_000 + "1"),
    "no_elements": npy(described_array("(0, 32, 16)")),
    "empty_type": npy(described_array("(1000000000, 4)", "'|V0'")),
    "nothing": b"",
}


def plain_mask(shape="(12, 12)", descr="'|b1'"):
    return npy(described_array(shape, descr), bytes(143) + b"\x01")


def archive_of(*members):
    def make(place):
        raw_zip(place.folder / "mask.npz", [m(place) if callable(m) else m for m in members])

    return make


def mask_h5(edit):
    def make(place):
        with h5py.File(place.folder / "mask.h5", "w") as file:
            edit(file, place)

    return make


MASKS = {
    "mask.npy": {
        "control": plain_mask(),
        **{what: NPY[what] for what in ("objects", "larger_than_the_file", "no_elements")},
        "fields": npy(described_array("(12, 12)", "[('a', '?'), ('b', '?')]"), bytes(288)),
        "of_all_zero": npy(described_array("(12, 12)", "'|b1'"), bytes(144)),
    },
    "mask.png": {
        **{what: PICTURE_FILES[what] for what in ("png_of_13000_with_alpha", "postscript")},
        "bomb_in_iTXt": PICTURE_FILES["png_bomb_in_iTXt"],
    },
}
NPZ = {
    "control": archive_of((b"mask.npy", plain_mask(), {})),
    "10_GB_of_zeros": archive_of(lambda place: (b"mask.npy", zeros(10 << 30), {"method": 8, "usize": 2**32 - 2})),
    "encrypted": archive_of((b"mask.npy", plain_mask(), {"flags": 1})),
    "wrong_checksum": archive_of((b"mask.npy", plain_mask(), {"crc": 1})),
    "no_array": archive_of((b"mask", b"text", {})),
    "objects": archive_of(lambda place: (b"mask.npy", of_objects(place), {})),
    "names_that_climb": archive_of((b"../../../outside/x.npy", plain_mask(), {})),
    "many_arrays": archive_of(*[(b"m%d.npy" % i, b"", {}) for i in range(20_000)]),
}

MASK_H5 = {
    "link_to_another_file": lambda file, place: put(
        file, "mask", h5py.ExternalLink(str(place.outside / "secret.h5"), "mask")
    ),
    "external_storage": lambda file, place: file.create_dataset(
        "mask", (12, 12), "u1", external=[(str(place.outside / "mask.raw"), 0, h5py.h5f.UNLIMITED)]
    ),
    "declared_of_3_GB": lambda file, place: file.create_dataset("mask", (50_000, 60_000), "u1", chunks=(64, 64)),
    "a_group": lambda file, place: file.create_group("mask"),
    "no_space": lambda file, place: put(file, "mask", h5py.Empty("u1")),
}
