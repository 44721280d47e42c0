"""Convergence of a sampler: how well its chains fit the measurement, and the acceptance of their moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatter, MaxNLocator

from alps_exp.report.panels import COLUMN, FONT, PAGE, SMALL, save_figure
from alps_exp.report.plots import add_legend, label_axes, open_plots

_MOST_NAMES = 8  # images in the legend
_LABELS = {"misfit": "Misfit over its expectation", "acceptance": "Acceptance"}


def convergence_figure(rows: Sequence[Mapping[str, object]], path: str | Path) -> Path:
    """Draw the misfit, and the acceptance if there is one, against step and noise scale, a line for each image.

    Parameters
    ----------
    rows
        Numbers of every step and image, see `alps_exp.samplers.Trajectory.rows`.
    path
        The file to write, whose ending (.png, .pdf, .svg) says its format.

    Returns
    -------
    Path
        The written file.

    Raises
    ------
    ValueError
        If there are no rows, or the path has another ending.
    """
    if not rows:
        raise ValueError("a trajectory without steps cannot be drawn")
    table = pd.DataFrame(rows)
    shown = [name for name in _LABELS if table[name].notna().any()]
    figure, panels = open_plots(1, len(shown), 2.4, COLUMN if len(shown) == 1 else PAGE)
    for axis, name in zip(panels[0], shown, strict=True):
        _draw(axis, table, name)
    names = table["image_id"].unique()
    if 1 < len(names) <= _MOST_NAMES:
        add_legend(figure, panels[0][0].lines[: len(names)], names)
    return save_figure(figure, Path(path))


def _draw(axis: Axes, table: pd.DataFrame, name: str) -> None:
    for _, of_image in table.groupby("image_id", sort=False):
        axis.plot(of_image["step"], of_image[name].astype(float), linewidth=1)
    if name == "misfit":
        axis.axhline(1, color="0.6", linewidth=0.8)
        axis.set(yscale="log")
        axis.yaxis.set_major_formatter(LogFormatter())
        axis.yaxis.set_minor_formatter(LogFormatter())
    else:
        axis.set(ylim=(-0.03, 1.03))
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    label_axes(axis, "", "Step", _LABELS[name])
    scales = table.drop_duplicates("step").set_index("step")["scale"]
    above = axis.secondary_xaxis("top")
    ticks = [step for step in axis.get_xticks() if step in scales.index]
    above.set_xticks(ticks, [f"{scales[step]:.2g}" for step in ticks])
    above.set_xlabel("Noise scale", fontsize=FONT)
    above.tick_params(labelsize=SMALL)
