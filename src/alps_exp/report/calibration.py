"""Calibration reports of runs to tables, and to figures of coverage and ranks.

Images drawn from the prior depend on the prior that the sampler uses. If a report is over other images than the rest
of its task, its status says so (`alps_exp.report.comparison`).

Numbers come with Student's 95 % interval over independent images (`alps_exp.intervals`). For a calibrated sampler, the
coverage equals the level; the ratios and the dispersions of ranks are 1; the biases of ranks, the squared bias, the
Wasserstein excess and the kernel Stein discrepancy are 0. TARP is the joint test of all pixels
(`alps_exp.evaluation.tarp`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from alps_exp.errors import one_line
from alps_exp.files import write_atomically
from alps_exp.foreign_files import read_bytes
from alps_exp.intervals import LEAST
from alps_exp.report.comparison import Images, Row, compared, images_of
from alps_exp.report.groups import find_runs, variants
from alps_exp.report.latex import latex_table
from alps_exp.report.layout import (
    DisplayTable,
    footnotes,
    formatted,
    markdown_table,
    markdown_text,
    noise_text,
    write_forms,
)
from alps_exp.report.names import sampler_colors, sampler_name
from alps_exp.report.order import sampler_order
from alps_exp.report.panels import save_figures
from alps_exp.report.plots import add_legend, add_notes, label_axes, open_plots
from alps_exp.runs import DamagedFile, RunFolder
from alps_exp.runs.field_types import check_fields, is_finite

REPORT = "calibration.json"
_NUMBERS = {
    "spread_error": ("Spread/error", ".2f", 1),
    "spread_error_noiseless": ("Spread/error without last noise", ".2f", 1),
    "spread_error_per_image": ("Spread/error per image", ".2f", 1),
    "rank_dispersion": ("Rank dispersion", ".2f", 1),
    "rank_bias": ("Rank bias", ".3f", 0),
    "tarp_dispersion": ("TARP dispersion", ".2f", 1),
    "tarp_bias": ("TARP bias", ".3f", 0),
    "stein_variance_ratio": ("Stein variance ratio", ".2f", 1),
    "kernel_stein_discrepancy": ("Kernel Stein discrepancy", ".3g", 0),
    "std_ratio": ("Std / exact", ".3f", 1),
    "squared_bias": ("Squared bias", ".3f", 0),
    "wasserstein_excess": ("Wasserstein excess", ".3f", 0),
}
_CURVES = {"coverage": "", "coverage_noiseless": " without last noise"}
_CAPTION = (
    "Calibration, with Student's 95 % intervals over n independent images, of which there must be"
    f" {LEAST}; the slices of a volume count as one. Without last noise: leaving out what the last step drew."
)
_SHOWN_LEVELS = (50, 90)
_IDEAL = "0.6"  # gray
_ENDS = ("value", "low", "high")

Report = Row


class _Number(TypedDict):
    """A number of a report with the ends of its interval over images."""

    value: float
    low: float | None
    high: float | None


class _Curve(TypedDict):
    """Several such numbers."""

    value: list[float]
    low: list[float | None]
    high: list[float | None]


class _Always(TypedDict):
    task: str
    noise_std: float | list[float] | None
    sampler: str
    seed: int
    images: int
    failed: int
    samples: int
    nfe_forward: float
    nfe_vjp: float
    seconds: float
    levels: list[float]
    coverage: _Curve
    rank_histogram: _Curve


class _Written(_Always, total=False):
    """The part of a report that is shown, see `alps_exp.restoration.calibration_report`."""

    units: int
    coverage_noiseless: _Curve
    spread_error_noiseless: _Number
    spread_error_per_image: _Number
    spread_error: _Number
    rank_dispersion: _Number
    rank_bias: _Number
    tarp_dispersion: _Number
    tarp_bias: _Number
    tarp_coverage: _Curve
    stein_variance_ratio: _Number
    kernel_stein_discrepancy: _Number
    std_ratio: _Number
    squared_bias: _Number
    wasserstein_excess: _Number


def write_calibration(report: Report, folder: Path) -> list[Path]:
    """Write the report of a run to `calibration.json` and `calibration.md`; return their paths.

    Parameters
    ----------
    report
        Numbers of the run, see `alps_exp.restoration.calibration_report`.
    folder
        Folder for the files.
    """
    numbers, text = folder / REPORT, folder / "calibration.md"
    write_atomically(numbers, (json.dumps(report, indent=2, allow_nan=False) + "\n").encode())
    write_atomically(text, _one_run(report).encode())
    return [numbers, text]


def _one_run(report: Report) -> str:
    lines = [line for name in _CURVES if name in report for line in _coverage_lines(report, name)]
    lines += [[*_NUMBERS[name], *(report[name][end] for end in _ENDS)] for name in _NUMBERS if name in report]
    texts = [
        [title, format(value, form), "-" if low is None else f"{low:{form}} to {high:{form}}", format(ideal, "g")]
        for title, form, ideal, value, low, high in lines
    ]
    head = (
        f"{report['sampler']} on {report['task']}, noise {noise_text(report['noise_std'])}: {report['images']} images"
        f" ({report['failed']} failed) x {report['samples']} samples, {report['nfe_forward']:g}+{report['nfe_vjp']:g}"
        f" calls a sample, {report['seconds']:.3g} s an image."
    )
    columns = ["Number", "Value", f"95 % interval (n = {_units(report)})", "Honest"]
    table = DisplayTable(pd.DataFrame(texts, columns=columns), _CAPTION)
    return f"{markdown_text(head)}\n\n{markdown_table(table)}"


def _coverage_lines(report: Report, name: str) -> Iterator[list[Any]]:
    for level, *ends in zip(report["levels"], *(report[name][end] for end in _ENDS), strict=True):
        yield [f"Coverage of {100 * level:.0f} %{_CURVES[name]}", ".3f", level, *ends]


def _units(report: Report) -> int:
    """Return how many images are independent; reports of earlier versions have intervals over all of them."""
    return int(report["units"] if "units" in report else report["images"])


def find_calibrations(paths: Iterable[str | Path]) -> list[RunFolder]:
    """Return the runs of `alps calibrate` in and below the given folders; those without a report are left out.

    Parameters
    ----------
    paths
        Run folders, or folders above them.

    Raises
    ------
    FileNotFoundError, ValueError
        As `alps_exp.report.find_runs`.
    """
    return [run for run in find_runs(paths) if (run.path / REPORT).exists()]


def _read(path: Path) -> Report:
    """Return a report; raises `DamagedFile` with the path if the file holds none."""
    try:
        report: Report = json.loads(read_bytes(path))
        if not isinstance(report, dict):
            raise TypeError(f"it is of type {type(report).__name__}, expected a dictionary")
        check_fields(report, _Written)
        if wrong := [name for name, value in report.items() if not is_finite(value)]:
            raise ValueError(f"{wrong[0]} is not finite")
        of_levels = dict.fromkeys((*_CURVES, "tarp_coverage"), len(report["levels"]))
        for name, count in (of_levels | {"rank_histogram": report["samples"] + 1}).items():
            if any(len(numbers) != count for numbers in report.get(name, {}).values()):
                raise ValueError(f"{name} has not {count} numbers")
    except (TypeError, ValueError, RecursionError) as error:
        raise DamagedFile(f"{path} is no report of alps calibrate: {one_line(error)}") from error
    return report


def write_calibration_tables(runs: Sequence[RunFolder], folder: Path, formats: Sequence[str] = ("png",)) -> list[Path]:
    """Write the reports of runs to `calibration.md`, `.csv` (all numbers), `.tex` and a figure; return their paths.

    Parameters
    ----------
    runs
        Runs with a report, see `find_calibrations`; at least one.
    folder
        Folder for the files.
    formats
        Formats of the figure: png, pdf, svg.

    Raises
    ------
    alps_exp.runs.DamagedFile
        If the report of a run is none.
    """
    reports = _labeled(runs)
    table = calibration_table(reports)
    displayed = display_calibrations(table)
    latex = latex_table(displayed, "calibration")
    written = write_forms(folder / "calibration", table, markdown_table(displayed), latex)
    figure = calibration_figure(reports, folder / "calibration.png", formats)
    return [*written, *figure]


def _labeled(runs: Sequence[RunFolder]) -> list[Report]:
    """Return the reports by task, noise and sampler; runs of one sampler are told apart by their settings.

    What is to be told of their images is their ``remark``.
    """
    reports = {str(run.path): _read(run.path / REPORT) for run in runs}
    folders = {str(run.path): run for run in runs}
    keys = ["task", "noise_std", "sampler"]
    frame = pd.DataFrame([{key: report[key] for key in keys} | {"run": path} for path, report in reports.items()])
    frame["noise_std"] = frame["noise_std"].map(noise_text)
    groups = dict(iter(frame.groupby(keys)))
    rows, images = [], []
    for task, noise_std, sampler in sorted(groups, key=lambda key: (*key[:2], sampler_order(key[2]))):
        for label, part in variants(groups[task, noise_std, sampler], folders):
            rows += [reports[path] | {"sampler": sampler + label} for path in part["run"]]
            images += [_images(folders[path]) for path in part["run"]]
    compared_rows = [row | {"incomplete": row["failed"] > 0} for row in rows]
    return [row | {"remark": remark} for row, (_, remark) in zip(rows, compared(compared_rows, images), strict=True)]


def _images(run: RunFolder) -> Images:
    records = run.records()
    failed = {record.image_id for record in records if record.status != "ok"}
    ids = frozenset(record.image_id for record in records) - failed
    return replace(images_of([run]), ids=ids, judged=ids)


def calibration_table(reports: Sequence[Report]) -> pd.DataFrame:
    """Return a row for each report, with columns ``coverage_10``, ``coverage_10_low``, ``coverage_10_high``, ...."""
    return pd.DataFrame([_row(report) for report in reports])


def _row(report: Report) -> dict[str, object]:
    row = {key: report[key] for key in ("task", "noise_std", "sampler", "seed", "images")}
    row |= {"units": _units(report), "samples": report["samples"]}
    for name in filter(report.__contains__, _CURVES):
        for position, level in enumerate(report["levels"]):
            ends = {end: report[name][end][position] for end in _ENDS}
            row |= _columns(f"{name}_{100 * level:g}", ends)
    for name in filter(report.__contains__, _NUMBERS):
        row |= _columns(name, report[name])
    row |= {key: report[key] for key in ("nfe_forward", "nfe_vjp", "seconds")}
    return row | {"status": _status(report)}


def _status(report: Report) -> str:
    failed = f"{report['failed']} failed" if report["failed"] else ""
    return "; ".join(filter(None, [failed, report.get("remark", "")])) or "ok"


def _columns(name: str, ends: Mapping[str, float]) -> dict[str, float]:
    return {name: ends["value"], f"{name}_low": ends["low"], f"{name}_high": ends["high"]}


def display_calibrations(table: pd.DataFrame) -> DisplayTable:
    """Return a table of `calibration_table` as it is displayed."""
    texts = {
        "Task": table["task"],
        "Noise": table["noise_std"].map(noise_text),
        "Sampler": table["sampler"],
        "Images": formatted(table["images"], "d"),
        "n": formatted(table["units"], "d"),
        "Samples": formatted(table["samples"], "d"),
    }
    shown = {
        f"Coverage of {level} %{what}": f"{name}_{level}" for name, what in _CURVES.items() for level in _SHOWN_LEVELS
    }
    texts |= {title: _with_interval(table, name, ".3f") for title, name in shown.items() if name in table}
    texts |= {title: _with_interval(table, name, form) for name, (title, form, _) in _NUMBERS.items() if name in table}
    calls = formatted(table["nfe_forward"], ".0f") + "+" + formatted(table["nfe_vjp"], ".0f")
    words, notes = footnotes(table["status"], ["note"] * len(table))
    texts |= {"Calls": calls, "Seconds": formatted(table["seconds"], ".3g"), "Status": pd.Series(words)}
    return DisplayTable(pd.DataFrame(texts), _CAPTION, notes)


def _with_interval(table: pd.DataFrame, name: str, form: str) -> pd.Series:
    low, high = (formatted(table[f"{name}_{end}"], form) for end in ("low", "high"))
    interval = (" [" + low + ", " + high + "]").where(table[f"{name}_low"].notna(), "")
    return formatted(table[name], form) + interval


def calibration_figure(reports: Sequence[Report], path: Path, formats: Sequence[str] = ("png",)) -> list[Path]:
    """Draw coverage against level (ideal: the diagonal) and rank histograms, one row per task and noise level.

    Bands are the 95 % intervals over independent images, dotted lines leave out the noise of the last step. What there
    is to know of a report's images is written below.

    Parameters
    ----------
    reports
        Numbers of runs, see `alps_exp.restoration.calibration_report`.
    path
        The file to write, whose ending each format replaces; the written files are returned.
    formats
        File formats: png, pdf, svg.
    """
    tasks = list(dict.fromkeys(map(_task, reports)))
    colors = sampler_colors(report["sampler"] for report in reports)
    figure, axes = open_plots(len(tasks), 2, height=2.5)
    for row, task in zip(axes, tasks, strict=True):
        mine = [report for report in reports if _task(report) == task]
        _draw_coverage(row[0], mine, colors, task)
        _draw_ranks(row[1], mine, colors)
    lines = [Line2D([], [], color=color, linewidth=1.2) for color in colors.values()]
    ideal = Line2D([], [], color=_IDEAL, linewidth=0.8)
    dashed: dict[str, tuple[str, Literal["--", ":"]]] = {
        "tarp_coverage": ("all pixels jointly (TARP)", "--"),
        "coverage_noiseless": ("without last noise", ":"),
    }
    drawn = [meaning for name, meaning in dashed.items() if any(name in report for report in reports)]
    lines_of = {name: Line2D([], [], color=_IDEAL, linewidth=1.2, linestyle=style) for name, style in drawn}
    meanings = {"calibrated": ideal, **lines_of}
    add_legend(figure, [*lines, *meanings.values()], [*map(sampler_name, colors), *meanings])
    add_notes(figure, [f"{r['sampler']} on {r['task']}: {status}." for r in reports if (status := _status(r)) != "ok"])
    return save_figures(figure, path, formats)


def _task(report: Report) -> str:
    return f"{report['task']}, noise {noise_text(report['noise_std'])}"


def _draw_coverage(axis: Axes, reports: Sequence[Report], colors: Mapping[str, str], task: str) -> None:
    axis.plot([0, 1], [0, 1], color=_IDEAL, linewidth=0.8)
    for report in reports:
        color, levels = colors[report["sampler"]], report["levels"]
        axis.plot(levels, report["coverage"]["value"], color=color, linewidth=1.2, marker=".", markersize=3)
        low, high = (np.array(report["coverage"][end], float) for end in ("low", "high"))
        axis.fill_between(levels, low, high, color=color, alpha=0.2, linewidth=0)
        if "tarp_coverage" in report:
            axis.plot(levels, report["tarp_coverage"]["value"], color=color, linewidth=1.2, linestyle="--")
        if "coverage_noiseless" in report:
            axis.plot(levels, report["coverage_noiseless"]["value"], color=color, linewidth=1.2, linestyle=":")
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    label_axes(axis, task, "Level of the interval", "Coverage")


def _draw_ranks(axis: Axes, reports: Sequence[Report], colors: Mapping[str, str]) -> None:
    axis.axhline(1, color=_IDEAL, linewidth=0.8)
    for report in reports:
        shares = {end: np.array(report["rank_histogram"][end], float) * (report["samples"] + 1) for end in _ENDS}
        edges = np.arange(report["samples"] + 2) / (report["samples"] + 1)
        color = colors[report["sampler"]]
        axis.stairs(shares["value"], edges, baseline=None, color=color, linewidth=1.2)
        axis.stairs(shares["high"], edges, baseline=shares["low"], fill=True, color=color, alpha=0.2)
    axis.set(xlim=(0, 1), ylim=(0, None))
    counts = dict.fromkeys(
        f"{report['images']} images (n = {_units(report)}) × {report['samples']} samples" for report in reports
    )
    label_axes(axis, "; ".join(counts), "Rank of the truth among the samples", "Share, uniform = 1")
