"""Datasets, per-image masks and coil maps, and the Lightning data module around them."""

from alps_exp.data.module import ImageDataModule, StepKeyedBatchSampler

__all__ = [
    "ImageDataModule",
    "StepKeyedBatchSampler",
]
