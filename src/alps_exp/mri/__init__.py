"""From k-space files to prepared volumes, and prepared volumes as a dataset."""

from alps_exp.mri.example_slice import ExampleSlice
from alps_exp.mri.fastmri import FastMRIVolume
from alps_exp.mri.kspace import ArrayVolume, KSpaceError
from alps_exp.mri.prepared_slices import PreparedSlices
from alps_exp.mri.sensitivity import EspiritMaps, LowResolutionMaps

__all__ = [
    "ArrayVolume",
    "EspiritMaps",
    "ExampleSlice",
    "FastMRIVolume",
    "KSpaceError",
    "LowResolutionMaps",
    "PreparedSlices",
]
