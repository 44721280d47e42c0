"""Quality against cost: PSNR over forward-equivalents and over seconds."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from alps_exp.report.figures import save_figure
from alps_exp.report.layout import label_text

_FONT = 8  # points
_COSTS = {"calls": "Forward-equivalents an image", "time": "Seconds an image"}


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


def pareto_figure(table: pd.DataFrame, path: Path) -> Path | None:
    """Draw PSNR against both costs, a row for each task and noise; return the path, or None without any row.

    Open marks are single samples, full ones MMSE, MAP and point estimates; the line joins those that none surpasses
    at lower cost. Rows that do not compare (failed, missing or other images) or have flagged estimates are crosses, and
    not on that line.

    Parameters
    ----------
    table
        A table of `build_table`.
    path
        The PNG file to write.
    """
    rows = with_costs(table)
    if rows.empty:
        return None
    tasks = [group for _, group in rows.groupby([rows["task"], rows["noise_std"].map(str)])]
    figure = Figure(figsize=(6.6, 2.8 * len(tasks)), dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, group in zip(figure.subplots(len(tasks), 2, squeeze=False), tasks, strict=True):
        for axis, cost in zip(axes, _COSTS, strict=True):
            _draw(axis, group, cost)
        axes[0].legend(fontsize=_FONT - 2, frameon=False)
    return save_figure(figure, path)


def stands(rows: pd.DataFrame) -> pd.Series:
    """Return which rows are comparable with the others of their task and have no flag."""
    return rows["compared"].astype(bool) & (rows["flagged"] == 0)


def _draw(axis: Axes, group: pd.DataFrame, cost: str) -> None:
    standing = stands(group)
    for number, (sampler, rows) in enumerate(group.groupby("sampler", sort=False)):
        for position, row in enumerate(rows.itertuples()):
            color = f"C{number % 10}"
            marker = "o" if standing[row.Index] else "x"
            face = "none" if row.estimate == "sample" else color
            label = None if position else label_text(sampler).replace("_", " ")
            axis.scatter(getattr(row, cost), row.psnr, s=22, marker=marker, color=color, facecolors=face, label=label)
    best = front(group[standing], cost)
    axis.plot(best[cost], best["psnr"], color="0.6", linewidth=0.8, zorder=0)
    axis.set(xscale="log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    title = label_text(f"{group['task'].iloc[0]}, noise {group['noise_std'].iloc[0]}")
    axis.set_title(title.replace("_", " "), fontsize=_FONT)
    axis.set_xlabel(_COSTS[cost], fontsize=_FONT)
    axis.set_ylabel("PSNR [dB]", fontsize=_FONT)
    axis.tick_params(labelsize=_FONT - 1)
