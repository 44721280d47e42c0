"""What all makers of hostile files share: the folders of a case, files of given bytes, and zeros in little room.

A maker gets a `Place`. What it writes there would, if it had its way, run code (which leaves `place.canary`), read or
change `place.outside`, or fill the memory.
"""

import struct
import zlib
from pathlib import Path
from typing import NamedTuple

SECRET = "hunter2"

DEEP = "[" * 100_000 + "]" * 100_000


class Place(NamedTuple):
    """Folders of one case: the command's own, one that it must leave alone, and whole files to begin from."""

    folder: Path
    outside: Path
    base: Path

    @property
    def canary(self):
        """The file that code of a hostile file would leave."""
        return self.outside / "ran"


def written(content, at="file"):
    def make(place):
        path = place.folder / at
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(place) if callable(content) else content)

    return make


def both(make, more):
    return lambda place: (make(place), more(place))


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
