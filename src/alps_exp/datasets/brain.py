"""Complex MR images of brains: nilearn's MNI152 template, heads in its space, and archives of magnitude slices."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad
from torch.utils.data import Dataset

from alps_exp.batch import Item, KeyedIndex, split_index
from alps_exp.checks import LARGEST_SIDE, check_count
from alps_exp.datasets.mr_augmentation import Array, Warp, average_blocks, random_contrast, random_phase
from alps_exp.packages import require
from alps_exp.randomness import item_generator, numpy_generator

BRAIN_VIEW, HEAD_VIEW = 208, 240  # mm a side
MIDDLE = (0, -17)  # MNI x and y in mm: the middle of the brain
LOWEST, NUM_PLANES = -72, 189  # MNI z in mm of the template's lower border, and its planes
EXTENT = (30, 140)  # planes with more than a little brain, in mm from the template's lower border
HELD_OUT = (68, 92)  # mm; through basal ganglia and ventricles
MARGIN = 2  # mm that training keeps away from the held-out slab
TEST_PLANES = (70, 74, 78, 82, 86, 90)
SUPERSAMPLING = 2
MAX_SLOPE = 0.06  # tilt of a training plane, mm per mm

TEMPLATE_WARP = Warp(zoom=(0.9, 1.1))
SLICE_WARP = Warp(zoom=(0.95, 1.25))
TEMPLATE_BEND = (-2.0, 2.0)
SLICE_BEND = (0.0, 3.0)  # fat and contrast agent leave the brain itself dark


@lru_cache(maxsize=2)
def mni152_volume(size: int) -> Array:
    """Load the ICBM152 T1 template (Fonov et al., NeuroImage 54, 2011) from nilearn's own files.

    Returns axial planes of 1 mm, lowest first, (189, 2 size, 2 size) float32 in [0, 1], front at the top,
    over a square field of view of 208 mm; twice the final resolution, since slices are averaged after
    interpolation.
    """
    datasets = require("nilearn.datasets", "the embedded brain", "'alps_exp[demo]'")
    template = datasets.load_mni152_template(resolution=1)
    return _of_unit_maximum(square_planes(np.asarray(template.dataobj, np.float32), template.affine, BRAIN_VIEW, size))


@lru_cache(maxsize=2)
def head_volume(path: str, size: int) -> Array:
    """Load a NIfTI volume of 1 mm in MNI space as `mni152_volume` does the template, over 240 mm.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If nibabel is missing, or the file is no such volume.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such volume: {path}")
    nibabel = require("nibabel", "a NIfTI volume", "'alps_exp[demo]'")
    try:
        volume: Any = nibabel.load(path)
        values = np.asarray(volume.dataobj, np.float32)
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError, TypeError) as error:
        raise ValueError(f"{path} is not a NIfTI volume: {error}") from error
    if values.ndim != 3 or not np.allclose(volume.affine[:3, :3], np.eye(3)):
        raise ValueError(f"{path} must be one volume of 1 mm along the axes of MNI space, got {values.shape}")
    if not np.isfinite(values).all() or values.max() <= 0:
        raise ValueError(f"{path} has values that are not finite, or none above 0")
    return _of_unit_maximum(square_planes(values, volume.affine, HEAD_VIEW, size))


def square_planes(values: Array, affine: Array, view: int, size: int) -> Array:
    """Return a volume of 1 mm in MNI space as axial planes (189, 2 size, 2 size), which lie as in `mni152_volume`."""
    planes = torch.from_numpy(values.transpose(2, 1, 0).copy())
    x, y, z = (round(float(origin)) for origin in affine[:3, 3])
    (width, depth, height), half = values.shape, view // 2
    left, back, below = x - MIDDLE[0] + half, y - MIDDLE[1] + half, z - LOWEST
    borders = (left, view - left - width, back, view - back - depth)
    if min(left + width, back + depth, below + height) <= 0 or max(left, back) >= view or below >= NUM_PLANES:
        raise ValueError(f"a volume with its corner at {x}, {y}, {z} mm lies outside of the view in MNI space")
    square = pad(planes, (*borders, below, NUM_PLANES - below - height)).flip(1)
    return resize(square, SUPERSAMPLING * size).clamp(min=0).numpy()


def _of_unit_maximum(planes: Array) -> Array:
    planes /= planes.max()
    return planes


