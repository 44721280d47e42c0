"""Restoration of test images by a sampler."""

from alps_exp.restoration.module import Labels, Restoration

__all__ = ["Labels", "Restoration"]
