"""The intersection of several masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alps_exp.masks.base import Array, Mask


class MaskProduct(Mask):
    """The intersection of several masks: a pixel is measured only if every mask measures it.

    Parameters
    ----------
    masks
        The masks, for example a box and random pixels, drawn one after the other from one generator; their own seeds
        are ignored.
    seed
        Seed of the random masks.

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
        product: Array = np.prod([mask.draw(rng, height, width) for mask in self.masks], axis=0)
        return product
