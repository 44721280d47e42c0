"""Coil sensitivity maps for simulated multi-coil MRI."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from alps_exp.batch import Batch
from alps_exp.checks import check_count

RADIUS = 1.5  # of the ring of coils, in units of half the image


class BirdcageMaps:
    """Sensitivity maps of a simulated birdcage coil, the same for every image (`sigpy.mri.birdcage_maps`).

    Called with a batch (``image`` (B, C, H, W)) it returns (B, num_coils, H, W) complex64 on the image's
    device, normalized so that the sum of abs(S)^2 over the coils is 1 in every pixel.

    Parameters
    ----------
    num_coils
        Number of coils.

    Raises
    ------
    ValueError
        If num_coils is below 1.
    """

    def __init__(self, num_coils: int = 8) -> None:
        self.num_coils = check_count("num_coils", num_coils, 1_024)
        self._maps: dict[tuple[int, int], Tensor] = {}

    def __call__(self, batch: Batch) -> Tensor:
        """Return the maps of a batch, (B, num_coils, H, W)."""
        image = batch["image"]
        height, width = image.shape[-2:]
        if (height, width) not in self._maps:
            self._maps[height, width] = self._compute(height, width)
        return self._maps[height, width].to(image.device).expand(len(image), -1, -1, -1)

    def _compute(self, height: int, width: int) -> Tensor:
        maps = torch.from_numpy(birdcage(self.num_coils, height, width))
        return (maps / maps.abs().square().sum(0, keepdim=True).sqrt()).to(torch.complex64)


def birdcage(num_coils: int, height: int, width: int) -> np.ndarray:
    """Return the maps of `sigpy.mri.birdcage_maps` (num_coils, height, width), complex128, to the last bit.

    Importing sigpy takes a second and a half, in every job and every process of one.
    """
    coil, y, x = np.mgrid[:num_coils, :height, :width]
    angle = 2 * np.pi / num_coils
    from_x = (x - width / 2.0) / (width / 2.0) - RADIUS * np.cos(coil * angle)
    from_y = (y - height / 2.0) / (height / 2.0) - RADIUS * np.sin(coil * angle)
    distance = np.sqrt(from_x**2 + from_y**2)
    phase = np.arctan2(from_x, -from_y) + -coil * angle
    maps: np.ndarray = (1.0 / distance) * np.exp(1j * phase)
    maps /= sum(abs(maps) ** 2) ** 0.5
    return maps
