"""Datasets, per-image masks and coil maps, and the Lightning data module around them."""

from alps_exp.data.fastmri import FastMRIVolume
from alps_exp.data.kspace import ArrayVolume, KSpaceError
from alps_exp.data.measured import PreparedSlices
from alps_exp.data.module import ImageDataModule, StepKeyedBatchSampler
from alps_exp.data.sensitivity import EspiritMaps, LowResolutionMaps

__all__ = [
    "ArrayVolume",
    "EspiritMaps",
    "FastMRIVolume",
    "ImageDataModule",
    "KSpaceError",
    "LowResolutionMaps",
    "PreparedSlices",
    "StepKeyedBatchSampler",
]