class BrainSlices(Dataset[Item]):
    """Axial slices of the MNI152 brain as complex MR images, with a slab held out of training.

    An item is ``image`` (1, size, size) complex64 of magnitude at most 1 and ``image_id``. The slab from 68
    to 92 mm above the template's lower border (MNI z = -4 to 20 mm: basal ganglia, ventricles) is never
    interpolated from in training.

    Parameters
    ----------
    part
        ``train``: planes anywhere outside the slab, tilted, deformed, with random contrast and phase, all
        from the item's key. ``validation``: deformed planes of the slab, with random contrast and phase, from
        the item's index. ``test``: six planes of the slab, 4 mm apart, as they are, with a smooth phase from
        the image id.
    size
        Side of the images in pixels, over a field of view of 208 mm.
    num_images
        Length of the training (nominal) or validation part.
    warp
        Ranges of the deformation.

    Raises
    ------
    ValueError
        If part is none of the three, nilearn is missing, or a training item comes without a key.
    """

    channels = 2
    name, view = "mni152", BRAIN_VIEW
    bend = TEMPLATE_BEND

    def __init__(self, part: str, size: int = 64, num_images: int = 96, warp: Warp = TEMPLATE_WARP) -> None:
        if part not in ("train", "validation", "test"):
            raise ValueError(f"part must be train, validation or test, got {part!r}")
        self.part = part
        self.size = check_count("size", size, LARGEST_SIDE)
        self.warp = warp
        self.num_images = len(TEST_PLANES) if part == "test" else num_images

    @property
    def image_ids(self) -> list[str]:
        """Id of each item."""
        if self.part == "test":
            return [f"mni152_z{plane:03d}" for plane in TEST_PLANES]
        return [f"{self.name}_{self.part}{index:03d}" for index in range(self.num_images)]

    @property
    def index(self) -> list[str]:
        """Id of each item; the template itself comes with its package."""
        return self.image_ids

    def __len__(self) -> int:
        return self.num_images

    def volume(self) -> Array:
        """Return the planes that slices are interpolated from."""
        return mni152_volume(self.size)

    def __getitem__(self, item: KeyedIndex) -> Item:
        index, key = split_index(item)
        if self.part == "test":
            return self._test_item(index)
        if self.part == "validation":
            return self._random_item(index, numpy_generator(0, f"validation {index}"))
        return self._random_item(index, item_generator(key))

    def _test_item(self, index: int) -> Item:
        image_id = self.image_ids[index]
        magnitude = average_blocks(mni152_volume(self.size)[TEST_PLANES[index]], SUPERSAMPLING)
        return complex_item(magnitude, random_phase(numpy_generator(0, image_id), self.size), image_id)

    def _random_item(self, index: int, rng: np.random.Generator) -> Item:
        planes, fine = self.sample_planes(rng), SUPERSAMPLING * self.size
        rows, columns = self.warp.sample(rng, fine)
        places = [planes, *(fine * (x + 0.5) - 0.5 for x in (rows, columns))]
        magnitude = random_contrast(rng, self.magnitude(rng, places), self.bend)
        return complex_item(magnitude, random_phase(rng, self.size), self.image_ids[index])

    def magnitude(self, rng: np.random.Generator, places: list[Array]) -> Array:
        """Return the slice (size, size) at the given places of the volume, whose contrast is yet to be drawn."""
        return average_blocks(
            scipy.ndimage.map_coordinates(self.volume(), places, order=1, mode="nearest"), SUPERSAMPLING
        )

    def sample_planes(self, rng: np.random.Generator) -> Array:
        """Draw the height of each supersampled pixel of a random plane, in mm: (2 size, 2 size) float32."""
        if self.part == "validation":
            slopes, ranges = np.zeros(2), [HELD_OUT]
        else:
            slopes = rng.uniform(-MAX_SLOPE, MAX_SLOPE, 2)
            below, above = (EXTENT[0], HELD_OUT[0] - MARGIN), (HELD_OUT[1] + MARGIN, EXTENT[1])
            rise = np.abs(slopes).sum() * self.view / 2
            ranges = [(low + rise, high - rise) for low, high in (below, above)]
        middle = _uniform_over(rng, ranges)
        fine = SUPERSAMPLING * self.size
        offset = ((np.arange(fine) + 0.5) / fine - 0.5) * self.view
        heights: Array = middle + slopes[0] * offset[:, None] + slopes[1] * offset[None, :]
        return heights.astype(np.float32)


