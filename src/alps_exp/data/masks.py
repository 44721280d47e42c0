"""Sampling masks, one for each image and keyed by it, whatever batch it is in."""

from __future__ import annotations

import zipfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from alps_exp.files import open_hdf5
from alps_exp.randomness import numpy_generator

Array = np.ndarray
Number = TypeVar("Number", int, float)


class Mask(ABC):
    """A rule that draws a mask for each image of a batch.

    Called with a batch (``image`` (B, C, H, W) and ``image_id``, B strings) it returns (B, 1, H, W) float32
    on the image's device: 1 where a pixel or k-space sample is measured, 0 elsewhere. The mask of an image
    depends on `seed`, image id, H and W alone. k-space masks have zero frequency at H // 2, W // 2.

    Parameters
    ----------
    seed
        Seed of the drawing.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def __call__(self, batch: dict[str, Any]) -> Tensor:
        """Return the masks of a batch; see the class."""
        image = batch["image"]
        height, width = image.shape[-2:]
        masks = [self.draw(numpy_generator(self.seed, i), height, width) for i in batch["image_id"]]
        return torch.from_numpy(np.stack(masks)[:, None].astype(np.float32)).to(image.device)

    @abstractmethod
    def draw(self, rng: np.random.Generator, height: int, width: int) -> Array:
        """Draw one mask (height, width) of 0 and 1."""


class RandomMask(Mask):
    """Drops a fraction of the pixels, exactly round(fraction * H * W) of them, scattered uniformly.

    Parameters
    ----------
    fraction
        Fraction of the pixels to drop, from 0 to 1; or (low, high), between which it is uniform. At 1 nothing is
        measured, and posterior samples are samples of the prior.
    seed
        Seed of the drawing.

    Raises
    ------
    ValueError
        Where a fraction is not in [0, 1], or low is above high.
    """

    def __init__(self, fraction: float | Sequence[float], seed: int = 0) -> None:
        super().__init__(seed)
        self.fraction = fraction
        low, high = _range_of("fraction of dropped pixels", fraction)
        if not 0 <= low <= high <= 1:
            raise ValueError(f"fraction of dropped pixels must be in [0, 1], got {fraction}")

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Array:
        """Draw one mask (height, width)."""
        low, high = _range_of("fraction", self.fraction)
        fraction = low if low == high else rng.uniform(low, high)
        num_pixels = height * width
        mask = np.ones(num_pixels)
        mask[rng.permutation(num_pixels)[: round(fraction * num_pixels)]] = 0
        return mask.reshape(height, width)


class BoxMask(Mask):
    """Drops a box of pixels.

    With ``position: random`` and a range of sizes this is the generator of DPS and of the ALPS reference code, whose
    ranges leave out their upper ends; with `inverted` it is what they call extreme.

    Parameters
    ----------
    size
        Side of a square, in pixels; or (low, high), both included, from which height and width are drawn, each on
        its own.
    position
        ``centre``, or ``random``: anywhere inside the margin.
    margin
        Pixels along each border of the image that a random box keeps away from.
    inverted
        Whether the box alone is measured, in place of all but the box.
    seed
        Seed of size and position.

    Raises
    ------
    ValueError
        Where an argument does not fit, or the box with its margin is larger than an image.

    References
    ----------
    Chung, Kim, Mccann, Klasky, Ye, "Diffusion posterior sampling for general noisy inverse problems", ICLR 2023
    (arXiv 2209.14687), and its code.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        position: str = "centre",
        margin: int = 0,
        inverted: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(seed)
        self.size, self.position, self.margin, self.inverted = size, position, margin, inverted
        low, high = _range_of("size of the box", size)
        if not 1 <= low <= high:
            raise ValueError(f"size of the box must be at least 1 pixel, got {size}")
        if position not in ("centre", "random"):
            raise ValueError(f"position of the box must be centre or random, got {position!r}")
        if margin < 0:
            raise ValueError(f"margin of the box must be at least 0 pixels, got {margin}")

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Array:
        """Draw one mask (height, width)."""
        low, high = _range_of("size", self.size)
        box = np.array([low, low]) if low == high else rng.integers(low, high + 1, 2)
        room = np.array([height, width]) - box - 2 * self.margin
        if room.min() < 0:
            margin = f" with a margin of {self.margin}" if self.margin else ""
            raise ValueError(f"a box of {box[0]} x {box[1]}{margin} does not fit an image of {height} x {width}")
        top, left = self.margin + (room // 2 if self.position == "centre" else rng.integers(room + 1))
        mask = np.full((height, width), float(not self.inverted))
        mask[top : top + box[0], left : left + box[1]] = self.inverted
        return mask


class MaskProduct(Mask):
    """Measures what all of several masks measure: a box and random pixels, for instance.

    Parameters
    ----------
    masks
        The masks, drawn one after the other; their own seeds do not matter.
    seed
        Seed of the drawing.

    Raises
    ------
    ValueError
        If there is no mask.
    """

    def __init__(self, masks: Sequence[Mask], seed: int = 0) -> None:
        super().__init__(seed)
        if not masks:
            raise ValueError("a product of masks needs at least one, got none")
        self.masks = masks

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Array:
        """Draw one mask (height, width)."""
        return np.prod([mask.draw(rng, height, width) for mask in self.masks], axis=0)


class FileMask:
    """The masks of a file: one for all images, or one for each image id.

    Called with a batch it returns what a `Mask` does. The file is read at the first call.

    Parameters
    ----------
    path
        ``.npy``, the dataset ``mask`` of an HDF5 file (``.h5``) or an image file (black is not measured, white is), for
        all images; or ``.npz``, with one array for all images or an array under each image id. The masks have the
        images' H and W, or W alone for whole columns, and hold 0 and 1 (False and True; 0 and 255 in an image file).

    Raises
    ------
    FileNotFoundError
        At the first call, where there is no such file.
    ValueError
        At a call, where the file holds no such masks, none for an image, or does not fit an image's size.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def __call__(self, batch: dict[str, Any]) -> Tensor:
        """Return the masks of a batch, (B, 1, H, W)."""
        image = batch["image"]
        masks = [self._mask(image_id, tuple(image.shape[-2:])) for image_id in batch["image_id"]]
        return torch.from_numpy(np.stack(masks)[:, None].astype(np.float32)).to(image.device)

    @cached_property
    def arrays(self) -> dict[str, Array]:
        """The arrays of the file by name; a single array has the name ``mask``."""
        if not self.path.is_file():
            raise FileNotFoundError(f"no such file of masks: {self.path}")
        try:
            if self.path.suffix == ".npz":
                with np.load(self.path) as archive:
                    return dict(archive)
            if self.path.suffix == ".npy":
                return {"mask": np.load(self.path)}
            if self.path.suffix == ".h5":
                with open_hdf5(self.path) as file:
                    return {"mask": file["mask"][()]}
            with Image.open(self.path) as image:
                return {"mask": np.asarray(image.convert("L")) / 255}
        except (KeyError, OSError, SyntaxError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"{self.path} is no .npy, .npz, .h5 or image file of masks: {error}") from error

    def _mask(self, image_id: str, shape: tuple[int, ...]) -> Array:
        arrays = self.arrays
        name = image_id if image_id in arrays else next(iter(arrays), "mask")
        if name != image_id and len(arrays) != 1:
            raise ValueError(f"{self.path} holds {len(arrays)} masks, but none for the image {image_id}")
        mask = arrays[name]
        if mask.shape == shape[1:]:
            mask = np.broadcast_to(mask, shape)
        if mask.shape != shape:
            raise ValueError(f"mask {name} in {self.path} has shape {mask.shape}, the image {shape}")
        if not np.isin(mask, (0, 1)).all():
            raise ValueError(f"mask {name} in {self.path} must hold only 0 and 1 (an image: only black and white)")
        return mask


def _range_of(name: str, value: Number | Sequence[Number]) -> tuple[Number, Number]:
    """Return (low, high) of a number or of such a pair."""
    if not isinstance(value, Sequence):
        return value, value
    if len(value) != 2:
        raise ValueError(f"{name} must be a number or (low, high), got {list(value)}")
    return value[0], value[1]
