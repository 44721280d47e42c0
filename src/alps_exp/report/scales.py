"""The scales on which figures draw images and maps, each with its unit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alps_exp.report.panels import Scale
from alps_exp.report.pixels import ERROR, HALF_WIDTH, LARGEST, LEVEL, STD, Maps

MAP_COLORS = {ERROR: "inferno", STD: "viridis", HALF_WIDTH: "cividis"}
LABELS = {ERROR: "Absolute error", STD: "Std. deviation", HALF_WIDTH: f"Half-width, {100 * LEVEL:g} %"}


def image_scale(images: Sequence[np.ndarray]) -> Scale:
    """Return the scale of images (C, H, W) that are drawn beside each other: complex ones up to their largest value."""
    if np.iscomplexobj(images[0]):
        return Scale("Magnitude", 0, max(float(np.abs(image).max()) for image in images) or 1, "gray")
    if len(images[0]) == 3:
        return Scale("RGB in [−1, 1]", -1, 1)
    return Scale("Gray in [−1, 1]", -1, 1, "gray")


def on_scale(image: np.ndarray) -> np.ndarray:
    """Return the numbers (H, W) of an image (C, H, W) on its scale, or RGB in [0, 1], (H, W, 3)."""
    if len(image) == 3 and not np.iscomplexobj(image):
        return np.moveaxis((image.clip(-1, 1) + 1) / 2, 0, -1)
    shown: np.ndarray = np.abs(image[0]) if np.iscomplexobj(image) else image.mean(0).clip(-1, 1)
    return shown


def unit_of(image: np.ndarray) -> str:
    """Return the unit of the error or standard deviation of an image."""
    return "as magnitude" if np.iscomplexobj(image) else "image in [−1, 1]"


def map_scales(maps: Sequence[Maps], unit: str) -> dict[str, Scale]:
    """Return a scale for each kind of map, from 0 to nearly the largest value."""
    there = {kind: [of_estimate[kind] for of_estimate in maps if kind in of_estimate] for kind in MAP_COLORS}
    return {
        kind: Scale(f"{LABELS[kind]}\n{unit}", 0, quantile_of(values, LARGEST) or 1, MAP_COLORS[kind])
        for kind, values in there.items()
        if values
    }


def quantile_of(maps: Sequence[np.ndarray], quantile: float) -> float:
    """Return a quantile of the values of all maps together."""
    return float(np.quantile(np.concatenate([each.ravel() for each in maps]), quantile))
