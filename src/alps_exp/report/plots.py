"""What plots of curves and points have in common: print size, labels, a legend beside the axes, notes below them."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from alps_exp.errors import one_line
from alps_exp.report.names import FLAG_COLOR
from alps_exp.report.panels import DPI, FONT, PAGE, SMALL

_LEGEND_WIDTH, _NOTE_WIDTH = 24, 110  # characters
_LONGEST_NOTE = 300


def open_plots(rows: int, columns: int, height: float, width: float = PAGE) -> tuple[Figure, np.ndarray]:
    """Return a figure, and its axes (rows, columns), each row of a height in inches."""
    figure = Figure(figsize=(width, rows * height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def label_axes(axis: Axes, title: str, x: str, y: str) -> None:
    """Write title and labels of axes, in which nothing is a formula."""
    axis.set_title(one_line(title) if title else "", loc="left", fontsize=FONT, parse_math=False)
    axis.set_xlabel(x, fontsize=FONT)
    axis.set_ylabel(y, fontsize=FONT)
    axis.tick_params(which="both", labelsize=SMALL)


def add_legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """Draw the legend of a figure at its right, beside all axes."""
    legend = figure.legend(handles, [" "] * len(labels), loc="outside right upper", fontsize=SMALL, frameon=False)
    for text, label in zip(legend.get_texts(), labels, strict=True):  # matplotlib drops labels like _mine
        text.set(text=fill(one_line(label), _LEGEND_WIDTH), parse_math=False)


def add_notes(figure: Figure, notes: Sequence[str]) -> None:
    """Write notes below all axes."""
    if notes:
        text = "\n".join(fill(one_line(note, _LONGEST_NOTE), _NOTE_WIDTH) for note in notes)
        figure.supxlabel(text, x=0.01, ha="left", fontsize=SMALL, color=FLAG_COLOR, parse_math=False)
