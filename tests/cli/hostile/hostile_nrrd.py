"""Hostile NRRD files, and NIfTI under their name: sizes, places of the data and directions of the axes that lie."""

import struct

import numpy as np
from hostile_place import written, zeros_gzip


def nrrd(data=None, **fields):
    """Return what writes head.nrrd with other lines in its header (None: without)."""
    lines = {"type": "float", "dimension": 3, "space": "left-posterior-superior", "sizes": "16 16 4"}
    lines |= {
        "space directions": "(1,0,0) (0,1,0) (0,0,1)",
        "endian": "little",
        "encoding": "raw",
        "space origin": "(0,0,0)",
    }
    lines |= {key.replace("_", " "): value for key, value in fields.items()}

    def make(place):
        text = "".join(
            f"{key}: {value(place) if callable(value) else value}\n"
            for key, value in lines.items()
            if value is not None
        )
        body = np.arange(1024, dtype="f4").tobytes() if data is None else data() if callable(data) else data
        (place.folder / "head.nrrd").write_bytes(b"NRRD0004\n" + text.encode() + b"\n" + body)

    return make


def nifti(place):
    head = bytearray(348)
    struct.pack_into("<i8h", head, 0, 348, *(0,) * 8)
    struct.pack_into("<8h", head, 40, 3, 32_000, 32_000, 32_000, 1, 1, 1, 1)
    struct.pack_into("<hh", head, 70, 16, 32)
    struct.pack_into("<f", head, 108, 352)
    head[344:348] = b"n+1\0"
    return bytes(head) + bytes(20)


NRRD = {
    "control": nrrd(),
    "declared_of_4_GB": nrrd(sizes="10000 10000 10"),
    "negative_sizes": nrrd(sizes="-1 -16 4"),
    "billion_axes": nrrd(dimension=10**9),
    "gz_bomb": nrrd(lambda: zeros_gzip(10 << 30), encoding="gzip"),
    "broken_gz": nrrd(b"\x1f\x8b" + bytes(100), encoding="gzip"),
    "bz2": nrrd(b"BZh9" + bytes(100), encoding="bzip2"),
    "data_outside": nrrd(b"", sizes="16 16 32", data_file=lambda place: str(place.outside / "secret.raw")),
    "data_in_a_list": nrrd(b"../outside/secret.raw\n", data_file="LIST"),
    "line_skip": nrrd(line_skip=10**12),
    "byte_skip": nrrd(byte_skip=-(10**12)),
    "byte_skip_from_the_end": nrrd(byte_skip=-1, type="double"),
    "block": nrrd(type="block", block_size=10**9),
    "unknown_type": nrrd(type="object"),
    "no_directions": nrrd(space_directions="none none none"),
    "directions_that_are_no_numbers": nrrd(space_directions="(nan,0,0) (0,nan,0) (0,0,nan)"),
    "directions_of_code": nrrd(space_directions="(__import__('os').system('true'),0,0) (0,1,0) (0,0,1)"),
    "pixels_of_1e-300_mm": nrrd(space_directions="(1e-300,0,0) (0,1e-300,0) (0,0,1)"),
    "pixels_of_10_km": nrrd(space_directions="(1e7,0,0) (0,1e7,0) (0,0,1)"),
    "values_of_1e38": nrrd(np.full(1024, 3e38, "f4").tobytes()),
    "header_without_end": written(b"NRRD0004\n" + b"# a\n" * 4_000_000, "head.nrrd"),
    "nifti": written(nifti, "head.nrrd"),
}
