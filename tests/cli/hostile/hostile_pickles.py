"""Hostile pickles: instructions that would run code, and networks of NVlabs' form that would fill the memory.

A pickle is put together of instructions, since Python would not write most of these itself.
"""

import io
import struct
import zipfile

import torch


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


def touch(place):
    return call("os.system", f"touch {place.canary}")


def chain(place):
    builtins = call("builtins.getattr", call("builtins.__import__", "os"), "system")
    return Raw(builtins + op((f"touch {place.canary}",)) + b"R")


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


def nested_modules():
    """Return an EDM pickle of 20,000 modules, each in the one before."""
    start, end = op(edm(state={"_modules": Raw(b"@@@@")})).split(b"@@@@")
    inner = op(edm()["ema"])
    head, tail = op(edm(state={"_modules": {"a": Raw(b"@@@@")}})["ema"]).split(b"@@@@")
    return start + b"}" + op("a") + head * 20_000 + inner + tail * 20_000 + b"s" + end


FORGED_MODELS = {
    "million_blocks": {"num_blocks": 10**6},
    "million_levels": {"img_resolution": 16, "channel_mult": [1] * 10**5},
    "negative_channels": {"model_channels": -16},
    "text_for_a_number": {"num_blocks": "__import__('os')"},
}

PICKLES = {
    "reduce_os_system": touch,
    "inst": lambda place: Raw(b"(" + op(f"touch {place.canary}") + b"ios\nsystem\n"),
    "obj": lambda place: Raw(b"(" + name("os.system") + op(f"touch {place.canary}") + b"o"),
    "stack_global": lambda place: Raw(op("posix") + op("system") + b"\x93" + op((f"touch {place.canary}",)) + b"R"),
    "extension_registry": Raw(b"\x82\x01"),
    "build_on_a_name": Raw(name("torch._utils._rebuild_parameter") + op({"read": 1}) + b"b"),
    "items_of_a_name": Raw(name("builtins.set") + op("read") + op(1) + b"s"),
    "tensor_of_a_dictionary": edm(state={"_parameters": {"w": tensor(flat=Raw(b"}"))}}),
    "storage_that_runs": lambda place: edm(
        state={"_parameters": {"w": call("torch.storage._load_from_bytes", b"\x80\x02" + op(touch(place)) + b".")}}
    ),
    "storage_with_a_bomb": bomb_inside,
    "parameters_sharing_a_storage": lambda place: shared_halves(),
    "nested_lists": Raw(b"]" * 100_000 + b"a" * 99_999),
    "nested_dictionaries": Raw(b"}" + b"X\x01\0\0\0a}" * 100_000 + b"s" * 100_000),
    "nested_modules": lambda place: Raw(nested_modules()),
    "cyclic_module": edm(state={"_modules": Raw(b"}q\x07X\x01\0\0\0ah\x07s")}),
    "laughs_as_channels": edm({"model_channels": laughs()}),
    "laughs_as_a_network": edm({"model_type": laughs()}),
    "laughs_as_a_class": edm(kind=laughs()),
    "laughs_as_scales": edm(state={"sigma_min": laughs()}),
    "laughs_as_number_type": call(
        "numpy.core.multiarray.scalar", Raw(call("numpy.dtype", laughs()) + op((3, "<")) + b"b"), b"8"
    ),
    "million_digits_as_a_key": {10**100_000: 1, **edm()},
    "bytes_of_4_GB": Raw(b"\x8e" + struct.pack("<Q", 4 << 30)),
    "frame_of_4_EB": Raw(b"\x95" + struct.pack("<Q", 4 << 60)),
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
    "long_arguments": edm(args=tuple(range(100_000))),
    **{f"edm_{what}": edm(model | {"model_type": "SongUNet"}) for what, model in FORGED_MODELS.items()},
}
