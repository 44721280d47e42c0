"""Makers of hostile files: each writes what a stranger could send, small on disk, beside whole files of the same kind.

A maker gets a `Place`. What it writes there would, if it had its way, run code (which leaves `place.canary`), read or
change `place.outside`, or fill the memory. `CASES` names every file with the command line that would read it.
"""

import io
import json
import os
import random
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch
from PIL import Image, PngImagePlugin

from alps_exp.mri.prepared_volume import CHECKSUM, _checksum_of

SECRET = "hunter2"


class Place(NamedTuple):
    """Folders of one case: the command's own, one that it must leave alone, and whole files to begin from."""

    folder: Path
    outside: Path
    base: Path

    @property
    def canary(self):
        """The file that code of a hostile file would leave."""
        return self.outside / "ran"


class Case(NamedTuple):
    """A hostile file and its command; `foreign`: its data lie outside, so that no result may come of it."""

    name: str
    make: Callable[[Place], object]
    command: list[str]
    foreign: bool = False


INSPECT = ["checkpoint", "inspect", "path=file"]
CONVERT = ["checkpoint", "convert", "path=file", "kind=teacher", "output=new.safetensors"]
SHORT = ["sampler.schedule.steps=2", "num_samples=2", "logger=none", "figures=false", "trainer.accelerator=cpu"]
PRIOR = ["restore", "data=prior", "energy=gaussian", "teacher=gaussian", "energy.size=12", "teacher.size=12"]
PRIOR += ["data.test.count=2", *SHORT]
MODEL = ["restore", "data=prior", "energy=file", "energy.name=file", "teacher=gaussian", "data.test.prior=${teacher}"]
MODEL += ["data.test.count=1", "operator=inpaint_random", *SHORT]
RGB = [f"{kind}{rest}" for kind in ("energy", "teacher") for rest in ("=gaussian", ".channels=3")]
PICTURES = ["restore", "data=folder", "data.test.size=16", *RGB, "operator=denoise", "data.batch_size=2", *SHORT]
FOLDER, ARCHIVE = ([*PICTURES, f"data.test.path={path}"] for path in ("images", "images.zip"))
MAPS = ["maps.calibration_width=8", "maps.kernel_width=3", "maps.max_iterations=30"]
PREPARE = ["prepare", "source=files", "output=prepared", "num_workers=1", *MAPS]
COMPLEX = [f"{kind}{rest}" for kind in ("energy", "teacher") for rest in ("=gaussian", ".complex_valued=true")]
PREPARED = ["restore", "data=fastmri", "data.test.path=prepared", *COMPLEX, "operator=retrospective_2x", *SHORT]
SUBJECT = [
    "restore",
    "data=subject",
    "data.test.path=head.nrrd",
    "data.test.size=16",
    *COMPLEX,
    "operator=denoise",
    *SHORT,
]
TABLE, AGAIN = ["table", "runs=run", "output=table"], ["restore", "--from", "run", "trainer.accelerator=cpu"]
RESUME = [*PRIOR, "operator=inpaint_random"]


def mask_request(name):
    return [*PRIOR, "operator=inpaint_file", f"operator.mask.path={name}"]


# Pickles and torch files


class Raw(bytes):
    """Instructions of a pickle, as they are."""


def name(text):
    module, _, rest = text.rpartition(".")
    return Raw(f"c{module}\n{rest}\n".encode())


def call(text, *arguments):
    return Raw(name(text) + op(arguments) + b"R")


def op(value):
    """Return the instructions that make a value."""
    if isinstance(value, Raw):
        return bytes(value)
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        size = value.bit_length() // 8 + 1
        start = b"\x8a" + bytes([size]) if size < 256 else b"\x8b" + struct.pack("<i", size)
        return start + value.to_bytes(size, "little", signed=True)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, bytes):
        return b"B" + struct.pack("<I", len(value)) + value
    if isinstance(value, dict):
        return b"}(" + b"".join(op(part) for pair in value.items() for part in pair) + b"u"
    start, end = {list: (b"](", b"e"), tuple: (b"(", b"t")}[type(value)]
    return start + b"".join(map(op, value)) + end


def laughs(levels=30):
    """Return a list of ten times the same list, and so on: small in memory, endless as text."""
    first = b"](" + op("ha" * 8) * 10 + b"eq\x01"
    return Raw(first + b"".join(b"0](" + b"h%c" % i * 10 + b"eq%c" % (i + 1) for i in range(1, levels)))


def pickled(value):
    return lambda place: (place.folder / "file").write_bytes(
        b"\x80\x04" + op(value(place) if callable(value) else value) + b"."
    )


def written(content, at="file"):
    def make(place):
        path = place.folder / at
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(place) if callable(content) else content)

    return make


def touch(place):
    return call("os.system", f"touch {place.canary}")


def opened(place):
    return call("builtins.open", str(place.canary), "w")


def chain(place):
    builtins = call("builtins.getattr", call("builtins.__import__", "os"), "system")
    return Raw(builtins + op((f"touch {place.canary}",)) + b"R")


def edm(kwargs=None, *, args=(16, 3, 0), kind="EDMPrecond", state=None, **more):
    """Return a pickle of NVlabs' code with the given constructor arguments."""
    small = {"model_channels": 16, "channel_mult": [1], "num_blocks": 1, "attn_resolutions": []} | (kwargs or {})
    given = {"_init_args": args, "_init_kwargs": small, "sigma_min": 0.002, "sigma_max": 80.0}
    given |= {
        "_parameters": {},
        "_buffers": {},
        "_non_persistent_buffers_set": call("builtins.set", []),
        "_modules": {},
    }
    about = {"type": "class", "version": 6, "module_src": "raise SystemExit(66)", "class_name": kind}
    module = call("torch_utils.persistence._reconstruct_persistent_obj", about | {"state": given | (state or {})})
    return {"ema": module, **more}


def storage(kind="FloatStorage", key="0", numel=4):
    return Raw(op(("storage", name(f"torch.{kind}"), key, "cpu", numel)) + b"Q")


def tensor(size=(4,), stride=(1,), offset=0, flat=None):
    return call(
        "torch._utils._rebuild_tensor_v2",
        flat or storage(),
        offset,
        size,
        stride,
        False,
        call("collections.OrderedDict"),
    )


def torch_zip(value, storages=None, compression=zipfile.ZIP_STORED, raw=None):
    """Return what writes a torch file that holds a value."""

    def make(place):
        content = raw or b"\x80\x02" + op(value(place) if callable(value) else value) + b"."
        with zipfile.ZipFile(place.folder / "file", "w", compression) as archive:
            archive.writestr("archive/data.pkl", content)
            archive.writestr("archive/version", b"3\n")
            for key, data in (storages or {"0": bytes(16)}).items():
                archive.writestr(f"archive/data/{key}", data)

    return make


def legacy(value, storages=b"", keys=("0",)):
    """Return what writes a torch file as before version 1.6."""
    head = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + b"\x80\x02M\xe9\x03."
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    head += b"\x80\x02" + op(system) + b"."

    def make(place):
        content = op(value(place) if callable(value) else value)
        keyed = b"\x80\x02" + op(list(keys)) + b"."
        (place.folder / "file").write_bytes(head + b"\x80\x02" + content + b"." + keyed + storages)

    return make


def old_storage(numel, kind="FloatStorage"):
    return Raw(op(("storage", name(f"torch.{kind}"), "0", "cpu", numel, None)) + b"Q")


def lightning(**content):
    return {"state_dict": {"a": tensor()}, **content}


def ours(**model):
    base = {"img_resolution": 16, "in_channels": 3, "out_channels": 3, "model_channels": 16, "channel_mult": [1]}
    base |= {"num_blocks": 1, "attn_resolutions": []}
    return {"preconditioning": "EDMPrecond", "network": "SongUNet", "sigma_data": 0.5, "model": base | model}


