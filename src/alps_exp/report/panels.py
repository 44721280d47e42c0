"""Grids of images at print size: rows of panels, each row on one scale, which its color bar states.

No figure is wider than a page of text (7 inches) or has letters below 7 points.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import wrap

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, MaxNLocator

from alps_exp.files import write_atomically
from alps_exp.report.marks import Region, border
from alps_exp.report.names import FLAG_COLOR, FLAGS, flag_text

PAGE, COLUMN = 7.0, 3.4  # inches: widths of a page of text and of a column
FONT, SMALL = 8, 7  # points
MOST_COLUMNS = 8
FORMATS = ("png", "pdf", "svg")
DPI = 300
_CELL, _TALLEST, _NARROWEST = 1.15, 2.0, 0.5  # inches, of a panel
_TALLEST_PAGE, _AROUND = 8.5, 0.4  # inches: of a figure, and of the texts around a row
_LEFT, _RIGHT, _GAP, _ROW_GAP, _BAR = 0.2, 0.68, 0.05, 0.12, 0.08
_LINE = 1.25 / 72  # inches a point of text, with the space between lines
_LETTER = 0.58 / 72  # inches a point of text, of an average letter
_MOST_LINES = 3
_ZOOM = 0.45  # of a panel's side
_BORDER_COLOR, _ZOOM_COLOR = "#00e5ff", "#ffd400"
_METADATA = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}


@dataclass(frozen=True)
class Scale:
    """What the colors of a row mean: the label with its unit, and the range; `cmap` None: RGB, without a bar."""

    label: str
    low: float
    high: float
    cmap: str | None = None

    @property
    def norm(self) -> Normalize:
        """The range as matplotlib takes it."""
        return Normalize(self.low, self.high)


@dataclass(frozen=True)
class Panel:
    """An image of a row.

    Attributes
    ----------
    pixels
        Numbers on the row's scale, (H, W), or RGB in [0, 1], (H, W, 3). What is masked lets `below` be seen.
    title, caption
        Texts above and below; a line break starts a new line.
    flags, mark
        Flags of the estimate, and the text of their mark, which `draw_rows` fills in.
    hidden
        Pixels (H, W) whose border is drawn, since nothing of them was measured.
    zoom
        Region that is enlarged in a corner.
    below
        A gray image (H, W) in [0, 1] under masked pixels.
    """

    pixels: np.ndarray
    title: str = ""
    caption: str = ""
    flags: Sequence[str] = ()
    mark: str = ""
    hidden: np.ndarray | None = None
    zoom: Region | None = None
    below: np.ndarray | None = None


@dataclass(frozen=True)
class Row:
    """Panels on one scale, with a label at their left; None leaves a place empty."""

    label: str
    scale: Scale
    panels: Sequence[Panel | None]


def in_blocks(rows: Sequence[Row]) -> list[Row]:
    """Return rows of at most `MOST_COLUMNS` panels: what is beyond these goes on below all of the given rows."""
    longest = max(len(row.panels) for row in rows)
    pieces = (
        replace(row, panels=row.panels[start : start + MOST_COLUMNS])
        for start in range(0, longest, MOST_COLUMNS)
        for row in rows
    )
    return [piece for piece in pieces if any(piece.panels)]


def draw_rows(rows: Sequence[Row], notes: Sequence[str] = ()) -> Figure:
    """Draw rows of panels, below them notes, and what the flags on the panels mean.

    Parameters
    ----------
    rows
        The rows, from the top; at most `MOST_COLUMNS` panels each.
    notes
        Sentences for below the panels.
    """
    columns = max(len(row.panels) for row in rows)
    width, height = _panel_size(rows, columns)
    rows = [_fitted(row, width, height) for row in rows]
    total = max(_LEFT + columns * (width + _GAP) + _RIGHT, COLUMN)
    below = _notes(notes, rows, total)
    tall = sum(_above(row) + height + _under(row) + _ROW_GAP for row in rows) + _text_height(below, SMALL) + 2 * _GAP
    figure = Figure(figsize=(total, tall), dpi=DPI)
    FigureCanvasAgg(figure)
    bottom = tall - _GAP
    for row in rows:
        bottom -= _above(row) + height
        for i, panel in enumerate(row.panels):
            if panel is not None:
                box = (_LEFT + i * (width + _GAP), bottom, width, height)
                _draw_panel(figure.add_axes(_shares(figure, box)), panel, row.scale)
        _draw_scale(figure, (_LEFT + columns * (width + _GAP), bottom, _BAR, height), row)
        _write_upwards(figure, (0.0, bottom, _LEFT, height), row.label, _label_points(row.label, height))
        bottom -= _under(row) + _ROW_GAP
    figure.text(_GAP / total, _GAP / tall, below, va="bottom", fontsize=SMALL, parse_math=False)
    return figure


def _panel_size(rows: Sequence[Row], columns: int) -> tuple[float, float]:
    """Return width and height in inches of every panel: as large as they fit on a page, up to a limit."""
    rows_and_columns = [panel.pixels.shape for row in rows for panel in row.panels if panel is not None][-1]
    shape = rows_and_columns[0] / rows_and_columns[1]
    room = (PAGE - _LEFT - _RIGHT) / columns - _GAP
    tallest = min(_TALLEST, max(_TALLEST_PAGE / len(rows) - _AROUND, _NARROWEST))
    width = max(min(_CELL, room, tallest / shape), min(_NARROWEST, room))
    return width, min(width * shape, tallest)


def _fitted(row: Row, width: float, height: float) -> Row:
    """Return a row whose texts are broken into lines that fit panels of this size."""
    fitted = []
    for panel in row.panels:
        title, mark = ("", "") if panel is None else (panel.title, flag_text(panel.flags))
        fitted.append(panel and replace(panel, title=_wrapped(title, width, FONT), mark=_wrapped(mark, width, SMALL)))
    label = _wrapped(row.label, height, _label_points(row.label, height), most=1)
    return replace(row, label=label, panels=fitted)


def _label_points(label: str, height: float) -> float:
    """Return the size in which the label of a row is written: the small one where it does not fit in the other."""
    return FONT if int(height / (FONT * _LETTER)) >= len(label) else SMALL


def _wrapped(text: str, inches: float, points: float, most: int = _MOST_LINES) -> str:
    """Break each line of a text into at most so many lines that are about as wide as given."""
    width = max(int(inches / (points * _LETTER)), 4)
    return "\n".join(part for line in text.splitlines() for part in wrap(line, width, max_lines=most, placeholder="…"))


def _shares(figure: Figure, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Return a box (left, bottom, width, height) in inches as shares of the figure."""
    left, bottom, width, height = box
    wide, tall = figure.get_size_inches()
    return left / wide, bottom / tall, width / wide, height / tall


