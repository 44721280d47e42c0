"""Reconstructions without a learned prior, selected like samplers by ``sampler=NAME``."""

from alps_exp.reconstruction.base import Reconstruction
from alps_exp.reconstruction.sense import SENSE
from alps_exp.reconstruction.sparse import L1Wavelet, TotalVariation
from alps_exp.reconstruction.zero_filled import ZeroFilled

__all__ = [
    "L1Wavelet",
    "Reconstruction",
    "SENSE",
    "TotalVariation",
    "ZeroFilled",
]
