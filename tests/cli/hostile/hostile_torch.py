"""Hostile torch files: zip archives of today, and the stream of pickles from before version 1.6."""

import struct
import zipfile

from hostile_archives import raw_zip
from hostile_pickles import Raw, call, chain, laughs, name, op, ours, storage, tensor, touch
from hostile_place import written


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
    "offset_out_of_range": torch_zip({"w": tensor((4,), (1,), offset=10**12)}),
    "negative_sizes": torch_zip({"w": tensor((-2, -2), (1, 1))}),
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
    "old_bytearray_of_a_list": legacy({"w": [call("builtins.bytearray", 100 << 20) for _ in range(30)]}, keys=()),
    "old_encoding": legacy({"w": call("_codecs.encode", "\u00e9\u0416\u4e2d" * 60_000, "punycode")}, keys=()),
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
}
