"""Pixel masks for inpainting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alps_exp.masks.base import Array, Mask, range_of


class RandomMask(Mask):
    """Drops exactly round(fraction * H * W) pixels, chosen uniformly at random.

    Parameters
    ----------
    fraction
        Fraction of dropped pixels, in [0, 1], or a range (low, high) from which it is drawn uniformly. At 1 nothing is
        measured, and posterior samples are samples from the prior.
    seed
        Seed of the random masks.

    Raises
    ------
    ValueError
        If a fraction is not in [0, 1], or low is above high.
    """

    def __init__(self, fraction: float | Sequence[float], seed: int = 0) -> None:
        super().__init__(seed)
        self.fraction = fraction
        low, high = range_of("fraction of dropped pixels", fraction)
        if not 0 <= low <= high <= 1:
            raise ValueError(f"fraction of dropped pixels must be in [0, 1], got {fraction}")

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Array:
        """Draw one mask (height, width)."""
        low, high = range_of("fraction", self.fraction)
        fraction = low if low == high else rng.uniform(low, high)
        num_pixels = height * width
        mask = np.ones(num_pixels)
        mask[rng.permutation(num_pixels)[: round(fraction * num_pixels)]] = 0
        return mask.reshape(height, width)


class BoxMask(Mask):
    """Drops a box of pixels, or everything outside it.

    With ``position: random`` and a range of sizes this is the mask generator of DPS and of the ALPS reference code
    (whose ranges exclude the upper end). With `inverted` it is their "extreme" mask.

    Parameters
    ----------
    size
        Side of a square in pixels, or an inclusive range (low, high) from which height and width are drawn
        independently.
    position
        ``center``, or ``random``: anywhere inside the margin.
    margin
        Minimum distance in pixels between a random box and the image borders.
    inverted
        Whether only the box is measured, instead of everything but the box.
    seed
        Seed of the random sizes and positions.

    Raises
    ------
    ValueError
        If an argument is invalid; in use, if the box with its margin is larger than an image.

    References
    ----------
    Chung, Kim, Mccann, Klasky, Ye, "Diffusion posterior sampling for general noisy inverse problems", ICLR 2023
    (arXiv 2209.14687), and its code.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        position: str = "center",
        margin: int = 0,
        inverted: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(seed)
        self.size, self.position, self.margin, self.inverted = size, position, margin, inverted
        low, high = range_of("size of the box", size)
        if not 1 <= low <= high:
            raise ValueError(f"size of the box must be at least 1 pixel, got {size}")
        if position not in ("center", "random"):
            raise ValueError(f"position of the box must be center or random, got {position!r}")
        if margin < 0:
            raise ValueError(f"margin of the box must be at least 0 pixels, got {margin}")

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Array:
        """Draw one mask (height, width)."""
        low, high = range_of("size", self.size)
        box = np.array([low, low]) if low == high else rng.integers(low, high + 1, 2)
        free = np.array([height, width]) - box - 2 * self.margin
        if free.min() < 0:
            margin = f" with a margin of {self.margin}" if self.margin else ""
            raise ValueError(f"a box of {box[0]} x {box[1]}{margin} does not fit an image of {height} x {width}")
        top, left = self.margin + (free // 2 if self.position == "center" else rng.integers(free + 1))
        mask = np.full((height, width), float(not self.inverted))
        mask[top : top + box[0], left : left + box[1]] = self.inverted
        return mask
