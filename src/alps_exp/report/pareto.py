"""Quality against cost: PSNR over forward-equivalents and over seconds."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from alps_exp.errors import one_line
from alps_exp.report.names import sampler_colors, sampler_name
from alps_exp.report.panels import save_figures
from alps_exp.report.plots import add_legend, add_notes, label_axes, open_plots

log = logging.getLogger(__name__)

_COSTS = {"calls": "Forward-equivalents an image", "time": "Seconds an image"}
_MARGIN = 1.6  # so that an axis has a tick at 1, 2 or 5 at least


def with_costs(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have a PSNR with ``calls`` and ``time``, what an estimate of an image costs.

    A forward-equivalent is a forward pass or a vector-Jacobian product. A sample costs its own share, the mean over
    the samples all of them.
    """
    rows = table[table["psnr"].notna() & table["nfe_forward"].notna()].copy()
    samples = rows["samples"].astype(float)
    alone = rows["estimate"] == "sample"
    rows["calls"] = (rows["nfe_forward"] + rows["nfe_vjp"]) * samples.where(~alone, 1)
    rows["time"] = rows["seconds"] / samples.where(alone, 1)
    return rows


def front(rows: pd.DataFrame, cost: str) -> pd.DataFrame:
    """Return the Pareto-optimal rows (no cheaper or equally expensive row has a higher PSNR), sorted by cost."""
    ordered = rows.sort_values([cost, "psnr"], ascending=[True, False])
    return ordered[ordered["psnr"] > ordered["psnr"].cummax().shift(fill_value=float("-inf"))]


def pareto_figure(table: pd.DataFrame, path: Path, formats: Sequence[str] = ("png",)) -> list[Path]:
    """Draw PSNR against both costs, a row for each task and noise level; return the written files.

    All points of a task are means over the same images: what is over others, or incomplete, is named below with the
    reason. Open marks are single samples, full ones MMSE, MAP and point estimates, crosses have flagged estimates. The
    line joins those without a flag that none surpasses at lower cost.

    Parameters
    ----------
    table
        A table of `build_table`. If no row of it has a point, nothing is written.
    path
        The file to write, whose ending each format replaces.
    formats
        File formats: png, pdf, svg.
    """
    rows = with_costs(table)
    points = rows[rows["compared"].astype(bool)]
    if points.empty:
        for sentence in _left_out(rows):
            log.warning("no point in %s: %s", path.name, one_line(sentence))
        return []
    tasks = [group for _, group in points.groupby([points["task"], points["noise_std"].map(str)])]
    colors = sampler_colors(points["sampler"])
    figure, panels = open_plots(len(tasks), len(_COSTS), height=1.75)
    for axes, group in zip(panels, tasks, strict=True):
        for axis, cost in zip(axes, _COSTS, strict=True):
            _draw(axis, group, cost, colors)
            label_axes(axis, _title(group) if axis is axes[0] else "", _COSTS[cost], "PSNR [dB]")
    meanings = {
        "MMSE, MAP or point estimate": _mark("0.4"),
        "a single sample": _mark("0.4", "sample"),
        "with flagged estimates": _mark("0.4", flagged=True),
        "unflagged, and none is better for less": Line2D([], [], color="0.6", linewidth=0.8),
    }
    marks = [_mark(color) for color in colors.values()]
    add_legend(figure, [*marks, *meanings.values()], [*map(sampler_name, colors), *meanings])
    add_notes(figure, _left_out(rows))
    return save_figures(figure, path, formats)


def stands(rows: pd.DataFrame) -> pd.Series:
    """Return which rows are comparable with the others of their task and have no flag."""
    return rows["compared"].astype(bool) & (rows["flagged"] == 0)


def _left_out(rows: pd.DataFrame) -> list[str]:
    """Return a sentence for every sampler that has no points, since they would be over other images."""
    others = rows[~rows["compared"].astype(bool)].drop_duplicates(["task", "noise_std", "sampler", "status"])
    return [f"Not shown: {row.sampler} on {row.task} ({row.status})." for row in others.itertuples()]


def _mark(color: str, estimate: str = "mmse", flagged: bool = False) -> Line2D:
    """Return the mark of an estimate: open for a single sample, a cross if it is flagged."""
    face = "none" if estimate == "sample" else color
    shape = "X" if flagged else "o"
    above = 3 if flagged else 2  # a flag is seen whatever lies at the same place
    return Line2D([], [], marker=shape, color=color, markerfacecolor=face, markersize=5, linestyle="none", zorder=above)


def _title(group: pd.DataFrame) -> str:
    task, noise_std, images = group[["task", "noise_std", "images"]].iloc[0]
    return f"{task}, noise {noise_std}, means over {images} image{'s' if images > 1 else ''}"


def _draw(axis: Axes, group: pd.DataFrame, cost: str, colors: Mapping[str, str]) -> None:
    for row in group.to_dict("records"):
        mark = _mark(colors[row["sampler"]], row["estimate"], row["flagged"] > 0)
        mark.set_data([row[cost]], [row["psnr"]])
        axis.add_line(mark)
    best = front(group[stands(group)], cost)
    axis.plot(best[cost], best["psnr"], color="0.6", linewidth=0.8, zorder=0)
    axis.set(xscale="log")
    axis.relim()
    axis.autoscale_view()
    low, high = group[cost].min(), group[cost].max()
    axis.set_xlim(low / _MARGIN, high * _MARGIN)
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
