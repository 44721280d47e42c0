"""EDM's augmentation of photographs, with labels that keep augmented images out of what the network generates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
import torch
from torch.utils.data import Dataset

from alps_exp.batch import Item, KeyedIndex, TrainingImages, split_index
from alps_exp.randomness import item_generator

Array = np.ndarray

NUM_LABELS = 9
DOUBLING = 0.2  # standard deviation of log2 of the magnification
SHIFT = 0.125  # standard deviation of the displacement, as a fraction of the image's side
STREAM = 1  # separates these draws from those of the augmented dataset, which uses the key itself


@dataclass(frozen=True)
class Transformation:
    """A transformation of the plane about the center of the image; the default is the identity.

    Attributes
    ----------
    mirror, flip
        Left to right, upside down.
    scale
        Magnification, as its log2 over 0.2.
    rotation
        Angle in radians, counterclockwise on the screen.
    stretch, direction
        Log2 over 0.2 of the magnification along a direction, with its inverse across it; direction in radians.
    right, down
        Displacement in eighths of the side.
    """

    mirror: bool = False
    flip: bool = False
    scale: float = 0.0
    rotation: float = 0.0
    stretch: float = 0.0
    direction: float = 0.0
    right: float = 0.0
    down: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator, probability: float) -> Transformation:
        """Draw a transformation: mirrored in half of the cases, each of the other five kinds with `probability`."""
        mirror, flip = rng.integers(2, size=2).astype(bool)
        flipped, scaled, rotated, stretched, moved = rng.random(5) < probability
        scale, stretch, right, down = rng.standard_normal(4)
        rotation, direction = rng.uniform(-np.pi, np.pi, 2)
        return cls(
            bool(mirror),
            bool(flip and flipped),
            scale * scaled,
            rotation * rotated,
            stretch * stretched,
            direction * stretched,
            right * moved,
            down * moved,
        )

    @property
    def labels(self) -> Array:
        """The transformation as labels (9,) float32; zero for the identity."""
        turned = [np.cos(self.rotation) - 1, np.sin(self.rotation)]
        stretched = [self.stretch * np.cos(self.direction), self.stretch * np.sin(self.direction)]
        return np.array(
            [self.mirror, self.flip, self.scale, *turned, *stretched, self.right, self.down], dtype=np.float32
        )

    def __call__(self, image: Array) -> Array:
        """Return a (C, n, n) image in [-1, 1], mirrored and flipped, then scaled, rotated, stretched and shifted.

        Interpolation is by cubic splines, with reflection at the borders. If none is needed, pixels keep their values.
        """
        image = image[:, :: -1 if self.flip else 1, :: -1 if self.mirror else 1]
        if not any((self.scale, self.rotation, self.stretch, self.right, self.down)):
            return image
        inverse = np.linalg.inv(self._matrix())
        middle = (image.shape[-1] - 1) / 2
        origin = middle - inverse @ (middle + SHIFT * image.shape[-1] * np.array([self.down, self.right]))
        moved = [scipy.ndimage.affine_transform(plane, inverse, origin, order=3, mode="mirror") for plane in image]
        return np.stack(moved).clip(-1, 1)

    def _matrix(self) -> Array:
        """Return the matrix that maps the content, in (row, column)."""
        turn, axis = _rotation(self.rotation), _rotation(self.direction)
        along, across = 2 ** (DOUBLING * self.stretch), 2 ** (-DOUBLING * self.stretch)
        stretch = axis @ np.diag([across, along]) @ axis.T
        matrix: Array = stretch @ turn * 2 ** (DOUBLING * self.scale)
        return matrix


def _rotation(angle: float) -> Array:
    """Return the counterclockwise rotation matrix for (row, column), with rows pointing down."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


class Augmented(Dataset[Item]):
    """Training photographs under random transformations, with their augmentation labels for the network.

    An item has ``augment`` (9,) float32 in addition to what the dataset provides. A network conditioned on the labels
    (`augment_dim` 9) learns the distribution for every label; with zero labels it models unaugmented images. The
    transformation is a function of the item's key; an item without a key is not transformed.

    Deviation from the published pipeline: that resamples at twice the resolution with wavelet filters, this one with
    cubic splines at the original resolution.

    Parameters
    ----------
    dataset
        Photographs (C, n, n) float32 in [-1, 1] that the dataset itself does not mirror.
    probability
        Probability of each kind of transformation except mirroring, which has probability 1/2.

    Raises
    ------
    ValueError
        If probability is not in [0, 1], or an image is complex.

    Source: Karras et al. 2022 (arXiv 2206.00364), appendix F.2 and Table 6; 15 % for FFHQ, 12 % for CIFAR-10.
    """

    def __init__(self, dataset: TrainingImages, probability: float = 0.15) -> None:
        if not 0 <= probability <= 1:
            raise ValueError(f"probability must be in [0, 1], got {probability}")
        self.dataset, self.probability = dataset, probability
        self.channels: int = dataset.channels

    @property
    def index(self) -> list[str]:
        """The dataset's own index."""
        return self.dataset.index

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, item: KeyedIndex) -> Item:
        _, key = split_index(item)
        clean = self.dataset[item]
        if clean["image"].is_complex():
            raise ValueError("these transformations are for photographs, got a complex image")
        if key is None:
            return clean | {"augment": torch.zeros(NUM_LABELS)}
        transformation = Transformation.draw(item_generator(key, STREAM), self.probability)
        image = np.ascontiguousarray(transformation(clean["image"].numpy()))
        return clean | {"image": torch.from_numpy(image), "augment": torch.from_numpy(transformation.labels)}
