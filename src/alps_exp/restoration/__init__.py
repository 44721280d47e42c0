"""Restoration of images by a sampler in a durable run, and the calibration of its samples."""

from alps_exp.restoration.calibration import Calibration, calibration_report
from alps_exp.restoration.measuring import OperatorRule, operator_of
from alps_exp.restoration.module import Restoration
from alps_exp.restoration.run import Run, restore
from alps_exp.restoration.settings import Labels, RestorationSettings

__all__ = [
    "Calibration",
    "Labels",
    "OperatorRule",
    "Restoration",
    "RestorationSettings",
    "Run",
    "calibration_report",
    "operator_of",
    "restore",
]
