"""Hostile records and results of images in a run folder: fields of odd types, and arrays that are only declared."""

import json
import os

import h5py
import numpy as np
from hostile_hdf5 import put
from hostile_place import DEEP
from hostile_runs import link_to, replace

from alps_exp.files import checksum, text_checksum


def record(**values):
    """Change the first record; a value that is text with JSON of its own goes in as it is."""

    def edit(run, place):
        lines = (run / "records.jsonl").read_text().splitlines()
        first = json.loads(lines[0]) | values
        (run / "records.jsonl").write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")

    return edit


def records_text(text):
    return lambda run, place: (run / "records.jsonl").write_text((run / "records.jsonl").read_text() + text + "\n")


def result(edit, keep=True):
    """Edit the file of the first image, whose checksums fit where they can; with `keep=False` without records.jsonl."""

    def edited(run, place):
        if not keep:
            (run / "records.jsonl").unlink()
        path = sorted((run / "images").glob("*.h5"))[0]
        with h5py.File(path, "r+") as file:
            edit(file, place)

    return edited


def result_records(text):
    def edit(file, place):

        sums = json.loads(file.attrs["checksums"]) | {"records": text_checksum(text)}
        del file.attrs["records"], file.attrs["checksums"]
        file.attrs["records"], file.attrs["checksums"] = text, json.dumps(sums)

    return edit


def result_array(key, value):
    def edit(file, place):

        sums = json.loads(file.attrs["checksums"])
        put(file, key, None)
        if callable(value):
            value(file, place)
            sums[key] = "0" * 16
        elif value is None:
            sums.pop(key)
        else:
            file[key] = value
            sums[key] = checksum(np.asarray(file[key][()]))
        del file.attrs["checksums"]
        file.attrs["checksums"] = json.dumps(sums)

    return edit


def linked_result(run, place):
    """Have the file of an image, and the records, be another's."""
    (run / "records.jsonl").unlink()
    path = sorted((run / "images").glob("*.h5"))[0]
    path.unlink()
    path.symlink_to(place.outside / "result.h5")


RECORDS = {
    "control": lambda run, place: None,
    "nested": records_text(DEEP),
    "nested_in_a_record": record(volume=json.loads("[" * 800 + "]" * 800)),
    "line_of_10^7": records_text('"' + "a" * 10_000_000 + '"'),
    "name_of_10^7": record(image_id="a" * 10_000_000),
    "not_a_number": record(psnr=float("nan")),
    "psnr_is_text": record(psnr="good"),
    "psnr_is_10^400": record(psnr=10**400),
    "seed_is_null": record(seed=None),
    "task_climbs": record(task="../../../outside/task"),
    "task_of_a_table": record(task="a | b\n\\input{/etc/passwd}\x1b[2J"),
    "long_task": record(task="t" * 5_000),
    "noise_is_text": record(noise_std="loud"),
    "id_is_a_list": record(image_id=[7]),
    "id_climbs": record(image_id="../../../outside/result"),
    "flags_are_a_number": record(flags=7),
    "volume_of_odd_types": record(volume={"name": ["a"], "slices": "many", "reference": 7}),
    "regions_of_odd_types": record(regions={"a": {"mean": "x"}, "b": 7}),
    "unknown_field": record(more=1),
    "a_pipe": replace("records.jsonl", lambda path, place: os.mkfifo(path)),
    "a_link_outside": replace("records.jsonl", link_to("secret.txt")),
    "many": records_text('{"image_id": "a"}\n' * 200_000),
}

RESULTS = {
    "records_are_a_number": result(lambda file, place: file.attrs.__setitem__("records", 7), keep=False),
    "records_are_nothing": result(lambda file, place: file.attrs.__setitem__("records", h5py.Empty("S1")), keep=False),
    "records_are_nested": result(result_records("[" * 30_000 + "]" * 30_000), keep=False),
    "records_are_no_records": result(result_records("7"), keep=False),
    "checksums_are_nested": result(lambda file, place: file.attrs.__setitem__("checksums", "[" * 30_000), keep=False),
    "checksums_are_a_list": result(lambda file, place: file.attrs.__setitem__("checksums", "[]"), keep=False),
    "declared_of_3_GB": result(
        result_array(
            "truth", lambda file, place: file.create_dataset("truth", (1, 30_000, 30_000), "f4", chunks=(1, 64, 64))
        )
    ),
    "no_truth_of_another_size": result(result_array("truth", np.zeros((1, 3, 4), "f4"))),
    "truth_of_a_number": result(result_array("truth", np.float32(1))),
    "truth_of_texts": result(result_array("truth", np.array([b"a"]))),
    "estimate_missing": result(result_array("estimates/mmse", None)),
    "estimate_not_finite": result(result_array("estimates/mmse", np.full((1, 12, 12), np.nan, "f4"))),
    "link_to_another_file": result(
        lambda file, place: put(file, "truth", h5py.ExternalLink(str(place.outside / "secret.h5"), "truth"))
    ),
    "linked": linked_result,
}
