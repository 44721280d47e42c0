"""Restoration of test images by a sampler, and the calibration of its samples."""

from alps_exp.restoration.calibration import Calibration, calibration_report
from alps_exp.restoration.module import Labels, Restoration

__all__ = [
    "Calibration",
    "Labels",
    "Restoration",
    "calibration_report",
]