def _write_upwards(figure: Figure, box: tuple[float, float, float, float], text: str, points: float) -> None:
    """Write a text from the bottom to the top of a box, in its middle."""
    left, bottom, width, height = _shares(figure, box)
    x, y = left + width / 2, bottom + height / 2
    figure.text(x, y, text, rotation=90, ha="center", va="center", fontsize=points, parse_math=False)


def _text_height(text: str, points: float) -> float:
    return (text.count("\n") + 1) * points * _LINE + _GAP if text else 0.0


def _above(row: Row) -> float:
    return max((_text_height(panel.title, FONT) for panel in row.panels if panel), default=0.0)


def _under(row: Row) -> float:
    return max((_text_height(_all_below(panel), SMALL) for panel in row.panels if panel), default=0.0)


def _all_below(panel: Panel) -> str:
    return "\n".join(filter(None, [panel.caption, panel.mark]))


def _notes(notes: Sequence[str], rows: Sequence[Row], inches: float) -> str:
    flags = dict.fromkeys(flag for row in rows for panel in row.panels if panel for flag in panel.flags)
    meanings = [f"{flag_text([flag])}: {FLAGS[flag][1]}." for flag in flags if flag in FLAGS]
    return _wrapped("\n".join([*meanings, *notes]), inches, SMALL)


