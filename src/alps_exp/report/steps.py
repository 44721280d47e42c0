"""What a chain looks like on its way: its states and the denoised images over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alps_exp.report.panels import MOST_COLUMNS, Panel, Row, draw_rows, save_figure
from alps_exp.report.scales import image_scale, on_scale

_ROWS = {"x": "Chain", "d": "Denoised"}


def steps_figure(steps: Sequence[Mapping[str, Any]], path: str | Path, most: int = MOST_COLUMNS) -> Path:
    """Draw a chain and its denoised images at some steps, evenly apart from the first to the last.

    Above each is its noise scale t, below the chain its misfit over the one that is expected of the truth.

    Parameters
    ----------
    steps
        The steps, see `alps_exp.samplers.Trajectory.steps`.
    path
        The file to write, whose ending (.png, .pdf, .svg) says its format.
    most
        How many steps to show at most.

    Returns
    -------
    Path
        The written file.

    Raises
    ------
    ValueError
        If there are no steps, or the path has another ending.
    """
    if not steps:
        raise ValueError("a trajectory without images cannot be drawn")
    at = np.unique(np.linspace(0, len(steps) - 1, min(most, MOST_COLUMNS)).round().astype(int))
    chosen = [steps[i] for i in at]
    scale = image_scale([chosen[-1]["x"]])
    rows = []
    for name, label in _ROWS.items():
        images = [step[name] for step in chosen]
        if any(image is not None for image in images):
            rows.append(Row(label, scale, [None if image is None else Panel(on_scale(image)) for image in images]))
    return save_figure(draw_rows(rows), Path(path))
