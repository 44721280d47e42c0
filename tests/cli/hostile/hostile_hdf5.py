"""Hostile HDF5 files of k-space: links out of the file, sizes that are only declared, and headers in XML.

An edit changes `files/bad.h5`, a copy of a whole file that lies beside it as `files/good.h5`.
"""

import random
import shutil

import h5py
import numpy as np
from hostile_place import zeros_zlib


def volume(edit):
    """Return what writes files/good.h5 and an edited files/bad.h5."""

    def make(place):
        (place.folder / "files").mkdir()
        for title in ("good", "bad"):
            shutil.copy(place.base / "good.h5", place.folder / "files" / f"{title}.h5")
        with h5py.File(place.folder / "files" / "bad.h5", "r+") as file:
            edit(file, place) if edit.__code__.co_argcount == 2 else edit(file)

    return make


def put(file, key, value):
    if key in file:
        del file[key]
    if value is not None:
        file[key] = value


def declared(key, shape, dtype="c8", **options):
    def edit(file):
        put(file, key, None)
        file.create_dataset(key, shape, dtype, **options)

    return edit


def external(file, place):
    put(file, "kspace", None)
    files = [(str(place.outside / "secret.raw"), 0, h5py.h5f.UNLIMITED)]
    file.create_dataset("kspace", (2, 4, 32, 16), "c8", external=files)


def virtual(file, place):
    put(file, "kspace", None)
    layout = h5py.VirtualLayout((2, 4, 32, 16), "c8")
    layout[:] = h5py.VirtualSource(str(place.outside / "secret.h5"), "kspace", (2, 4, 32, 16))
    file.create_virtual_dataset("kspace", layout)


def deflated(file):
    """Put a chunk of 2 GB of zeros."""
    put(file, "kspace", None)
    shape = (1, 4, 8192, 8192)
    made = file.create_dataset("kspace", shape, "c8", chunks=shape, compression="gzip")
    made.id.write_direct_chunk((0, 0, 0, 0), zeros_zlib(int(np.prod(shape)) * 8))


def larger_than_the_chunk(file):
    """Put a stream of 3 GB into a chunk of 16 kB."""
    put(file, "kspace", None)
    made = file.create_dataset("kspace", (2, 4, 32, 16), "c8", chunks=(1, 4, 32, 16), compression="gzip")
    for index in range(2):
        made.id.write_direct_chunk((index, 0, 0, 0), zeros_zlib(3 << 30))


def unknown_filter(file):
    put(file, "kspace", None)
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((2, 4, 32, 16))
    settings.set_filter(32_999, h5py.h5z.FLAG_OPTIONAL, (1, 2, 3))
    space, kind = h5py.h5s.create_simple((2, 4, 32, 16)), h5py.h5t.py_create(np.dtype("c8"))
    made = h5py.Dataset(h5py.h5d.create(file.id, b"kspace", kind, space, settings))
    made.id.write_direct_chunk((0, 0, 0, 0), bytes(100))


def references(file):
    put(file, "kspace", None)
    made = file.create_dataset("kspace", (2, 4, 32, 16), h5py.regionref_dtype)
    file["other"] = np.zeros(4)
    made[0, 0, 0, 0] = file["other"].regionref[:2]


def noise_of(value):
    return lambda file: put(file, "kspace", np.full((2, 4, 32, 16), value, "c8"))


def header(text):
    return lambda file: put(file, "ismrmrd_header", text(file) if callable(text) else text)


def matrices(x="32", y="16"):
    space = "<{0}><matrixSize><x>" + x + "</x><y>" + y + "</y><z>1</z></matrixSize></{0}>"
    body = "".join(space.format(kind) for kind in ("encodedSpace", "reconSpace"))
    return f'<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>{body}</encoding></ismrmrdHeader>'


ENTITIES = '<!DOCTYPE a [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(20)
)