def _draw_panel(axis: Axes, panel: Panel, scale: Scale) -> None:
    if panel.below is not None:
        axis.imshow(panel.below, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    _show(axis, panel.pixels, scale)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set(visible=bool(panel.flags), color=FLAG_COLOR, linewidth=1.2)
    axis.set_title(panel.title, fontsize=FONT, pad=2, parse_math=False)
    axis.set_xlabel(panel.caption, fontsize=SMALL, labelpad=2, parse_math=False)
    if panel.flags:
        lines = panel.caption.count("\n") + bool(panel.caption)
        axis.annotate(
            panel.mark,
            (0.5, 0),
            xycoords="axes fraction",
            xytext=(0, -2 - lines * SMALL * _LINE * 72),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=SMALL,
            color=FLAG_COLOR,
            parse_math=False,
        )
    if panel.hidden is not None:
        axis.add_collection(LineCollection(list(border(panel.hidden)), colors=_BORDER_COLOR, linewidths=0.6))
    if panel.zoom is not None:
        _draw_zoom(axis, panel.pixels, panel.zoom, scale)


def _show(axis: Axes, pixels: np.ndarray, scale: Scale) -> None:
    axis.imshow(pixels, cmap=scale.cmap, norm=None if scale.cmap is None else scale.norm, interpolation="nearest")


def _draw_zoom(axis: Axes, pixels: np.ndarray, zoom: Region, scale: Scale) -> None:
    """Enlarge a region in the corner that is farthest from it, and mark where it is."""
    row, column, size = zoom
    height, width = pixels.shape[:2]
    low, left = row + size / 2 < height / 2, column + size / 2 > width / 2
    inset = axis.inset_axes((0 if left else 1 - _ZOOM, 0 if low else 1 - _ZOOM, _ZOOM, _ZOOM))
    inset.set_anchor(("S" if low else "N") + ("W" if left else "E"))
    _show(inset, pixels[row : row + size, column : column + size], scale)
    inset.set(xticks=[], yticks=[])
    inset.spines[:].set(color=_ZOOM_COLOR, linewidth=0.8)
    frame = Rectangle((column - 0.5, row - 0.5), size, size, fill=False, edgecolor=_ZOOM_COLOR, linewidth=0.8)
    axis.add_patch(frame)


def _draw_scale(figure: Figure, box: tuple[float, float, float, float], row: Row) -> None:
    if row.scale.cmap is None:
        _write_upwards(figure, box, row.scale.label, SMALL)
        return
    exceeded = any(panel is not None and np.max(panel.pixels) > row.scale.high for panel in row.panels)
    bar = figure.colorbar(
        ScalarMappable(row.scale.norm, row.scale.cmap),
        cax=figure.add_axes(_shares(figure, box)),
        extend="max" if exceeded else "neither",
    )
    bar.set_label(row.scale.label, fontsize=SMALL, labelpad=2)
    bar.ax.tick_params(labelsize=SMALL, width=0.5, length=2, pad=1.5)
    bar.locator = MaxNLocator(3) if row.scale.low >= 0 else FixedLocator([row.scale.low, 0, row.scale.high])
    bar.outline.set_linewidth(0.5)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure in the format of the path's ending, one of `FORMATS`, and return the path.

    Raises
    ------
    ValueError
        If it has another ending.
    """
    kind = path.suffix.removeprefix(".")
    if kind not in FORMATS:
        raise ValueError(f"the figure {path} ends with {path.suffix!r}, expected one of {', '.join(FORMATS)}")
    buffer = io.BytesIO()
    # TrueType fonts, as journals ask for, and files that depend on nothing but the figure.
    with mpl.rc_context({"pdf.fonttype": 42, "svg.hashsalt": "alps_exp"}):
        figure.savefig(buffer, format=kind, metadata=_METADATA[kind])
    write_atomically(path, buffer.getvalue())
    return path


def save_figures(figure: Figure, path: Path, formats: Sequence[str]) -> list[Path]:
    """Write a figure in several formats, each with its ending in place of the path's; return the paths."""
    return [save_figure(figure, path.with_suffix(f".{kind}")) for kind in formats]
