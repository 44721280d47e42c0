"""Datasets, per-image masks and coil maps, and the Lightning data module around them."""

from alps_exp.data.astronaut import Astronaut
from alps_exp.data.augment import Warp
from alps_exp.data.augmented import Augmented
from alps_exp.data.brain import BrainSlices, HeadSlices, MagnitudeSlices
from alps_exp.data.fastmri import FastMRIVolume
from alps_exp.data.images import ImageFolder
from alps_exp.data.kspace import ArrayVolume, KSpaceError
from alps_exp.data.measured import PreparedSlices
from alps_exp.data.mixture import Mixture
from alps_exp.data.module import ImageDataModule, StepKeyedBatchSampler, image_shape
from alps_exp.data.prior import PriorSamples
from alps_exp.data.selection import Blanks, First
from alps_exp.data.sensitivity import EspiritMaps, LowResolutionMaps
from alps_exp.data.subject import SubjectSlices
from alps_exp.data.tissues import TissueSlices

__all__ = [
    "ArrayVolume",
    "Astronaut",
    "Augmented",
    "Blanks",
    "BrainSlices",
    "EspiritMaps",
    "FastMRIVolume",
    "First",
    "HeadSlices",
    "ImageDataModule",
    "ImageFolder",
    "KSpaceError",
    "LowResolutionMaps",
    "MagnitudeSlices",
    "Mixture",
    "PreparedSlices",
    "PriorSamples",
    "StepKeyedBatchSampler",
    "SubjectSlices",
    "TissueSlices",
    "Warp",
    "image_shape",
]
