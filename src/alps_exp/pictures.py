"""Masks that are drawn as pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def read_picture_mask(path: Path) -> np.ndarray:
    """Return a mask (H, W) of booleans that is drawn as a picture.

    White is measured and black is not, with the border at half; in a picture that is transparent somewhere, all that is
    not fully opaque is missing, and its colors say nothing.
    """
    with Image.open(path) as image:
        opaque = np.asarray(image.convert("RGBA"))[..., 3] == 255
        return np.asarray(image.convert("L")) >= 128 if opaque.all() else opaque
