"""Hostile folders of prepared k-space: volumes whose arrays and notes lie, and indices that point elsewhere."""

import json
import os
import shutil

import h5py
import numpy as np
from hostile_hdf5 import declared, put
from hostile_place import DEEP

from alps_exp.mri.prepared_volume import CHECKSUM, _checksum_of


def prepared(edit):
    """Return what copies prepared k-space and edits the folder."""

    def make(place):
        shutil.copytree(place.base / "prepared", place.folder / "prepared")
        edit(place.folder / "prepared", place)

    return make


def index_line(**values):
    """Edit the lines of the volume `bad` in the index."""

    def edit(folder, place):
        lines = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
        texts = [json.dumps(line | (values if line["volume"] == "bad" else {})) for line in lines]
        (folder / "index.jsonl").write_text("\n".join(texts) + "\n")

    return edit


def index_text(text):
    return lambda folder, place: (folder / "index.jsonl").write_text((folder / "index.jsonl").read_text() + text + "\n")


def volume_attribute(**values):
    """Edit attributes of the volume `bad`, whose checksum fits."""

    def edit(folder, place):
        with h5py.File(folder / "volumes" / "bad.h5", "r+") as file:
            for key, value in values.items():
                del file.attrs[key]
                file.attrs[key] = value
            file.attrs[CHECKSUM] = _checksum_of(dict(file.attrs))

    return edit


def volume_array(edit):
    def edited(folder, place):
        with h5py.File(folder / "volumes" / "bad.h5", "r+") as file:
            edit(file, place)

    return edited


def linked_volume(folder, place):
    (folder / "volumes" / "bad.h5").unlink()
    (folder / "volumes" / "bad.h5").symlink_to(place.outside / "prepared" / "volumes" / "bad.h5")


VOLUMES = {
    "control": lambda folder, place: None,
    "link_to_another_file": volume_array(
        lambda file, place: [
            put(file, key, h5py.ExternalLink(str(place.outside / "prepared" / "volumes" / "bad.h5"), key))
            for key in ("kspace", "image", "mask", "sensitivity_maps")
        ]
    ),
    "linked_file": linked_volume,
    "declared_of_2_GB": volume_array(
        lambda file, place: declared("kspace", (2, 4, 8000, 8000), chunks=(1, 1, 64, 64))(file)
    ),
    "a_group": volume_array(lambda file, place: (put(file, "kspace", None), file.create_group("kspace"))),
    "no_space": volume_array(lambda file, place: put(file, "kspace", h5py.Empty("c8"))),
    "texts": volume_array(lambda file, place: put(file, "image", np.array([b"a", b"b"]))),
    "deep_settings": volume_attribute(settings=DEEP[50_000:150_000][:60_000]),
    "checksums_of_a_number": volume_attribute(checksums="7"),
    "checksums_too_few": volume_attribute(checksums=json.dumps({"kspace": [], "image": [], "mask": []})),
    "checks_of_odd_types": volume_attribute(checks=json.dumps([{"misfit": "x", "residual": []}] * 2)),
    "crop_of_10^9": volume_attribute(recon_shape=[10**9, 10**9]),
    "crop_of_three": volume_attribute(recon_shape=[16, 16, 16]),
    "noise_not_finite": volume_attribute(noise_std=np.inf),
    "slices_that_are_not_there": volume_attribute(slices=[0, 10**9]),
    "hashes_too_few": volume_attribute(hashes=["a"]),
    "attribute_of_a_number": volume_attribute(settings=7),
    "has_image_too_few": volume_attribute(has_image=[True]),
    "attribute_by_reference": volume_array(lambda file, place: file.attrs.__setitem__("more", file["kspace"].ref)),
    "volume_name_climbs": index_line(volume="../../../outside/prepared/volumes/bad"),
    "volume_name_is_a_number": index_line(volume=7),
    "slice_is_text": index_line(slice="../../x"),
    "slice_is_10^400": index_line(slice=10**400),
    "deep_line": index_text(DEEP),
    "long_line": index_text('{"volume": "' + "a" * 10_000_000 + '", "slice": 0, "sha256": ""}'),
    "line_is_a_list": index_text("[1]"),
    "no_text": lambda folder, place: (folder / "index.jsonl").write_bytes(b"\xff\xfe\n"),
    "index_is_a_pipe": lambda folder, place: ((folder / "index.jsonl").unlink(), os.mkfifo(folder / "index.jsonl")),
}
