"""Hostile safetensors files: headers that lie about their tensors, and models that are too large to build."""

import json
import struct

from hostile_pickles import FORGED_MODELS, ours
from hostile_place import DEEP, written


def safetensors(header, data=b"", claimed=None):
    def content(place):
        made = header() if callable(header) else header
        text = made if isinstance(made, bytes) else json.dumps(made).encode()
        return struct.pack("<Q", len(text) if claimed is None else claimed) + text + data

    return written(content)


def floats(shape, start, end, kind="F32"):
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


def described(architecture, history=None, kind="teacher"):
    text = architecture if isinstance(architecture, str) else json.dumps(architecture)
    notes = {"kind": kind, "architecture": text} | ({} if history is None else {"history": history})
    return safetensors({"__metadata__": notes, "w": floats([4], 0, 16)}, bytes(16))


def whole_model(**notes):
    """Return what writes a whole small energy, with other notes in its header."""

    def make(place):
        content = (place.base / "energy.safetensors").read_bytes()
        end = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:end])
        header["__metadata__"] |= notes
        text = json.dumps(header).encode()
        (place.folder / "file").write_bytes(struct.pack("<Q", len(text)) + text + content[end:])

    return make


SAFETENSORS = {
    "header_of_10^12_bytes": safetensors({"w": floats([4], 0, 16)}, claimed=10**12),
    "out_of_the_file": safetensors({"w": floats([10**9], 0, 4 * 10**9)}, bytes(16)),
    "overlapping": safetensors({"a": floats([4], 0, 16), "b": floats([4], 8, 24)}, bytes(24)),
    "duplicate_keys": safetensors(
        b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        bytes(16),
    ),
    "shape_overflows": safetensors({"w": floats([2**63, 2**63], 0, 16)}, bytes(16)),
    "many_tensors": safetensors(lambda: {f"{i}": floats([0], 0, 0) for i in range(250_000)}),
    "small_types": safetensors({"w": floats([16], 0, 16, "F8_E4M3")}, bytes(16)),
    "deep_header": safetensors(DEEP.replace("[", '{"a":').replace("]", "}").replace('":}', '":1}').encode()),
    "metadata_is_no_text": safetensors({"__metadata__": {"kind": 7}, "w": floats([4], 0, 16)}, bytes(16)),
    "no_architecture": safetensors({"__metadata__": {"kind": "teacher"}, "w": floats([4], 0, 16)}, bytes(16)),
    "deep_architecture": described(DEEP),
    "architecture_is_a_list": described([1]),
    "not_a_number": described(json.dumps(ours()).replace("0.5", "NaN")),
    "deep_history": whole_model(history=DEEP),
    "history_of_odd_types": whole_model(history=json.dumps({"steps": "x", "origins": [{"sha256": 1, "steps": []}]})),
    **{what: described(ours(**model)) for what, model in FORGED_MODELS.items()},
}
