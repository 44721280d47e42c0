"""Hostile zip archives of images: names that climb, sizes that lie, and a little that unpacks to very much."""

import struct
import zipfile
import zlib

from hostile_pictures import picture
from hostile_place import written, zeros


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
    "forged_stored_size": archive((b"bad.png", b"abc", {"csize": 2**32 - 2, "usize": 2**32 - 2})),
    "encrypted": archive((b"bad.png", picture(seed=1), {"flags": 1})),
    "broken_stream": archive((b"bad.png", b"\xff" * 200, {"method": 8, "usize": 5000})),
    "names_that_climb": archive(
        (b"../../../outside/climbs.png", picture(seed=1), {}), (b"../bad.png", picture(seed=2), {})
    ),
    "symbolic_link": archive((b"bad.png", b"../outside/secret.png", {"attr": 0o120777 << 16})),
    "overlapping": archive(*[(b"bad.png", picture(seed=1), {"at": 0}) for _ in range(1000)]),
    "newlines_in_a_name": archive((b"bad\nalps: all is well\x1b[2J.png", b"", {})),
    "zero_in_a_name": archive((b"bad\0.png", picture(seed=1), {})),
    "long_name": archive((b"b" * 60_000 + b".png", picture(seed=1), {})),
    "no_text_in_a_name": archive((b"\xff\xfe\xfd.png", picture(seed=1), {"flags": 0x800})),
    "directory_out_of_the_file": written(
        b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, 2**32 - 2, 2**32 - 2, 0), "images.zip"
    ),
    "100000_members": many_members,
}
