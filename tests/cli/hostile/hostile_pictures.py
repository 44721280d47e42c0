"""Hostile pictures: of sizes that fill the memory, with chunks that unpack to very much, or no pictures at all."""

import io
import os
import struct
import zlib

import numpy as np
from hostile_place import written, zeros_zlib
from PIL import Image, PngImagePlugin


def picture(size=(16, 16), mode="RGB", seed=0):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], len(mode)), dtype=np.uint8)
    Image.fromarray(pixels.squeeze(), mode).save(buffer, "PNG")
    return buffer.getvalue()


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
    "png_of_13000_with_alpha": lambda place: png(13_000, 13_000, color=6),
    "jpeg_of_13000": lambda place: in_format("JPEG", (13_000, 13_000)),
    "jpeg_of_4000_scans": lambda place: scans(),
    "png_of_no_size": png(0, 0),
    "png_with_more_pixels_than_declared": lambda place: png(data=zeros_zlib(3 << 30)),
    "png_truncated": picture(seed=1)[:200],
    "png_bomb_in_iCCP": lambda place: png(before=chunk(b"iCCP", b"a\0\0" + zeros_zlib(3 << 30))),
    "png_bomb_in_iTXt": lambda place: png(before=chunk(b"iTXt", b"a\0\x01\0\0\0" + zeros_zlib(3 << 30))),
    "png_of_20000_texts": lambda place: transparent_text(),
    "png_of_many_chunks": lambda place: png(before=chunk(b"prVt") * 500_000),
    "png_with_a_chunk_of_4_GB": png().replace(b"\0\0\0\x0dIHDR", b"\xff\xff\xff\xffIHDR"),
    "png_animated": lambda place: animated(),
    "png_exif_of_text": png(before=chunk(b"eXIf", exif(b"\x02\0\x08\0\0\0\x08\0\0\0"))),
    "png_exif_of_many": png(before=chunk(b"eXIf", exif(b"\x03\0\xff\xff\xff\xff\x08\0\0\0"))),
    "png_of_16_bits": png(depth=16, color=0, data=zeros_zlib(16 * 33)),
    "tiff": in_format("TIFF"),
    "tiff_of_60000": in_format("TIFF").replace(
        b"\x00\x01\x04\x00\x01\x00\x00\x00\x10\x00", b"\x00\x01\x04\x00\x01\x00\x00\x00\x60\xea"
    ),
    "postscript": postscript,
    "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
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