class HeadSlices(BrainSlices):
    """Training slices of a head with skull and scalp: a volume in MNI space, in place of the brain of the template.

    Parameters
    ----------
    path
        NIfTI file of 1 mm along the axes of MNI space.
    size
        Side of the images in pixels, over a field of view of 240 mm.
    num_images, warp
        As in `BrainSlices`, whose slab is held out here too.

    Raises
    ------
    FileNotFoundError, ValueError
        On first use, as `head_volume`.
    """

    view = HEAD_VIEW
    bend = SLICE_BEND

    def __init__(self, path: str, size: int = 64, num_images: int = 96, warp: Warp = TEMPLATE_WARP) -> None:
        super().__init__("train", size, num_images, warp)
        self.path, self.name = path, Path(path).name.partition(".")[0]

    @property
    def index(self) -> list[str]:
        """Name and checksum of the volume, which all items are made of."""
        return [f"{self.name} {zlib.crc32(Path(self.path).read_bytes()):08x}"]

    def volume(self) -> Array:
        """Return the planes that slices are interpolated from."""
        return head_volume(self.path, self.size)


class MagnitudeSlices(Dataset[Item]):
    """Training slices from an archive of real magnitude images, made complex by random contrast and phase.

    An item (index, key) is ``image`` (1, size, size) complex64 of magnitude at most 1 and ``image_id``: the
    slice, mirrored, deformed and recolored as the key says.

    Parameters
    ----------
    path
        NumPy ``.npz`` with ``images`` (N, n, n) uint8, front at the top, and ``axial`` (N) bool.
    size
        Side of the images in pixels.
    axial
        Take only the slices marked axial.
    warp
        Ranges of the deformation.

    Raises
    ------
    FileNotFoundError
        On first use, if the path does not exist.
    ValueError
        On first use, if the archive does not hold these arrays, or for an item without a key.
    """

    channels = 2

    def __init__(self, path: str, size: int = 64, axial: bool = True, warp: Warp = SLICE_WARP) -> None:
        self.path = Path(path)
        self.size = check_count("size", size, LARGEST_SIDE)
        self.axial = axial
        self.warp = warp

    @cached_property
    def images(self) -> Array:
        """The slices in use, (N, n, n) uint8."""
        if not self.path.is_file():
            raise FileNotFoundError(f"no such archive of slices: {self.path}")
        try:
            with np.load(self.path) as archive:
                images: Array = archive["images"]
                axial: Array = archive["axial"]
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{self.path} is not an .npz archive with images and axial: {error}") from error
        if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1] != images.shape[2]:
            raise ValueError(f"images in {self.path} must be (N, n, n) uint8, got {images.shape} {images.dtype}")
        images = images[axial] if self.axial else images
        if not len(images):
            raise ValueError(f"no slice to use in {self.path}")
        return images

    @property
    def index(self) -> list[str]:
        """A line for each item that changes with its pixels: position and checksum."""
        return [f"{i} {zlib.crc32(image.tobytes()):08x}" for i, image in enumerate(self.images)]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, item: KeyedIndex) -> Item:
        index, key = split_index(item)
        rng, fine = item_generator(key), SUPERSAMPLING * self.size
        places = [fine * (x + 0.5) - 0.5 for x in self.warp.sample(rng, fine)]
        magnitude = scipy.ndimage.map_coordinates(self._resized(index), places, order=1, mode="constant")
        magnitude = random_contrast(rng, average_blocks(magnitude, SUPERSAMPLING), SLICE_BEND)
        return complex_item(magnitude, random_phase(rng, self.size), f"{self.path.stem}_{index:05d}")

    def _resized(self, index: int) -> Array:
        image = torch.from_numpy(self.images[index].astype(np.float32) / 255)
        if image.shape[-1] != SUPERSAMPLING * self.size:
            image = resize(image[None], SUPERSAMPLING * self.size)[0].clamp(0, 1)
        return image.numpy()


def resize(images: Tensor, size: int) -> Tensor:
    """Resample (N, n, n) to (N, size, size) with an anti-aliasing bicubic filter."""
    return interpolate(images[:, None], size=(size, size), mode="bicubic", antialias=True)[:, 0]


def complex_item(magnitude: Array, phase: Array, image_id: str) -> Item:
    """Return the item of an image with the given magnitude and phase factor, both (n, n)."""
    return {"image": torch.from_numpy(magnitude * phase)[None], "image_id": image_id}


def _uniform_over(rng: np.random.Generator, ranges: Sequence[tuple[float, float]]) -> float:
    """Draw uniformly from a union of disjoint ranges."""
    lengths = np.array([high - low for low, high in ranges])
    low, high = ranges[rng.choice(len(ranges), p=lengths / lengths.sum())]
    return rng.uniform(low, high)