def flipped(seed):
    """Return what flips bytes of the structure of a whole file."""

    def make(place):
        volume(lambda file: None)(place)
        path = place.folder / "files" / "bad.h5"
        content, rng = bytearray(path.read_bytes()), random.Random(seed)
        for _ in range(20):
            content[rng.randrange(4096)] = rng.randrange(256)
        path.write_bytes(content)

    return make


HDF5 = {
    "control": lambda file: None,
    "link_to_another_file": lambda file, place: put(
        file, "kspace", h5py.ExternalLink(str(place.outside / "secret.h5"), "kspace")
    ),
    "soft_link_to_a_link": lambda file, place: (
        put(file, "away", h5py.ExternalLink(str(place.outside / "secret.h5"), "/")),
        put(file, "kspace", h5py.SoftLink("/away/kspace")),
    ),
    "external_storage": external,
    "virtual": virtual,
    "header_from_another_file": lambda file, place: put(
        file, "ismrmrd_header", h5py.ExternalLink(str(place.outside / "secret.h5"), "ismrmrd_header")
    ),
    "target_from_another_file": lambda file, place: put(
        file, "reconstruction_rss", h5py.ExternalLink(str(place.outside / "secret.h5"), "reconstruction_rss")
    ),
    "declared_of_12_GB": declared("kspace", (1, 4, 20_000, 20_000), chunks=(1, 1, 64, 64)),
    "declared_header_of_3_GB": declared("ismrmrd_header", (3 << 30,), "u1", chunks=(1 << 20,)),
    "declared_target_of_3_GB": declared("reconstruction_rss", (2, 20_000, 20_000), "f4", chunks=(1, 64, 64)),
    "bomb_in_a_chunk": deflated,
    "bomb_larger_than_its_chunk": larger_than_the_chunk,
    "unknown_filter": unknown_filter,
    "region_references": references,
    "compound": declared("kspace", (2, 4, 32, 16), np.dtype([("a", "f4"), ("b", "S10")])),
    "parts_of_text": declared("kspace", (2, 4, 32, 16), np.dtype([("real", "S8"), ("imag", "S8")])),
    "no_space": lambda file: put(file, "kspace", h5py.Empty("c8")),
    "a_group": lambda file: (put(file, "kspace", None), file.create_group("kspace")),
    "no_slices": lambda file: put(file, "kspace", np.zeros((0, 4, 32, 16), "c8")),
    "not_finite": noise_of(np.nan),
    "of_1e38": noise_of(1e38),
    "of_1e-40": noise_of(1e-40),
    "attribute_of_60_kB": lambda file: file.attrs.update({"acquisition": "x" * 60_000}),
    "many_datasets": lambda file: [file.create_group(f"g{i}") for i in range(20_000)],
    "header_with_entities": header(ENTITIES + "]><a>&u;</a>"),
    "header_in_utf_16": header(np.frombuffer((ENTITIES + "]><a>&u;</a>").encode("utf-16"), "u1")),
    "header_of_a_million_levels": header("<a>" * 10**6 + "</a>" * 10**6),
    "matrix_of_10^9": header(matrices("1000000000", "1000000000")),
    "matrix_of_many_digits": header(matrices("9" * 10_000)),
    "matrix_of_1": header(matrices("1", "1")),
    "header_of_numbers": header(np.arange(5.0)),
    "header_without_space": header(h5py.Empty("S10")),
    "target_of_text": lambda file: put(file, "reconstruction_rss", np.array(["a", "b"], "S1")),
    "target_without_space": lambda file: put(file, "reconstruction_rss", h5py.Empty("f4")),
}

NOISES = {
    "link_to_another_file": lambda file, place: put(
        file, "scan", h5py.ExternalLink(str(place.outside / "secret.h5"), "scan")
    ),
    "declared_of_3_GB": declared("scan", (4, 100_000_000), chunks=(4, 1000)),
    "texts": lambda file: put(file, "scan", np.array([b"a"])),
}

OUTSIDE_HDF5 = (
    "link_to_another_file",
    "soft_link_to_a_link",
    "external_storage",
    "virtual",
)
