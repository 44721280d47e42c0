"""Brain slices of any contrast: random intensities on the tissue maps of the MNI152 template."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy

from alps_exp.datasets.brain import BRAIN_VIEW, HEAD_VIEW, SUPERSAMPLING, TEMPLATE_WARP, BrainSlices, square_planes
from alps_exp.datasets.mr_augmentation import Array, Warp, average_blocks, smooth_field
from alps_exp.packages import require

SHARPNESS = (1.0, 4.0)  # exponent of the tissue probabilities, whose average over 152 brains is blurred
SHELL = ((1.0, 4.0), (4.0, 9.0), (3.0, 8.0))  # thickness in mm of fluid, skull and scalp
SKULL = (0.0, 0.3)  # intensity: there is little water to see


@lru_cache(maxsize=2)
def mni152_tissues(size: int, view: int) -> Array:
    """Load gray matter, white matter and all of the brain of the ICBM152 template from nilearn's own files.

    Returns fractions (3, 189, 2 size, 2 size) float32 in [0, 1], which lie as `mni152_volume` does, over a square field
    of view of `view` mm.
    """
    datasets = require("nilearn.datasets", "the tissue maps", "'alps_exp[demo]'")
    loaders = (datasets.load_mni152_gm_template, datasets.load_mni152_wm_template, datasets.load_mni152_brain_mask)
    maps = [load(resolution=1) for load in loaders]
    return np.stack([square_planes(np.asarray(m.dataobj, np.float32), m.affine, view, size).clip(max=1) for m in maps])


class TissueSlices(BrainSlices):
    """Training slices of the MNI152 brain with a random intensity for each tissue, and in some of them a head.

    Gray matter, white matter and fluid get intensities of their own, so that every contrast of MRI occurs; borders
    are between the average brain's and a single one's sharp ones. A head is drawn around the brain in the plane:
    fluid, skull and scalp, each of random thickness and intensity. The slab that `BrainSlices` holds out is held out
    here too.

    Parameters
    ----------
    size
        Side of the images in pixels, over a field of view of 208 mm, or of 240 mm where there are heads.
    num_images, warp
        As in `BrainSlices`.
    heads
        Share of the slices with a head.

    Raises
    ------
    ValueError
        If heads is not in [0, 1], nilearn is missing, or an item comes without a key.
    """

    name = "tissues"
    bend = (-1.0, 1.0)

    def __init__(self, size: int = 64, num_images: int = 96, warp: Warp = TEMPLATE_WARP, heads: float = 0.5) -> None:
        super().__init__("train", size, num_images, warp)
        if not 0 <= heads <= 1:
            raise ValueError(f"heads must be in [0, 1], got {heads}")
        self.heads = heads
        self.view = HEAD_VIEW if heads else BRAIN_VIEW

    def volume(self) -> Array:
        """Return the fractions of gray matter, white matter and brain that slices are interpolated from."""
        return mni152_tissues(self.size, self.view)

    def magnitude(self, rng: np.random.Generator, places: list[Array]) -> Array:
        """Return the slice (size, size) at the given places, in the intensities that are drawn for it."""
        gray, white, brain = (scipy.ndimage.map_coordinates(m, places, order=1, mode="nearest") for m in self.volume())
        fluid = (brain - gray - white).clip(0)
        fractions = np.stack([gray, white, fluid, (1 - gray - white - fluid).clip(0)]) ** rng.uniform(*SHARPNESS)
        fractions /= fractions.sum(0)
        intensities = rng.uniform(0, 1, 3)
        image = np.tensordot(intensities, fractions[:3], 1)
        if rng.random() < self.heads:
            image += fractions[3] * self._shell(rng, brain, intensities[2])
        return average_blocks(image.astype(np.float32), SUPERSAMPLING)

    def _shell(self, rng: np.random.Generator, brain: Array, fluid: float) -> Array:
        """Return what lies outside of the brain, whose fraction is given; 0 beyond the scalp."""
        fine = brain.shape[-1]
        distance = (
            scipy.ndimage.distance_transform_edt(brain < 0.5)
            * self.view
            / fine
            * np.exp(0.5 * smooth_field(rng, fine, 7))
        )
        ends = np.cumsum([rng.uniform(*thickness) for thickness in SHELL])
        layers: Array = np.array([fluid, rng.uniform(*SKULL), rng.uniform(0.2, 1.0), 0.0])
        head: Array = layers[np.searchsorted(ends, distance)]
        return head
