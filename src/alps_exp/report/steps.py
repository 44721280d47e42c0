"""What a chain looks like on its way: its states and the denoised images over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alps_exp.report.panels import MOST_COLUMNS, Panel, Row, draw_rows, save_figure
from alps_exp.report.scales import image_scale, on_scale


def steps_figure(steps: Sequence[Mapping[str, Any]], path: str | Path, most: int = MOST_COLUMNS) -> Path:
    """Draw a chain and its denoised images at some steps, evenly apart from the first to the last.

    Each has its noise scale t, and its misfit over the one that is expected of the truth.

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
    chain = [Panel(on_scale(step["x"]), _title(step), _misfit(step)) for step in chosen]
    rows = [Row("Chain", scale, chain)]
    denoised = [None if step["d"] is None else Panel(on_scale(step["d"])) for step in chosen]
    if any(denoised):
        rows.append(Row("Denoised", scale, denoised))
    return save_figure(draw_rows(rows), Path(path))


def _title(step: Mapping[str, Any]) -> str:
    return f"step {step['step']}\nt = {step['scale']:.2g}"


def _misfit(step: Mapping[str, Any]) -> str:
    return f"misfit {float(format(step['misfit'], '.3g')):g}"  # 2150, not 2.15e+03
