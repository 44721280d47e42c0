"""Coil sensitivity maps for simulated multi-coil MRI."""

from __future__ import annotations

import torch
from torch import Tensor

from alps_exp.batch import Batch
from alps_exp.checks import check_count
from alps_exp.packages import require


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
        mri = require("sigpy.mri", "a simulated coil", "sigpy")
        maps = torch.from_numpy(mri.birdcage_maps((self.num_coils, height, width)))
        return (maps / maps.abs().square().sum(0, keepdim=True).sqrt()).to(torch.complex64)