def saved(value):
    """Return the bytes of a torch file inside another."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def bomb_inside(place):
    with zipfile.ZipFile(place.folder / "inner", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + op(storage(numel=1 << 29)) + b".")
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/data/0", bytes(1 << 20))
    return edm(
        state={"_parameters": {"w": call("torch.storage._load_from_bytes", (place.folder / "inner").read_bytes())}}
    )


def shared_halves():
    flat = call("torch.storage._load_from_bytes", saved(torch.zeros(8_000_000, dtype=torch.uint8).storage()))
    first = Raw(flat + b"q\x05")
    parts = {"w0": tensor((8_000_000,), flat=first)}
    parts |= {f"w{i}": tensor((8_000_000,), flat=Raw(b"h\x05")) for i in range(1, 400)}
    return edm({"model_channels": 16, "channel_mult": [1], "num_blocks": 1}, state={"_parameters": parts})


FORGED_MODELS = {
    "million_blocks": {"num_blocks": 10**6},
    "million_levels": {"img_resolution": 16, "channel_mult": [1] * 10**5},
    "million_channels": {"model_channels": 10**6},
    "wide_embedding": {"channel_mult_emb": 10**9},
    "huge_noise_embedding": {"channel_mult_noise": 10**9},
    "many_labels": {"label_dim": 10**12},
    "many_augmentations": {"augment_dim": 10**8},
    "long_filter": {"resample_filter": [1] * 10**5, "channel_mult": [1, 1]},
    "huge_resolution": {"img_resolution": 2**40},
    "huge_patch": {"patch_size": 2**20, "img_resolution": 2**20},
    "negative_channels": {"model_channels": -16},
    "text_for_a_number": {"num_blocks": "__import__('os')"},
    "adm_million_blocks": {"num_blocks": 10**6},
}

PICKLES = {
    "reduce_os_system": touch,
    "reduce_eval": lambda place: call("builtins.eval", f"open({str(place.canary)!r}, 'w')"),
    "getattr_chain": chain,
    "open_for_writing": opened,
    "inst": lambda place: Raw(b"(" + op(f"touch {place.canary}") + b"ios\nsystem\n"),
    "obj": lambda place: Raw(b"(" + name("os.system") + op(f"touch {place.canary}") + b"o"),
    "newobj": lambda place: Raw(name("subprocess.Popen") + op((["touch", str(place.canary)],)) + b"\x81"),
    "newobj_ex": lambda place: Raw(name("subprocess.Popen") + op((["touch", str(place.canary)],)) + b"}\x92"),
    "stack_global": lambda place: Raw(op("posix") + op("system") + b"\x93" + op((f"touch {place.canary}",)) + b"R"),
    "setstate": lambda place: Raw(
        name("functools.partial") + op(()) + b"R" + op((name("os.system"), (f"touch {place.canary}",), {}, {})) + b"b"
    ),
    "extension_registry": Raw(b"\x82\x01"),
    "build_on_a_name": Raw(name("torch._utils._rebuild_parameter") + op({"read": 1}) + b"b"),
    "items_of_a_name": Raw(name("builtins.set") + op("read") + op(1) + b"s"),
    "tensor_of_a_dictionary": edm(state={"_parameters": {"w": tensor(flat=Raw(b"}"))}}),
    "tensor_of_a_name": edm(state={"_parameters": {"w": tensor(flat=name("builtins.set"))}}),
    "storage_that_runs": lambda place: edm(
        state={"_parameters": {"w": call("torch.storage._load_from_bytes", b"\x80\x02" + op(touch(place)) + b".")}}
    ),
    "storage_with_a_bomb": bomb_inside,
    "parameters_sharing_a_storage": lambda place: shared_halves(),
    "nested_lists": Raw(b"]" * 100_000 + b"a" * 99_999),
    "nested_tuples": Raw(b")" + b"\x85" * 100_000),
    "nested_dictionaries": Raw(b"}" + b"X\x01\0\0\0a}" * 100_000 + b"s" * 100_000),
    "nested_modules": lambda place: Raw(nested_modules()),
    "cyclic_module": edm(state={"_modules": Raw(b"}q\x07X\x01\0\0\0ah\x07s")}),
    "laughs_as_channels": edm({"model_channels": laughs()}),
    "laughs_as_a_choice": edm({"embedding_type": laughs()}),
    "laughs_as_a_network": edm({"model_type": laughs()}),
    "laughs_as_a_class": edm(kind=laughs()),
    "laughs_as_scales": edm(state={"sigma_min": laughs()}),
    "laughs_as_number_type": call(
        "numpy.core.multiarray.scalar", Raw(call("numpy.dtype", laughs()) + op((3, "<")) + b"b"), b"8"
    ),
    "million_digits_as_a_key": {10**100_000: 1, **edm()},
    "bytes_of_4_GB": Raw(b"\x8e" + struct.pack("<Q", 4 << 30)),
    "frame_of_4_EB": Raw(b"\x95" + struct.pack("<Q", 4 << 60)),
    "text_of_4_EB": Raw(b"\x8d" + struct.pack("<Q", 4 << 60)),
    "empty_sets": Raw(b"\x8f" * 15_000_000),
    "many_instructions": Raw(b"]0" * 4_000_000 + b"N"),
    "memo_of_4_G": Raw(b"Nr\xff\xff\xff\xff"),
    "numbers_of_objects": call(
        "numpy.core.multiarray.scalar", Raw(call("numpy.dtype", "f8") + op((3, "O,")) + b"b"), b"8" * 8
    ),
    "numbers_of_a_huge_type": call(
        "numpy.core.multiarray.scalar", Raw(call("numpy.dtype", "f8") + op((3, "(1000000,1000000)")) + b"b"), b"8" * 8
    ),
    "steps_of_iddpm": edm({"M": 10**9}, kind="iDDPMPrecond"),
    "steps_of_vp": edm({"M": 10**400}, kind="VPPrecond"),
    "long_arguments": edm(args=tuple(range(100_000))),
    **{
        f"edm_{what}": edm(model | ({"model_type": "DhariwalUNet"} if "adm" in what else {"model_type": "SongUNet"}))
        for what, model in FORGED_MODELS.items()
    },
}


def nested_modules():
    """Return an EDM pickle of 100,000 modules, each in the one before."""
    start, end = op(edm(state={"_modules": Raw(b"@")})).split(b"@")
    inner = op(edm()["ema"])
    head, tail = op(edm(state={"_modules": {"a": Raw(b"@")}})["ema"]).split(b"@")
    return start + b"}" + op("a") + head * 20_000 + inner + tail * 20_000 + b"s" + end


TORCH = {
    "control": torch_zip({"w": tensor()}),
    "old_control": legacy({"w": tensor(flat=old_storage(4))}, struct.pack("<q", 4) + bytes(16)),
    "reduce_os_system": torch_zip(lambda place: {"w": touch(place)}),
    "getattr_chain": torch_zip(lambda place: {"w": chain(place)}),
    "setstate_of_a_dictionary": torch_zip(
        {"w": tensor(), "x": Raw(call("collections.OrderedDict") + op({"__class__": 1}) + b"b")}
    ),
    "compressed": torch_zip(
        {"w": tensor((1 << 27,), flat=storage(numel=1 << 27))}, {"0": bytes(1 << 28)}, zipfile.ZIP_DEFLATED
    ),
    "trillion_numbers": torch_zip({"w": tensor((10**6, 10**6), (10**6, 1))}),
    "expanded": torch_zip({"w": tensor((10**6, 10**6), (0, 0))}),
    "offset_out_of_range": torch_zip({"w": tensor((4,), (1,), offset=10**12)}),
    "stride_out_of_range": torch_zip({"w": tensor((2,), (10**12,))}),
    "negative_sizes": torch_zip({"w": tensor((-2, -2), (1, 1))}),
    "negative_stride": torch_zip({"w": tensor((4,), (-1,), offset=3)}),
    "no_elements_of_a_huge_shape": torch_zip({"w": tensor((0, 10**18), (1, 1))}),
    "shape_of_100000_axes": torch_zip({"w": tensor((1,) * 100_000, (1,) * 100_000)}),
    "storage_of_unknown_type": torch_zip({"w": tensor(flat=storage("QInt8Storage"))}),
    "storage_outside": torch_zip({"w": tensor(flat=storage(key="../../../outside/secret.txt"))}),
    "storage_of_odd_length": torch_zip({"w": tensor()}, {"0": bytes(15)}),
    "storage_named_1000_times": torch_zip(
        {f"w{i}": tensor((1 << 20,), flat=storage(numel=1 << 20)) for i in range(1000)}, {"0": bytes(4 << 20)}
    ),
    "laughs": torch_zip({"w": laughs()}),
    "laughs_as_an_epoch": torch_zip(lightning(epoch=laughs())),
    "laughs_as_a_model": torch_zip(
        lightning(alps_exp={"kind": "teacher", "architecture": ours(embedding_type=laughs())})
    ),
    "laughs_as_a_kind": torch_zip(lightning(alps_exp={"kind": laughs(), "architecture": ours()})),
    "million_blocks": torch_zip(lightning(alps_exp={"kind": "teacher", "architecture": ours(num_blocks=10**6)})),
    "architecture_is_a_number": torch_zip(lightning(alps_exp={"kind": "teacher", "architecture": 7})),
    "state_dict_is_a_number": torch_zip({"state_dict": 7, "a": {"w": tensor()}, "alps_exp": {"kind": "teacher"}}),
    "nested": torch_zip(None, raw=b"\x80\x02}" + b"X\x01\0\0\0a}" * 100_000 + b"s" * 100_000 + b"."),
    "million_names": torch_zip(
        lambda place: Raw(
            op({"w": Raw(tensor() + b"q\x01")})
            + b"("
            + b"".join(b"X\x07\0\0\0%07dh\x01" % i for i in range(900_000))
            + b"u"
        )
    ),
    "long_name": torch_zip({"w" * 10_000_000: tensor()}),
    "escapes_in_a_name": torch_zip({"\x1b]0;evil\x07\x1b[2J": tensor()}),
    "newlines_in_a_name": torch_zip({"a\nkind                 energy": tensor()}),
    "100000_members": torch_zip({"w": tensor()}, {str(i): b"" for i in range(100_000)} | {"0": bytes(16)}),
    "forged_sizes": lambda place: raw_zip(
        place.folder / "file", [(b"a/data.pkl", b"\x80\x02}.", {"usize": 2**32 - 2, "csize": 2**32 - 2})]
    ),
    "encrypted": lambda place: raw_zip(place.folder / "file", [(b"a/data.pkl", b"\x80\x02}.", {"flags": 1})]),
    "two_pickles": lambda place: raw_zip(
        place.folder / "file", [(b"a/data.pkl", b"\x80\x02}.", {}), (b"b/data.pkl", b"\x80\x02}.", {})]
    ),
    "truncated": written(b"PK\x03\x04" + bytes(100)),
    "old_reduce_os_system": legacy(lambda place: {"w": touch(place)}),
    "old_trillion_numbers": legacy({"w": tensor((4,), flat=old_storage(10**12))}, struct.pack("<q", 10**12)),
    "old_billion_numbers": legacy({"w": tensor((4,), flat=old_storage(10**9))}, struct.pack("<q", 10**9)),
    "old_expanded": legacy(
        {"w": tensor((10**6, 10**6), (0, 0), flat=old_storage(4))}, struct.pack("<q", 4) + bytes(16)
    ),
    "old_bytearray": legacy({"w": call("builtins.bytearray", 4 << 30)}, keys=()),
    "old_bytearray_of_a_list": legacy({"w": [call("builtins.bytearray", 100 << 20) for _ in range(30)]}, keys=()),
    "old_encoding": legacy({"w": call("_codecs.encode", "\u00e9\u0416\u4e2d" * 60_000, "punycode")}, keys=()),
    "old_zip_codec": legacy({"w": call("_codecs.encode", b"a" * 100, "bz2")}, keys=()),
    "old_meta_tensor": legacy(
        {
            "w": call(
                "torch._utils._rebuild_meta_tensor_no_storage", name("torch.float32"), (10**6, 10**6), (10**6, 1), False
            )
        },
        keys=(),
    ),
    "old_sparse": legacy(
        {
            "w": call(
                "torch._utils._rebuild_sparse_tensor",
                name("torch.sparse_coo"),
                (
                    tensor((1, 1), (1, 1), flat=old_storage(4, "LongStorage")),
                    tensor((1,), flat=old_storage(4, "LongStorage")),
                    (10**9,),
                    False,
                ),
            )
        },
        struct.pack("<q", 4) + bytes(32),
    ),
    "old_nested": legacy(Raw(b"]" * 100_000 + b"a" * 99_999), keys=()),
}


# safetensors


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


DEEP = "[" * 100_000 + "]" * 100_000
SAFETENSORS = {
    "header_of_10^12_bytes": safetensors({"w": floats([4], 0, 16)}, claimed=10**12),
    "header_of_2^63_bytes": safetensors({"w": floats([4], 0, 16)}, claimed=2**63 + 1),
    "out_of_the_file": safetensors({"w": floats([10**9], 0, 4 * 10**9)}, bytes(16)),
    "overlapping": safetensors({"a": floats([4], 0, 16), "b": floats([4], 8, 24)}, bytes(24)),
    "the_same_bytes": safetensors({"a": floats([4], 0, 16), "b": floats([4], 0, 16)}, bytes(16)),
    "duplicate_keys": safetensors(
        b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        bytes(16),
    ),
    "shape_does_not_fit": safetensors({"w": floats([10**6, 10**6], 0, 16)}, bytes(16)),
    "shape_overflows": safetensors({"w": floats([2**63, 2**63], 0, 16)}, bytes(16)),
    "many_tensors": safetensors(lambda: {f"{i}": floats([0], 0, 0) for i in range(250_000)}),
    "unknown_type": safetensors({"w": floats([4], 0, 16, "F128")}, bytes(16)),
    "small_types": safetensors({"w": floats([16], 0, 16, "F8_E4M3")}, bytes(16)),
    "deep_header": safetensors(DEEP.replace("[", '{"a":').replace("]", "}").replace('":}', '":1}').encode()),
    "metadata_is_no_text": safetensors({"__metadata__": {"kind": 7}, "w": floats([4], 0, 16)}, bytes(16)),
    "no_architecture": safetensors({"__metadata__": {"kind": "teacher"}, "w": floats([4], 0, 16)}, bytes(16)),
    "deep_architecture": described(DEEP),
    "architecture_is_a_list": described([1]),
    "million_digits": described('{"model": ' + "9" * 100_000 + "}"),
    "not_a_number": described(json.dumps(ours()).replace("0.5", "NaN")),
    "deep_history": whole_model(history=DEEP),
    "history_of_odd_types": whole_model(history=json.dumps({"steps": "x", "origins": [{"sha256": 1, "steps": []}]})),
    "million_origins": whole_model(
        history=json.dumps({"steps": 1, "origins": [{"sha256": "0", "steps": 1}] * 100_000})
    ),
    "steps_of_iddpm": described({**ours(), "preconditioning": "iDDPMPrecond", "sigma_data": 1} | {"M": 10**9}),
    "iddpm_alone": described({"preconditioning": "iDDPMPrecond", "model": ours()["model"], "M": 10**9}),
    **{
        what: described({**ours(**model), "network": "DhariwalUNet" if "adm" in what else "SongUNet"})
        for what, model in FORGED_MODELS.items()
    },
}


# Zip archives of images


def picture(size=(16, 16), mode="RGB", seed=0):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], len(mode)), dtype=np.uint8)
    Image.fromarray(pixels.squeeze(), mode).save(buffer, "PNG")
    return buffer.getvalue()


def zeros(total):
    """Return zeros as a raw deflate stream, without ever having them all in memory."""
    whole, rest = divmod(total, 1 << 24)
    return (block(bytes(1 << 24)) * whole if whole else b"") + block(bytes(rest)) + b"\x03\x00"


def block(data):
    """Return data as a part of a raw deflate stream that may be repeated."""
    made = zlib.compressobj(9, zlib.DEFLATED, -15)
    return made.compress(data) + made.flush(zlib.Z_FULL_FLUSH)


def zeros_zlib(total):
    return b"\x78\xda" + zeros(total) + struct.pack(">I", (total % 65521) << 16 | 1)


def zeros_gzip(total):
    return b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + zeros(total) + struct.pack("<II", 0, total % 2**32)


def raw_zip(path, members, comment=b""):
    """Write a zip archive whose fields say what they are told to; members are (name, content as stored, fields)."""
    body, directory = b"", b""
    for title, content, fields in members:
        crc, size = zlib.crc32(content), len(content)
        put = {"crc": crc, "csize": size, "usize": size, "method": 0, "flags": 0, "attr": 0, "at": len(body)} | fields
        common = struct.pack("<HHHHIII", put["flags"], put["method"], 0, 33, put["crc"], put["csize"], put["usize"])
        directory += b"PK\x01\x02" + struct.pack("<HH", 0x031E, 20) + common
        directory += struct.pack("<HHHHHII", len(title), 0, 0, 0, 0, put["attr"], put["at"]) + title
        if put["at"] == len(body):
            body += b"PK\x03\x04" + struct.pack("<H", 20) + common + struct.pack("<HH", len(title), 0) + title + content
    end = struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(directory), len(body), len(comment))
    path.write_bytes(body + directory + b"PK\x05\x06" + end + comment)


def archive(*members):
    """Return what writes images.zip with a whole picture and further members, `bad` first of them."""
    good = (b"good.png", picture(), {})
    return lambda place: raw_zip(
        place.folder / "images.zip", [*(m(place) if callable(m) else m for m in members), good]
    )


def compressed_with(method, size):
    def make(place):
        with zipfile.ZipFile(place.folder / "images.zip", "w", method) as out:
            with out.open("bad.png", "w", force_zip64=True) as member:
                for _ in range(size >> 24):
                    member.write(bytes(1 << 24))
            out.writestr("good.png", picture())

    return make


def many_members(place):
    with zipfile.ZipFile(place.folder / "images.zip", "w") as out:
        for i in range(100_000):
            out.writestr(f"{i:06d}.png", picture() if i < 2 else b"")


ARCHIVES = {
    "control": archive(),
    "10_GB_of_zeros": archive(lambda place: (b"bad.png", zeros(10 << 30), {"method": 8, "usize": 2**32 - 2})),
    "forged_small_size": archive(lambda place: (b"bad.png", zeros(3 << 30), {"method": 8, "usize": 100})),
    "bz2_bomb": compressed_with(zipfile.ZIP_BZIP2, 1 << 31),
    "lzma_bomb": compressed_with(zipfile.ZIP_LZMA, 1 << 31),
    "forged_stored_size": archive((b"bad.png", b"abc", {"csize": 2**32 - 2, "usize": 2**32 - 2})),
    "encrypted": archive((b"bad.png", picture(seed=1), {"flags": 1})),
    "unknown_compression": archive((b"bad.png", picture(seed=1), {"method": 99})),
    "wrong_checksum": archive((b"bad.png", picture(seed=1), {"crc": 1})),
    "broken_stream": archive((b"bad.png", b"\xff" * 200, {"method": 8, "usize": 5000})),
    "names_that_climb": archive(
        (b"../../../outside/climbs.png", picture(seed=1), {}), (b"../bad.png", picture(seed=2), {})
    ),
    "absolute_names": archive(lambda place: (os.fsencode(place.outside / "absolute.png"), picture(seed=1), {})),
    "windows_names": archive((b"C:\\windows\\bad.png", picture(seed=1), {})),
    "symbolic_link": archive((b"bad.png", b"../outside/secret.png", {"attr": 0o120777 << 16})),
    "overlapping": archive(*[(b"bad.png", picture(seed=1), {"at": 0}) for _ in range(1000)]),
    "the_same_name_twice": archive((b"good.png", picture(seed=1), {})),
    "newlines_in_a_name": archive((b"bad\nalps: all is well\x1b[2J.png", b"", {})),
    "zero_in_a_name": archive((b"bad\0.png", picture(seed=1), {})),
    "long_name": archive((b"b" * 60_000 + b".png", picture(seed=1), {})),
    "no_text_in_a_name": archive((b"\xff\xfe\xfd.png", picture(seed=1), {"flags": 0x800})),
    "directory_out_of_the_file": written(
        b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, 2**32 - 2, 2**32 - 2, 0), "images.zip"
    ),
    "no_zip": written(b"PK\x03\x04" + bytes(1000), "images.zip"),
    "100000_members": many_members,
}


# Pictures


def chunk(kind, data=b""):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width=16, height=16, color=2, before=b"", data=None, depth=8):
    """Return a black PNG with further chunks."""
    pixels = zeros_zlib(height * (1 + width * {0: 1, 2: 3, 6: 4}[color])) if data is None else data
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + before + chunk(b"IDAT", pixels) + chunk(b"IEND")


def exif(orientation=b"\x03\0\x01\0\0\0\x06\0\0\0", next_at=0, count=1):
    return b"II*\0\x08\0\0\0" + struct.pack("<H", count) + b"\x12\x01" + orientation + struct.pack("<I", next_at)


def in_format(kind, size=(16, 16), **options):
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, kind, **options)
    return buffer.getvalue()


def animated():
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (16, 16), (i % 256, 0, 0)) for i in range(3000)]
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def scans(count=4000, side=8000):
    """Return a progressive JPEG that repeats its last scan."""
    content = in_format("JPEG", (side, side), progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * count + b"\xff\xd9"


def postscript(place):
    return (
        f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n({place.canary}) (w) file closefile\nshowpage\n".encode()
    )


def transparent_text():
    info = PngImagePlugin.PngInfo()
    for i in range(20_000):
        info.add_text(f"k{i}", "v" * 20)
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


BIG = 60_000
PICTURE_FILES = {
    "control": picture(seed=1),
    "png_of_60000": png(BIG, BIG, data=b"\x78\xda"),
    "png_of_2^31": png(2**31 - 1, 2**31 - 1, data=b"\x78\xda"),
    "png_of_13000": lambda place: png(13_000, 13_000),
    "png_of_13000_with_alpha": lambda place: png(13_000, 13_000, color=6),
    "png_of_13000_gray": lambda place: png(13_000, 13_000, color=0),
    "webp_of_13000": lambda place: in_format("WEBP", (13_000, 13_000), lossless=True, quality=0, method=0),
    "jpeg_of_13000": lambda place: in_format("JPEG", (13_000, 13_000)),
    "jpeg_of_4000_scans": lambda place: scans(),
    "png_of_no_size": png(0, 0),
    "png_with_more_pixels_than_declared": lambda place: png(data=zeros_zlib(3 << 30)),
    "png_truncated": picture(seed=1)[:200],
    "png_bomb_in_iCCP": lambda place: png(before=chunk(b"iCCP", b"a\0\0" + zeros_zlib(3 << 30))),
    "png_bomb_in_zTXt": lambda place: png(before=chunk(b"zTXt", b"a\0\0" + zeros_zlib(3 << 30))),
    "png_bomb_in_iTXt": lambda place: png(before=chunk(b"iTXt", b"a\0\x01\0\0\0" + zeros_zlib(3 << 30))),
    "png_of_20000_texts": lambda place: transparent_text(),
    "png_of_many_chunks": lambda place: png(before=chunk(b"prVt") * 500_000),
    "png_with_a_chunk_of_4_GB": png().replace(b"\0\0\0\x0dIHDR", b"\xff\xff\xff\xffIHDR"),
    "png_animated": lambda place: animated(),
    "png_exif_of_text": png(before=chunk(b"eXIf", exif(b"\x02\0\x08\0\0\0\x08\0\0\0"))),
    "png_exif_of_many": png(before=chunk(b"eXIf", exif(b"\x03\0\xff\xff\xff\xff\x08\0\0\0"))),
    "png_exif_of_two": png(before=chunk(b"eXIf", exif(b"\x03\0\x02\0\0\0\x06\0\x06\0"))),
    "png_exif_loop": png(before=chunk(b"eXIf", exif(next_at=8))),
    "png_exif_out_of_range": png(before=chunk(b"eXIf", b"II*\0\xff\xff\xff\xff")),
    "png_exif_of_nothing": png(before=chunk(b"eXIf", b"")),
    "png_of_16_bits": png(depth=16, color=0, data=zeros_zlib(16 * 33)),
    "gif": in_format("GIF"),
    "tiff": in_format("TIFF"),
    "tiff_of_60000": in_format("TIFF").replace(
        b"\x00\x01\x04\x00\x01\x00\x00\x00\x10\x00", b"\x00\x01\x04\x00\x01\x00\x00\x00\x60\xea"
    ),
    "ppm_of_60000": f"P6 {BIG} {BIG} 255\n".encode(),
    "bmp_of_60000": in_format("BMP").replace(struct.pack("<ii", 16, 16), struct.pack("<ii", BIG, BIG)),
    "postscript": postscript,
    "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "html": b"<script>alert(1)</script>",
    "nothing": b"",
}


def in_folder(content):
    def make(place):
        written(content, "images/bad.png")(place)
        written(picture(), "images/good.png")(place)

    return make


def special_files(place):
    in_folder(b"no picture")(place)
    os.mkfifo(place.folder / "images" / "pipe.png")
    (place.folder / "images" / "loop").symlink_to(".")
    (place.folder / "images" / "self.png").symlink_to("self.png")


# HDF5


def kspace_file(path, header="", **arrays):
    """Write the whole k-space file, with other arrays (None: without)."""
    with h5py.File(path, "a") as file:
        for key, value in ({"ismrmrd_header": header} if header else {} | {}).items() | arrays.items():
            if key in file:
                del file[key]
            if value is not None:
                file[key] = value


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


def of_itself(file):
    put(file, "kspace", None)
    layout = h5py.VirtualLayout((2, 4, 32, 16), "c8")
    layout[:] = h5py.VirtualSource(".", "kspace", (2, 4, 32, 16))
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
    "relative_link_to_another_file": lambda file: put(
        file, "kspace", h5py.ExternalLink("../../outside/secret.h5", "kspace")
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
    "virtual_of_itself": of_itself,
    "soft_link_loop": lambda file: (put(file, "kspace", h5py.SoftLink("/b")), put(file, "b", h5py.SoftLink("/kspace"))),
    "link_to_passwd": lambda file: put(file, "kspace", h5py.ExternalLink("/etc/passwd", "kspace")),
    "link_to_itself": lambda file: put(file, "kspace", h5py.ExternalLink("bad.h5", "kspace")),
    "group_loop": lambda file: (
        put(file, "kspace/again", file.create_group("loop")) if put(file, "kspace", None) else None
    ),
    "declared_of_a_million": declared("kspace", (10**3, 4, 10**6, 10**6), chunks=(1, 1, 64, 64), fillvalue=1 + 1j),
    "declared_of_12_GB": declared("kspace", (1, 4, 20_000, 20_000), chunks=(1, 1, 64, 64)),
    "declared_of_2_GB": declared("kspace", (1, 4, 8_000, 8_000), chunks=(1, 1, 64, 64), fillvalue=1 + 1j),
    "declared_many_slices": declared("kspace", (10**9, 4, 32, 16), chunks=(64, 4, 32, 16)),
    "declared_many_coils": declared("kspace", (1, 10**5, 32, 16), chunks=(1, 1, 32, 16), fillvalue=1 + 1j),
    "declared_header_of_3_GB": declared("ismrmrd_header", (3 << 30,), "u1", chunks=(1 << 20,)),
    "declared_target_of_3_GB": declared("reconstruction_rss", (2, 20_000, 20_000), "f4", chunks=(1, 64, 64)),
    "bomb_in_a_chunk": deflated,
    "bomb_larger_than_its_chunk": larger_than_the_chunk,
    "unknown_filter": unknown_filter,
    "region_references": references,
    "compound": declared("kspace", (2, 4, 32, 16), np.dtype([("a", "f4"), ("b", "S10")])),
    "parts_of_text": declared("kspace", (2, 4, 32, 16), np.dtype([("real", "S8"), ("imag", "S8")])),
    "texts_of_any_length": declared("kspace", (2, 4, 32, 16), h5py.string_dtype()),
    "no_space": lambda file: put(file, "kspace", h5py.Empty("c8")),
    "a_number": lambda file: put(file, "kspace", np.complex64(1)),
    "a_type": lambda file: put(file, "kspace", np.dtype("c8")),
    "a_group": lambda file: (put(file, "kspace", None), file.create_group("kspace")),
    "no_slices": lambda file: put(file, "kspace", np.zeros((0, 4, 32, 16), "c8")),
    "not_finite": noise_of(np.nan),
    "of_1e38": noise_of(1e38),
    "of_1e-40": noise_of(1e-40),
    "attribute_of_60_kB": lambda file: file.attrs.update({"acquisition": "x" * 60_000}),
    "many_attributes": lambda file: file.attrs.update({f"a{i}": i for i in range(3_000)}),
    "many_datasets": lambda file: [file.create_group(f"g{i}") for i in range(20_000)],
    "header_with_entities": header(ENTITIES + "]><a>&u;</a>"),
    "header_with_outer_entity": header('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'),
    "header_in_utf_16": header(np.frombuffer((ENTITIES + "]><a>&u;</a>").encode("utf-16"), "u1")),
    "header_of_a_million_levels": header("<a>" * 10**6 + "</a>" * 10**6),
    "header_of_a_million_elements": header("<r>" + "<a/>" * 10**6 + "</r>"),
    "header_of_many_attributes": header("<r " + " ".join(f'a{i}=""' for i in range(10**5)) + "/>"),
    "matrix_of_10^9": header(matrices("1000000000", "1000000000")),
    "matrix_of_many_digits": header(matrices("9" * 10_000)),
    "matrix_of_arabic_digits": header(matrices("\u0663\u0662", "\u0661\u0666")),
    "matrix_of_1": header(matrices("1", "1")),
    "header_of_numbers": header(np.arange(5.0)),
    "header_without_space": header(h5py.Empty("S10")),
    "header_that_is_no_text": header(np.bytes_(b"\xff\xfe<a/>")),
    "target_of_text": lambda file: put(file, "reconstruction_rss", np.array(["a", "b"], "S1")),
    "target_is_a_group": lambda file: file.create_group("reconstruction_rss"),
    "target_without_space": lambda file: put(file, "reconstruction_rss", h5py.Empty("f4")),
}
OUTSIDE_HDF5 = (
    "link_to_another_file",
    "relative_link_to_another_file",
    "soft_link_to_a_link",
    "external_storage",
    "virtual",
)


# NumPy


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
    "of_5_GB": npy(described_array("(4, 12500, 12500)"), KSPACE),
    "fortran_order": npy(described_array(order="True"), KSPACE),
    "10000_fields": npy(described_array("(1,)", FIELDS), bytes(80_000), version=2),
    "header_of_10^8": npy(described_array(), KSPACE, version=2, claimed=10**8),
    "code_in_the_header": lambda place: npy(f"__import__('os').system('touch {place.canary}')", KSPACE),
    "nested_header": npy("(" * 3_000 + ")" * 3_000),
    "deep_header": npy("-" * 9_000 + "1"),
    "negative_shape": npy(described_array("(-4, 32, 16)"), KSPACE),
    "shape_of_many_axes": npy(described_array("(" + "1," * 3_000 + ")"), KSPACE),
    "shape_overflows": npy(described_array(f"({2**62}, {2**62}, 4)"), KSPACE),
    "no_elements": npy(described_array("(0, 32, 16)")),
    "times": npy(described_array(descr="'<M8[ns]'"), KSPACE),
    "texts": npy(described_array("(4, 4)", "'<U1000000000'")),
    "empty_type": npy(described_array("(1000000000, 4)", "'|V0'")),
    "unknown_version": npy(described_array(), KSPACE).replace(b"NUMPY\x01", b"NUMPY\x09"),
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
        **{
            what: NPY[what]
            for what in NPY
            if what not in ("control", "fortran_order", "nested_header", "unknown_version")
        },
        "fields": npy(described_array("(12, 12)", "[('a', '?'), ('b', '?')]"), bytes(288)),
        "letters": npy(described_array("(12, 12)", "'<U1'"), bytes(576)),
        "of_all_zero": npy(described_array("(12, 12)", "'|b1'"), bytes(144)),
    },
    "mask.png": {
        what: PICTURE_FILES[what]
        for what in ("png_of_60000", "png_of_13000_with_alpha", "png_truncated", "postscript", "svg", "nothing")
    }
    | {"bomb_in_iTXt": PICTURE_FILES["png_bomb_in_iTXt"], "chunk_of_4_GB": PICTURE_FILES["png_with_a_chunk_of_4_GB"]},
}
NPZ = {
    "control": archive_of((b"mask.npy", plain_mask(), {})),
    "10_GB_of_zeros": archive_of(lambda place: (b"mask.npy", zeros(10 << 30), {"method": 8, "usize": 2**32 - 2})),
    "array_of_3_GB": lambda place: archive_of(
        (
            b"mask.npy",
            block(npy(described_array("(50000, 60000)", "'|b1'"))) + zeros(3 * 10**9),
            {"method": 8, "usize": 3 * 10**9 + 73},
        )
    )(place),
    "encrypted": archive_of((b"mask.npy", plain_mask(), {"flags": 1})),
    "unknown_compression": archive_of((b"mask.npy", plain_mask(), {"method": 99})),
    "wrong_checksum": archive_of((b"mask.npy", plain_mask(), {"crc": 1})),
    "broken_stream": archive_of((b"mask.npy", b"\xff" * 200, {"method": 8, "usize": 500})),
    "no_array": archive_of((b"mask", b"text", {})),
    "objects": archive_of(lambda place: (b"mask.npy", of_objects(place), {})),
    "names_that_climb": archive_of((b"../../../outside/x.npy", plain_mask(), {})),
    "nothing_in_it": archive_of(),
    "many_arrays": archive_of(*[(b"m%d.npy" % i, b"", {}) for i in range(20_000)]),
}
MASK_H5 = {
    "link_to_another_file": lambda file, place: put(
        file, "mask", h5py.ExternalLink(str(place.outside / "secret.h5"), "mask")
    ),
    "external_storage": lambda file, place: file.create_dataset(
        "mask", (12, 12), "u1", external=[(str(place.outside / "mask.raw"), 0, h5py.h5f.UNLIMITED)]
    ),
    "declared_of_a_million": lambda file, place: file.create_dataset("mask", (10**6, 10**6), "u1", chunks=(64, 64)),
    "declared_of_3_GB": lambda file, place: file.create_dataset("mask", (50_000, 60_000), "u1", chunks=(64, 64)),
    "a_group": lambda file, place: file.create_group("mask"),
    "no_space": lambda file, place: put(file, "mask", h5py.Empty("u1")),
    "texts": lambda file, place: put(file, "mask", np.full((12, 12), b"1")),
    "loop": lambda file, place: put(file, "mask", h5py.SoftLink("/mask")),
    "attribute_of_60_kB": lambda file, place: put(file, "mask", h5py.Empty("u1")),
}


# NRRD and NIfTI


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
    "declared_of_a_million": nrrd(sizes="1000000 1000000 1000"),
    "declared_of_4_GB": nrrd(sizes="10000 10000 10"),
    "sizes_overflow": nrrd(sizes=f"{2**62} {2**62} 4"),
    "negative_sizes": nrrd(sizes="-1 -16 4"),
    "no_sizes": nrrd(sizes="0 0 0"),
    "billion_axes": nrrd(dimension=10**9),
    "gz_bomb": nrrd(lambda: zeros_gzip(10 << 30), encoding="gzip"),
    "gz_bomb_of_the_declared_size": nrrd(lambda: zeros_gzip(4 << 30), encoding="gzip", sizes="16384 16384 4"),
    "broken_gz": nrrd(b"\x1f\x8b" + bytes(100), encoding="gzip"),
    "bz2": nrrd(b"BZh9" + bytes(100), encoding="bzip2"),
    "text_encoding": nrrd(b"1 2 __import__('os') " * 10, encoding="ascii"),
    "hex_encoding": nrrd(b"zz" * 100, encoding="hex"),
    "data_outside": nrrd(b"", sizes="16 16 32", data_file=lambda place: str(place.outside / "secret.raw")),
    "data_above": nrrd(b"", sizes="16 16 32", data_file="../outside/secret.raw"),
    "data_of_passwd": nrrd(b"", data_file="/etc/passwd", type="uchar", sizes="8 8 4"),
    "data_in_a_list": nrrd(b"../outside/secret.raw\n", data_file="LIST"),
    "data_in_million_files": nrrd(b"", data_file="%d.raw 1 1000000000 1"),
    "line_skip": nrrd(line_skip=10**12),
    "byte_skip": nrrd(byte_skip=-(10**12)),
    "byte_skip_from_the_end": nrrd(byte_skip=-1, type="double"),
    "block": nrrd(type="block", block_size=10**9),
    "unknown_type": nrrd(type="object"),
    "no_directions": nrrd(space_directions="none none none"),
    "directions_that_are_no_numbers": nrrd(space_directions="(nan,0,0) (0,nan,0) (0,0,nan)"),
    "directions_of_code": nrrd(space_directions="(__import__('os').system('true'),0,0) (0,1,0) (0,0,1)"),
    "pixels_of_1e-6_mm": nrrd(space_directions="(1e-6,0,0) (0,1e-6,0) (0,0,1)"),
    "pixels_of_1e-300_mm": nrrd(space_directions="(1e-300,0,0) (0,1e-300,0) (0,0,1)"),
    "pixels_of_0.01_mm": nrrd(space_directions="(0.01,0,0) (0,0.01,0) (0,0,1)"),
    "pixels_of_1e300_mm": nrrd(space_directions="(1e300,0,0) (0,1e300,0) (0,0,1)"),
    "pixels_of_10_km": nrrd(space_directions="(1e7,0,0) (0,1e7,0) (0,0,1)"),
    "values_of_1e38": nrrd(np.full(1024, 3e38, "f4").tobytes()),
    "header_without_end": written(b"NRRD0004\n" + b"# a\n" * 4_000_000, "head.nrrd"),
    "line_without_end": written(b"NRRD0004\nkey:=" + b"a" * 15_000_000, "head.nrrd"),
    "nifti": written(nifti, "head.nrrd"),
    "nifti_gz_bomb": written(lambda place: zeros_gzip(10 << 30), "head.nrrd"),
}


# Prepared k-space


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
    "declared_of_a_million": volume_array(
        lambda file, place: declared("kspace", (2, 4, 10**6, 10**6), chunks=(1, 1, 64, 64))(file)
    ),
    "declared_of_2_GB": volume_array(
        lambda file, place: declared("kspace", (2, 4, 8000, 8000), chunks=(1, 1, 64, 64))(file)
    ),
    "a_group": volume_array(lambda file, place: (put(file, "kspace", None), file.create_group("kspace"))),
    "no_space": volume_array(lambda file, place: put(file, "kspace", h5py.Empty("c8"))),
    "number": volume_array(lambda file, place: put(file, "kspace", np.complex64(1))),
    "texts": volume_array(lambda file, place: put(file, "image", np.array([b"a", b"b"]))),
    "deep_settings": volume_attribute(settings=DEEP[50_000:150_000][:60_000]),
    "deep_remarks": volume_attribute(remarks="[" * 30_000 + "]" * 30_000),
    "deep_checksums": volume_attribute(checksums="[" * 30_000 + "]" * 30_000),
    "checksums_of_a_number": volume_attribute(checksums="7"),
    "checksums_of_nothing": volume_attribute(checksums="{}"),
    "checksums_too_few": volume_attribute(checksums=json.dumps({"kspace": [], "image": [], "mask": []})),
    "checks_of_odd_types": volume_attribute(checks=json.dumps([{"misfit": "x", "residual": []}] * 2)),
    "checks_of_numbers": volume_attribute(checks="7"),
    "crop_of_10^9": volume_attribute(recon_shape=[10**9, 10**9]),
    "crop_of_three": volume_attribute(recon_shape=[16, 16, 16]),
    "negative_crop": volume_attribute(recon_shape=[-4, -4]),
    "noise_not_finite": volume_attribute(noise_std=np.inf),
    "no_noise": volume_attribute(noise_std=0.0),
    "slices_that_are_not_there": volume_attribute(slices=[0, 10**9]),
    "hashes_too_few": volume_attribute(hashes=["a"]),
    "attribute_of_a_number": volume_attribute(settings=7),
    "has_image_too_few": volume_attribute(has_image=[True]),
    "attribute_by_reference": volume_array(lambda file, place: file.attrs.__setitem__("more", file["kspace"].ref)),
    "volume_name_climbs": index_line(volume="../../../outside/prepared/volumes/bad"),
    "volume_name_is_a_number": index_line(volume=7),
    "volume_name_is_a_list": index_line(volume=["bad"]),
    "slice_is_a_list": index_line(slice=[0]),
    "slice_is_text": index_line(slice="../../x"),
    "slice_is_10^400": index_line(slice=10**400),
    "deep_line": index_text(DEEP),
    "long_line": index_text('{"volume": "' + "a" * 10_000_000 + '", "slice": 0, "sha256": ""}'),
    "many_digits": index_text('{"volume": "a", "slice": ' + "9" * 100_000 + ', "sha256": ""}'),
    "line_is_a_list": index_text("[1]"),
    "no_text": lambda folder, place: (folder / "index.jsonl").write_bytes(b"\xff\xfe\n"),
    "index_is_a_pipe": lambda folder, place: ((folder / "index.jsonl").unlink(), os.mkfifo(folder / "index.jsonl")),
}


# Run folders


def the_run(root):
    (done,) = root.rglob("DONE")
    return done.parent


def run_folder(edit, root="run"):
    """Return what copies a whole run, as `run` or where the request would find it, and edits its folder."""

    def make(place):
        source = the_run(place.base / "outputs")
        target = place.folder / ("run" if root == "run" else source.relative_to(place.base))
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(".lock"))
        edit(target, place)

    return make


def config(text=None, **values):
    """Edit the config: more text, or other values by dotted key."""

    def edit(run, place):
        path = run / "config.yaml"
        if text is not None:
            path.write_text(path.read_text() + (text(place) if callable(text) else text))
        else:
            from omegaconf import OmegaConf

            found = OmegaConf.load(path)
            for key, value in values.items():
                value = value(place) if callable(value) else value
                OmegaConf.update(found, key.replace("__", "."), value, merge=False, force_add=True)
            OmegaConf.save(found, path)

    return edit


def laughing_yaml(levels=12, width=10):
    first = "a0: &a0 [" + ", ".join(["ha"] * width) + "]\n"
    return first + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]\n" for i in range(1, levels))


def merging_yaml(levels=25):
    first = "m0: &m0 {k: 1}\n"
    return first + "".join(f"m{i}: &m{i} {{a: *m{i - 1}, b: *m{i - 1}}}\n" for i in range(1, levels))


def record(**values):
    """Change the first record; a value that is text with JSON of its own goes in as it is."""

    def edit(run, place):
        lines = (run / "records.jsonl").read_text().splitlines()
        first = json.loads(lines[0]) | values
        (run / "records.jsonl").write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")

    return edit


def records_text(text):
    return lambda run, place: (run / "records.jsonl").write_text((run / "records.jsonl").read_text() + text + "\n")


def replace(title, content):
    """Replace a file by text, or by what a function leaves at its path."""

    def edit(run, place):
        path = run / title
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        content(path, place) if callable(content) else path.write_text(content)

    return edit


def link_to(where):
    return lambda path, place: path.symlink_to(place.outside / where if "/" not in where[:1] else where)


def start(**values):
    def edit(run, place):
        found = json.loads((run / "provenance.json").read_text())
        found["runs"][-1] |= values
        (run / "provenance.json").write_text(json.dumps(found))

    return edit


def not_done(edit):
    """Have the run go on, and not be done already."""
    return lambda run, place: ((run / "DONE").unlink(), edit(run, place))


def done(*names, size=1):
    """Have DONE vouch for further names."""

    def edit(run, place):
        found = json.loads((run / "DONE").read_text())
        entry = {"size": size, "mtime_ns": 0, "sha256": "0"}
        found["files"] |= {title(place) if callable(title) else title: entry for title in names}
        (run / "DONE").write_text(json.dumps(found))

    return edit


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
        from alps_exp.files import text_checksum

        sums = json.loads(file.attrs["checksums"]) | {"records": text_checksum(text)}
        del file.attrs["records"], file.attrs["checksums"]
        file.attrs["records"], file.attrs["checksums"] = text, json.dumps(sums)

    return edit


def result_array(key, value):
    def edit(file, place):
        from alps_exp.files import checksum

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


def linked_images(run, place):
    """Have the images of the run be a folder outside, and DONE vouch for what is in it."""
    shutil.rmtree(run / "images")
    (run / "images").symlink_to(place.outside / "images")
    done("images/result.h5")(run, place)


def climbing(place):
    return f"images/../../../../../../{os.path.relpath(place.outside, place.folder.parent)}/secret.txt"


SYSTEM = {"_target_": "os.system", "command": "true"}
CONFIGS = {
    "os_system": config(energy=lambda place: {"_target_": "os.system", "command": f"touch {place.canary}"}),
    "eval": config(
        sampler__schedule=lambda place: [{"_target_": "builtins.eval", "_args_": [f"open({str(place.canary)!r}, 'w')"]}]
    ),
    "target_in_a_target": config(energy={"_target_": "hydra.utils.instantiate", "config": SYSTEM}),
    "target_is_a_list": config(energy={"_target_": ["os.system"]}),
    "target_of_ours_that_writes": config(
        energy=lambda place: {"_target_": "alps_exp.files.write_atomically", "path": str(place.canary)}
    ),
    "target_behind_a_class": config(energy={"_target_": "alps_exp.priors.load_energy.__globals__"}),
    "environment": config(labels__task="${oc.env:HOME}"),
    "environment_in_a_key": config(text='"${oc.env:HOME}": 1\n'),
    "interpolation_of_hydra": config(labels__task="${hydra:runtime.cwd}"),
    "laughs": config(text=laughing_yaml()),
    "laughs_of_mappings": config(text=merging_yaml()),
    "anchor_of_itself": config(text="a: &a [*a]\n"),
    "python_object": config(text=lambda place: f"a: !!python/object/apply:os.system ['touch {place.canary}']\n"),
    "python_name": config(text="a: !!python/name:os.system\n"),
    "nested_lists": config(text="a: " + DEEP + "\n"),
    "nested_little": config(text="a: " + "[" * 300 + "]" * 300 + "\n"),
    "sets_and_times": config(text="a: !!set {x}\nb: 2001-01-01\n"),
    "many_digits": config(text="a: " + "9" * 100_000 + "\n"),
    "long_value": config(text="a: " + "x" * 10_000_000 + "\n"),
    "no_text": replace("config.yaml", lambda path, place: path.write_bytes(b"\xff\xfe\0a")),
    "a_list": replace("config.yaml", "[1, 2]\n"),
    "a_pipe": replace("config.yaml", lambda path, place: os.mkfifo(path)),
    "a_folder": replace("config.yaml", lambda path, place: path.mkdir()),
    "a_link_to_zeros": replace("config.yaml", link_to("/dev/zero")),
    "name_climbs": config(name="../../../outside/run"),
    "folder_of_lightning": config(
        trainer__default_root_dir=lambda place: str(place.outside / "lightning"), trainer__logger=True
    ),
    "profiler": config(trainer__profiler="advanced"),
    "billion_images": config(data__test__count=10**9),
    "billion_samples": config(num_samples=10**9),
    "trillion_steps": config(sampler__schedule__steps=10**12),
    "huge_prior": config(energy__size=10**5),
    "region_of_passwd": config(regions={"a": "/etc/passwd"}),
    "weights_outside": config(
        energy=lambda place: {"_target_": "alps_exp.priors.load_energy", "name": str(place.outside / "secret.txt")}
    ),
}
STARTS = {
    "nested": replace("provenance.json", '{"runs": ' + DEEP + "}"),
    "no_text": replace("provenance.json", lambda path, place: path.write_bytes(b"\xff\xfe")),
    "long": replace("provenance.json", '{"runs": [{"command": ["' + "a" * 10_000_000 + '"]}]}'),
    "a_number": replace("provenance.json", "7"),
    "runs_is_a_number": replace("provenance.json", '{"runs": 7}'),
    "runs_is_empty": replace("provenance.json", '{"runs": []}'),
    "version_is_a_number": start(code={"version": 7}),
    "version_of_many_digits": start(code={"version": "9" * 10_000}),
    "command_is_empty": start(command=[]),
    "seeds_are_10^400": start(seeds={"seed": 10**400}),
    "checkpoint_is_a_number": start(checkpoints={"energy": {"sha256": 7}}),
    "many_images": start(num_images=10**18),
    "a_pipe": replace("provenance.json", lambda path, place: os.mkfifo(path)),
}
RECORDS = {
    "control": lambda run, place: None,
    "nested": records_text(DEEP),
    "nested_in_a_record": record(volume=json.loads("[" * 800 + "]" * 800)),
    "line_of_10^7": records_text('"' + "a" * 10_000_000 + '"'),
    "name_of_10^7": record(image_id="a" * 10_000_000),
    "not_a_number": record(psnr=float("nan")),
    "infinite": record(psnr=float("inf")),
    "psnr_is_text": record(psnr="good"),
    "psnr_is_a_list": record(psnr=[1]),
    "psnr_is_10^400": record(psnr=10**400),
    "seed_is_null": record(seed=None),
    "task_is_null": record(task=None),
    "task_is_a_number": record(task=7),
    "task_is_a_list": record(task=["a"]),
    "task_climbs": record(task="../../../outside/task"),
    "task_is_absolute": record(task="/etc/passwd"),
    "task_of_a_table": record(task="a | b\n\\input{/etc/passwd}\x1b[2J"),
    "long_task": record(task="t" * 5_000),
    "sampler_is_a_number": record(sampler=7),
    "sampler_is_a_list": record(sampler=[7]),
    "noise_is_text": record(noise_std="loud"),
    "noise_is_a_dictionary": record(noise_std={"a": 1}),
    "noise_is_a_deep_list": record(noise_std=[[1], ["a"]]),
    "estimate_is_a_list": record(estimate=["mmse"]),
    "id_is_a_number": record(image_id=7),
    "id_is_a_list": record(image_id=[7]),
    "id_climbs": record(image_id="../../../outside/result"),
    "id_is_absolute": record(image_id="/etc/passwd"),
    "status_is_a_number": record(status=7),
    "flags_are_a_number": record(flags=7),
    "flags_are_lists": record(flags=[["a"]]),
    "warnings_are_a_number": record(warnings=7),
    "warnings_are_dictionaries": record(warnings=[{}]),
    "volume_is_text": record(volume="knee"),
    "volume_of_odd_types": record(volume={"name": ["a"], "slices": "many", "reference": 7}),
    "volume_of_nothing": record(volume={}),
    "regions_are_text": record(regions="all"),
    "regions_of_odd_types": record(regions={"a": {"mean": "x"}, "b": 7}),
    "number_of_samples_is_text": record(num_samples="8"),
    "sample_index_is_text": record(sample_index="x"),
    "unknown_field": record(more=1),
    "no_text": replace("records.jsonl", lambda path, place: path.write_bytes(b"\xff\xfe\n")),
    "a_number": records_text("7"),
    "a_pipe": replace("records.jsonl", lambda path, place: os.mkfifo(path)),
    "a_folder": replace("records.jsonl", lambda path, place: path.mkdir()),
    "a_link_to_zeros": replace("records.jsonl", link_to("/dev/zero")),
    "a_link_outside": replace("records.jsonl", link_to("secret.txt")),
    "many": records_text('{"image_id": "a"}\n' * 200_000),
}
RESULTS = {
    "records_are_a_number": result(lambda file, place: file.attrs.__setitem__("records", 7), keep=False),
    "records_are_a_list": result(lambda file, place: file.attrs.__setitem__("records", ["a", "b"]), keep=False),
    "records_are_bytes": result(lambda file, place: file.attrs.__setitem__("records", np.bytes_(b"\xff")), keep=False),
    "records_are_nothing": result(lambda file, place: file.attrs.__setitem__("records", h5py.Empty("S1")), keep=False),
    "records_are_nested": result(result_records("[" * 30_000 + "]" * 30_000), keep=False),
    "records_are_no_records": result(result_records("7"), keep=False),
    "checksums_are_nested": result(lambda file, place: file.attrs.__setitem__("checksums", "[" * 30_000), keep=False),
    "checksums_are_a_number": result(lambda file, place: file.attrs.__setitem__("checksums", 7), keep=False),
    "checksums_are_a_list": result(lambda file, place: file.attrs.__setitem__("checksums", "[]"), keep=False),
    "declared_of_a_million": result(
        result_array(
            "truth", lambda file, place: file.create_dataset("truth", (1, 10**6, 10**6), "f4", chunks=(1, 64, 64))
        )
    ),
    "declared_of_3_GB": result(
        result_array(
            "truth", lambda file, place: file.create_dataset("truth", (1, 30_000, 30_000), "f4", chunks=(1, 64, 64))
        )
    ),
    "no_truth_of_another_size": result(result_array("truth", np.zeros((1, 3, 4), "f4"))),
    "truth_of_a_number": result(result_array("truth", np.float32(1))),
    "truth_of_many_axes": result(result_array("truth", np.zeros((1,) * 20, "f4"))),
    "truth_of_texts": result(result_array("truth", np.array([b"a"]))),
    "truth_of_nothing": result(result_array("truth", np.zeros((1, 0, 0), "f4"))),
    "estimate_of_another_size": result(result_array("estimates/mmse", np.zeros((3, 100, 2), "f4"))),
    "estimate_missing": result(result_array("estimates/mmse", None)),
    "estimate_not_finite": result(result_array("estimates/mmse", np.full((1, 12, 12), np.nan, "f4"))),
    "link_to_another_file": result(
        lambda file, place: put(file, "truth", h5py.ExternalLink(str(place.outside / "secret.h5"), "truth"))
    ),
    "linked": linked_result,
}
DONES = {
    "name_climbs": done("../../../../../outside/secret.txt", "../../../../../outside/images/result.h5"),
    "name_climbs_from_images": done(climbing),
    "name_is_absolute": done(lambda place: str(place.outside / "images" / "result.h5"), "/etc/passwd"),
    "name_with_a_zero": done("images/a\0b"),
    "name_is_a_folder": done("images/."),
    "name_is_long": done("images/" + "a" * 100_000),
    "size_is_text": done("images/x.h5", size="x"),
    "nested": replace("DONE", DEEP),
    "a_folder": replace("DONE", lambda path, place: path.mkdir()),
    "a_pipe": replace("DONE", lambda path, place: os.mkfifo(path)),
    "many_names": lambda run, place: (run / "DONE").write_text(
        json.dumps({"files": {f"images/{i}": {"size": 1, "mtime_ns": 0, "sha256": ""} for i in range(100_000)}})
    ),
    "linked_images": linked_images,
    "linked_lock": not_done(replace(".lock", link_to("secret.txt"))),
    "linked_log": replace("restore.log", link_to("secret.txt")),
    "linked_records": replace("records.jsonl", link_to("secret.txt")),
    "linked_config": replace("config.yaml", link_to("secret.txt")),
    "linked_starts": replace("provenance.json", link_to("secret.txt")),
    "linked_done": replace("DONE", link_to("secret.txt")),
    "lock_is_a_pipe": not_done(replace(".lock", lambda path, place: os.mkfifo(path))),
}
CALIBRATIONS = {
    "nested": DEEP,
    "a_number": "7",
    "empty": "{}",
    "odd_types": '{"images": "x", "failed": [], "coverage": 7, "ranks": "a"}',
}


def calibration(text):
    return run_folder(lambda run, place: (run / "calibration.json").write_text(text))


def both(make, more):
    return lambda place: (make(place), more(place))


CASES = [
    *(Case(f"pickle_{what}", pickled(value), INSPECT) for what, value in PICKLES.items()),
    *(Case(f"torch_{what}", make, INSPECT) for what, make in TORCH.items()),
    *(Case(f"safetensors_{what}", make, INSPECT) for what, make in SAFETENSORS.items()),
    *(
        Case(f"convert_{what}", make, CONVERT)
        for what, make in {
            "pickle_reduce": pickled(touch),
            "torch_reduce": TORCH["reduce_os_system"],
            "torch_laughs": TORCH["laughs_as_an_epoch"],
            "deep_history": SAFETENSORS["deep_history"],
            "million_blocks": SAFETENSORS["million_blocks"],
        }.items()
    ),
    Case("model_control", whole_model(), MODEL),
    *(
        Case(f"model_{what}", make, MODEL)
        for what, make in {
            "pickle_reduce": pickled(touch),
            "torch_reduce": TORCH["reduce_os_system"],
            "million_blocks": SAFETENSORS["million_blocks"],
            "deep_history": SAFETENSORS["deep_history"],
            "card_that_is_no_text": both(whole_model(), written(b"| resolution | \xff\xfe", "file.md")),
            "card_of_many_digits": both(
                whole_model(), written(b"| resolution | " + b"9" * 10_000 + b" x 9", "file.md")
            ),
            "card_of_no_size": both(whole_model(), written(b"| resolution | 0 x 0, 3", "file.md")),
        }.items()
    ),
    *(
        Case(f"zip_{what}", make, [*ARCHIVE, *(["data.test.indices=[0,2]"] if "100000" in what else [])])
        for what, make in ARCHIVES.items()
    ),
    *(Case(f"picture_{what}", in_folder(content), FOLDER) for what, content in PICTURE_FILES.items()),
    Case("picture_special_files", special_files, FOLDER),
    *(
        Case(
            f"damaged_{what}",
            in_folder(PICTURE_FILES[what]),
            [*FOLDER, "data.test.measured=true", "operator=inpaint_measured"],
        )
        for what in ("png_of_60000", "png_of_13000_with_alpha", "postscript")
    ),
    *(
        Case(
            f"damage_mask_{what}",
            both(in_folder(picture(seed=1)), written(PICTURE_FILES[what], "mask.png")),
            [*FOLDER, "data.test.measured=true", "operator=inpaint_measured", "data.test.masks=mask.png"],
        )
        for what in ("png_of_60000", "png_of_13000_with_alpha", "png_with_a_chunk_of_4_GB", "postscript")
    ),
    *(Case(f"hdf5_{what}", volume(edit), PREPARE, what in OUTSIDE_HDF5) for what, edit in HDF5.items()),
    *(Case(f"hdf5_flipped_{seed}", flipped(seed), PREPARE) for seed in range(8)),
    *(
        Case(f"arrays_{what}", volume(HDF5[what]), [*PREPARE, "reader=arrays"], what in OUTSIDE_HDF5)
        for what in (
            "link_to_another_file",
            "external_storage",
            "virtual",
            "declared_of_12_GB",
            "parts_of_text",
            "no_space",
        )
    ),
    *(
        Case(
            f"npy_{what}",
            written(content, "files/bad.npy"),
            [*PREPARE, "reader=arrays", "reader.axes=[coil,row,column]"],
        )
        for what, content in NPY.items()
    ),
    *(
        Case(f"noise_{what}", volume(edit), [*PREPARE, "reader=arrays", "noise=scan"], what == "link_to_another_file")
        for what, edit in {
            "link_to_another_file": lambda file, place: put(
                file, "scan", h5py.ExternalLink(str(place.outside / "secret.h5"), "scan")
            ),
            "declared_of_3_GB": declared("scan", (4, 100_000_000), chunks=(4, 1000)),
            "texts": lambda file: put(file, "scan", np.array([b"a"])),
            "no_space": lambda file: put(file, "scan", h5py.Empty("c8")),
        }.items()
    ),
    *(
        Case(f"{path}_{what}", written(content, path), mask_request(path))
        for path, contents in MASKS.items()
        for what, content in contents.items()
    ),
    *(Case(f"mask.npz_{what}", make, mask_request("mask.npz")) for what, make in NPZ.items()),
    *(
        Case(
            f"mask.h5_{what}",
            mask_h5(edit),
            mask_request("mask.h5"),
            what in ("link_to_another_file", "external_storage"),
        )
        for what, edit in MASK_H5.items()
    ),
    Case("region_objects", written(of_objects, "r.npy"), [*RESUME, "regions={a: r.npy}", "interval=null"]),
    Case("region_of_passwd", lambda place: None, [*RESUME, "regions={a: /etc/passwd}"]),
    *(Case(f"nrrd_{what}", make, SUBJECT, what.startswith("data_")) for what, make in NRRD.items()),
    *(
        Case(f"prepared_{what}", prepared(edit), PREPARED, what in ("link_to_another_file", "linked_file"))
        for what, edit in VOLUMES.items()
    ),
    Case("again_control", run_folder(lambda run, place: None), AGAIN),
    *(Case(f"again_config_{what}", run_folder(edit), AGAIN) for what, edit in CONFIGS.items()),
    *(Case(f"again_starts_{what}", run_folder(edit), AGAIN) for what, edit in STARTS.items()),
    *(
        Case(f"table_config_{what}", run_folder(CONFIGS[what]), TABLE)
        for what in (
            "os_system",
            "environment",
            "laughs",
            "python_object",
            "nested_lists",
            "a_pipe",
            "a_link_to_zeros",
            "a_list",
        )
    ),
    *(Case(f"table_starts_{what}", run_folder(edit), TABLE) for what, edit in STARTS.items()),
    *(Case(f"table_records_{what}", run_folder(edit), TABLE) for what, edit in RECORDS.items()),
    *(Case(f"table_result_{what}", run_folder(edit), TABLE, what == "linked") for what, edit in RESULTS.items()),
    *(Case(f"table_calibration_{what}", calibration(text), TABLE) for what, text in CALIBRATIONS.items()),
    Case("resume_control", run_folder(lambda run, place: None, "outputs"), RESUME),
    *(Case(f"resume_done_{what}", run_folder(edit, "outputs"), RESUME) for what, edit in DONES.items()),
    *(Case(f"resume_starts_{what}", run_folder(edit, "outputs"), RESUME) for what, edit in STARTS.items()),
    *(
        Case(f"resume_config_{what}", run_folder(CONFIGS[what], "outputs"), RESUME)
        for what in ("os_system", "environment", "laughs", "python_object", "nested_lists", "a_pipe", "a_list")
    ),
    *(Case(f"resume_result_{what}", run_folder(RESULTS[what], "outputs"), RESUME) for what in RESULTS),
]
assert len({case.name for case in CASES}) == len(CASES)
