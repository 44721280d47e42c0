"""Pictures from files, masks that are drawn as pictures, and arrays as they are seen."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from alps_exp.foreign_files import read_bytes

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "TGA", "JPEG2000")
"""Formats that are read. Others may start programs, as PostScript does."""
MOST_PIXELS = 120_000_000


MOST_SCANS = 200
"""Scans of a JPEG file, each of which is decoded at full size; cameras write up to ten."""


@contextmanager
def open_picture(content: bytes) -> Iterator[Image.Image]:
    """Yield the picture of a file's content, whose pixels are not read yet.

    Raises
    ------
    PIL.UnidentifiedImageError
        If it is none of `FORMATS`.
    ValueError
        If it has more than `MOST_PIXELS` or `MOST_SCANS`.
    """
    if content.startswith(b"\xff\xd8") and content.count(b"\xff\xda") > MOST_SCANS:
        raise ValueError(f"it has more than {MOST_SCANS} scans")
    with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
        if picture.width * picture.height > MOST_PIXELS:
            has = f"it has {picture.width:,} x {picture.height:,} pixels"
            raise ValueError(f"{has}, expected at most {MOST_PIXELS:,} in all: shrink it")
        yield picture


def read_picture_mask(path: Path) -> np.ndarray:
    """Return a mask (H, W) of booleans that is drawn as a picture.

    White is measured and black is not, with the border at half; in a picture that is transparent somewhere, all that is
    not fully opaque is missing, and its colors say nothing. Raises as `open_picture`.
    """
    with open_picture(read_bytes(path)) as picture:
        if picture.has_transparency_data:
            opaque: np.ndarray = np.asarray(picture.convert("RGBA").getchannel("A")) == 255
            if not opaque.all():
                return opaque
        bright: np.ndarray = np.asarray(picture.convert("L")) >= 128
        return bright


def visible(image: np.ndarray, peak: float) -> np.ndarray:
    """Return an image (C, H, W) in [0, 1] as it is seen: RGB, (H, W, 3), or gray, (H, W).

    Real images in [-1, 1] are RGB, or gray by the mean of their channels where these are not three; complex ones are
    shown by their magnitude over `peak`.
    """
    if np.iscomplexobj(image):
        magnitude: np.ndarray = np.abs(image[0]) / peak
        return magnitude.clip(0, 1)
    shown: np.ndarray = np.moveaxis(image, 0, -1) if len(image) == 3 else image.mean(0)
    return (shown.clip(-1, 1) + 1) / 2


def rms(image: np.ndarray) -> np.ndarray:
    """Return the root mean square (H, W) over the channels of an image."""
    root: np.ndarray = np.sqrt(np.mean(np.abs(image) ** 2, axis=0))
    return root
