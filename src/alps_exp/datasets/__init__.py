"""Datasets of photographs, brain slices and draws of a prior, and how they are combined and batched."""

from alps_exp.datasets.astronaut import Astronaut
from alps_exp.datasets.batches import image_shape
from alps_exp.datasets.brain import BrainSlices, HeadSlices, MagnitudeSlices
from alps_exp.datasets.edm_augmentation import Augmented
from alps_exp.datasets.first_images import FirstImages
from alps_exp.datasets.image_folder import ImageFolder
from alps_exp.datasets.mixed import MixedDataset
from alps_exp.datasets.mr_augmentation import Warp
from alps_exp.datasets.prior_samples import PriorSamples
from alps_exp.datasets.subject import SubjectSlices
from alps_exp.datasets.tensor_images import TensorImages
from alps_exp.datasets.tissues import TissueSlices
from alps_exp.datasets.zero_images import ZeroImages

__all__ = [
    "Astronaut",
    "Augmented",
    "ZeroImages",
    "BrainSlices",
    "FirstImages",
    "HeadSlices",
    "ImageFolder",
    "MagnitudeSlices",
    "MixedDataset",
    "PriorSamples",
    "SubjectSlices",
    "TensorImages",
    "TissueSlices",
    "Warp",
    "image_shape",
]
