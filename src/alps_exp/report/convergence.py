"""Convergence of a sampler: how well its chains fit the measurement, and the acceptance of their moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from alps_exp.report.figures import save_figure
from alps_exp.report.layout import label_text

_FONT = 8  # points
_MOST_NAMES = 8  # images in the legend
_LABELS = {"misfit": "Misfit over its expectation", "acceptance": "Acceptance"}


def convergence_figure(rows: Sequence[Mapping[str, object]], path: Path) -> Path:
    """Draw the misfit, and the acceptance if there is one, against step and noise scale, a line for each image.

    Parameters
    ----------
    rows
        Numbers of every step and image, see `alps_exp.samplers.Trajectory.rows`.
    path
        The PNG file to write.

    Returns
    -------
    Path
        The written file.

    Raises
    ------
    ValueError
        If there are no rows.
    """
    if not rows:
        raise ValueError("a trajectory without steps cannot be drawn")
    table = pd.DataFrame(rows)
    shown = [name for name in _LABELS if table[name].notna().any()]
    figure = Figure(figsize=(4.2 * len(shown), 3.0), dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for axis, name in zip(panels, shown, strict=True):
        _draw(axis, table, name)
    if 1 < table["image_id"].nunique() <= _MOST_NAMES:
        panels[0].legend(fontsize=_FONT - 2, frameon=False)
    return save_figure(figure, path)


def _draw(axis: Axes, table: pd.DataFrame, name: str) -> None:
    for image_id, of_image in table.groupby("image_id", sort=False):
        axis.plot(of_image["step"], of_image[name].astype(float), linewidth=1, label=label_text(image_id))
    if name == "misfit":
        axis.axhline(1, color="0.6", linewidth=0.8)
        axis.set(yscale="log")
    else:
        axis.set(ylim=(-0.03, 1.03))
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axis.set_xlabel("Step", fontsize=_FONT)
    axis.set_ylabel(_LABELS[name], fontsize=_FONT)
    axis.tick_params(labelsize=_FONT - 1)
    scales = table.drop_duplicates("step").set_index("step")["scale"]
    above = axis.secondary_xaxis("top")
    ticks = [step for step in axis.get_xticks() if step in scales.index]
    above.set_xticks(ticks, [f"{scales[step]:.2g}" for step in ticks])
    above.set_xlabel("Noise scale", fontsize=_FONT)
    above.tick_params(labelsize=_FONT - 1)
