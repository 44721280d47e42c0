"""Per-image parameters of operators: pixel masks, k-space masks, coil sensitivity maps and noise levels."""

from alps_exp.masks.birdcage import BirdcageMaps
from alps_exp.masks.file import FileMask
from alps_exp.masks.from_batch import MapsFromBatch, MaskFromBatch, NoiseFromBatch
from alps_exp.masks.kspace import CartesianMask1D, CartesianMask2D, PoissonMask
from alps_exp.masks.pixels import BoxMask, RandomMask
from alps_exp.masks.product import MaskProduct
from alps_exp.masks.radial import RadialMask

__all__ = [
    "BirdcageMaps",
    "BoxMask",
    "CartesianMask1D",
    "CartesianMask2D",
    "MapsFromBatch",
    "MaskFromBatch",
    "NoiseFromBatch",
    "FileMask",
    "MaskProduct",
    "PoissonMask",
    "RadialMask",
    "RandomMask",
]
