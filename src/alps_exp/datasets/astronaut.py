"""The embedded face: scikit-image's photograph of Eileen Collins (NASA, public domain), framed like FFHQ."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from alps_exp.batch import Item
from alps_exp.checks import LARGEST_SIDE, check_count
from alps_exp.datasets.image_folder import to_tensor
from alps_exp.packages import require

# Pupils and corners of the mouth in pixels (x, y) of the photograph, marked by hand.
EYES = np.array([[203.0, 101.0], [246.75, 103.0]])
MOUTH = np.array([[205.0, 141.25], [243.25, 141.75]])
SUPERSAMPLING = 8


def ffhq_quad(eyes: np.ndarray, mouth: np.ndarray) -> np.ndarray:
    """Return the corners of FFHQ's crop for a face.

    Parameters
    ----------
    eyes, mouth
        Centers of the eyes and corners of the mouth, left one (in the image) first: (2, 2), pixels (x, y).

    Returns
    -------
    Upper left, lower left, lower right and upper right corner: (4, 2).

    Notes
    -----
    T. Karras, S. Laine, T. Aila, "A Style-Based Generator Architecture for Generative Adversarial Networks",
    arXiv 1812.04948 (2018), appendix C: the square lies along eyes and mouth, its half side is the larger of
    2 eye distances and 1.8 distances from eyes to mouth, its center lies a tenth of the way from the eyes to
    the mouth.
    """
    eye_to_eye = eyes[1] - eyes[0]
    eye_to_mouth = mouth.mean(0) - eyes.mean(0)
    x = eye_to_eye - eye_to_mouth[::-1] * [-1, 1]
    x *= max(np.hypot(*eye_to_eye) * 2.0, np.hypot(*eye_to_mouth) * 1.8) / np.hypot(*x)
    y = x[::-1] * [-1, 1]
    center = eyes.mean(0) + eye_to_mouth * 0.1
    return np.stack([center - x - y, center - x + y, center + x + y, center + x - y])


class Astronaut(Dataset[Item]):
    """One test face from scikit-image, cropped and rotated like the faces of FFHQ.

    Its item is ``image`` (3, size, size) float32 in [-1, 1] and ``image_id``.

    Parameters
    ----------
    size
        Side of the image, in pixels.

    Raises
    ------
    ValueError
        If scikit-image is missing.
    IndexError
        If the index is not 0.
    """

    channels = 3
    image_ids = index = ["astronaut"]

    def __init__(self, size: int = 64) -> None:
        self.size = check_count("size", size, LARGEST_SIDE)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Item:
        if index != 0:
            raise IndexError(f"there is one astronaut, index 0, got {index}")
        photographs = require("skimage.data", "the embedded face", "'alps_exp[demo]'")
        fine = SUPERSAMPLING * self.size
        quad = tuple((ffhq_quad(EYES, MOUTH) + 0.5).ravel())
        face = Image.fromarray(photographs.astronaut()).transform(
            (fine, fine), Image.Transform.QUAD, quad, Image.Resampling.BILINEAR
        )
        pixels = np.asarray(face.resize((self.size, self.size), Image.Resampling.LANCZOS))
        return {"image": to_tensor(pixels), "image_id": "astronaut"}
