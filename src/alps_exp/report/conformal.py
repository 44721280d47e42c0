"""The conformal bounds of restored images, and for how many of these they held, in a table of their own.

A row is a task, noise level, sampler and level; every seed has rows of its own, since an image counts once. Bounds are
means over images. How many images a bound should hold for is a random number too, even of images that are exchangeable
with those of the calibration: it is beta-binomial (Vovk, arXiv 1209.2673).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import scipy

from alps_exp.intervals import conformal_position
from alps_exp.report.comparison import Row
from alps_exp.report.groups import groups
from alps_exp.report.latex import latex_table
from alps_exp.report.layout import DisplayTable, formatted, markdown_table, noise_text, write_forms
from alps_exp.runs import RunFolder
from alps_exp.runs.records import GUARANTEE, ConformalBounds

_BOUNDS = {
    "half_width": ("Half-width", ".3f"),
    "error": ("Error below", ".3f"),
    "psnr": ("PSNR above [dB]", ".2f"),
    "ssim": ("SSIM above", ".3f"),
}
_RANGE = 0.95
_CAPTION = (
    f"Conformal bounds, means over images. {GUARANTEE} In parentheses: of how many images with a truth the bound held;"
    f" expected: the {100 * _RANGE:g} % range of that number under exchangeability."
)


def build_conformal_table(runs: Mapping[str, RunFolder], frame: pd.DataFrame) -> pd.DataFrame:
    """Return the conformal bounds in records.

    Parameters
    ----------
    runs, frame
        Runs and their records, see `alps_exp.report.read_runs`.

    Returns
    -------
    pandas.DataFrame
        ``task``, ``noise_std``, ``sampler``, ``estimate`` (``mmse``), ``level``, ``images``, ``calibration_images``,
        then the mean of each bound ``half_width``, ``error``, ``psnr`` and ``ssim`` (NaN where some image has no finite
        one) with the number of images that it held for, ``half_width_held`` ..., of the number ``judged`` with a truth,
        and the ends of the range of such numbers under exchangeability, ``expected_low`` and ``expected_high``; without
        a row if no run was given conformal factors.
    """
    rows = []
    for key, group in groups(frame, runs, seeds="each"):
        bounded = group[group["conformal"].notna()]
        if len(bounded):
            levels = bounded["conformal"].iloc[0]["levels"]
            rows += [key | _row(bounded, position, level) for position, level in enumerate(levels)]
    columns = ["task", "noise_std", "sampler", "estimate", "level", "images", "calibration_images"]
    columns += [column for name in _BOUNDS for column in (name, f"{name}_held")]
    return pd.DataFrame(rows, columns=[*columns, "judged", "expected_low", "expected_high"])


def _row(records: pd.DataFrame, position: int, level: float) -> Row:
    bounds: Sequence[ConformalBounds] = list(records["conformal"])
    calibration_images, judged = bounds[0]["images"], int(records["error"].notna().sum())
    row: Row = {"estimate": "mmse", "level": level, "images": len(records), "calibration_images": calibration_images}
    for name in _BOUNDS:
        row[name] = pd.Series([one[name][position] for one in bounds], dtype=float).mean(skipna=False)  # type: ignore[literal-required]
        held = [
            _held(name, one, position, record) for one, record in zip(bounds, records.to_dict("records"), strict=True)
        ]
        row[f"{name}_held"] = math.nan if math.isnan(row[name]) or not judged else sum(filter(None, held))
    low, high = _expected(calibration_images, level, judged)
    return row | {"judged": judged, "expected_low": low, "expected_high": high}


def _held(name: str, bounds: ConformalBounds, position: int, record: Row) -> bool | None:
    """Return whether a bound held; None without a truth."""
    if name == "half_width":
        covered = bounds["covered"]
        return None if covered is None else covered[position] >= bounds["pixel_share"]
    bound, value = bounds[name][position], record[name]  # type: ignore[literal-required]
    if bound is None or pd.isna(value):
        return None
    return bool(value <= bound if name == "error" else value >= bound)


def _expected(calibration_images: int, level: float, judged: int) -> tuple[float, float]:
    """Return the range of the number of images, of so many, that a bound holds for; NaN if it is not finite."""
    position = conformal_position(calibration_images, level)
    if position > calibration_images or not judged:
        return math.nan, math.nan
    low, high = scipy.stats.betabinom(judged, position, calibration_images + 1 - position).interval(_RANGE)
    return float(low), float(high)


def write_conformal_tables(table: pd.DataFrame, folder: Path) -> list[Path]:
    """Write `conformal.md`, `conformal.csv` (all digits) and `conformal.tex` into a folder, and return their paths.

    Parameters
    ----------
    table
        A table of `build_conformal_table`.
    folder
        Folder for the files.
    """
    displayed = display_conformal(table)
    markdown = f"{displayed.caption}\n\n{markdown_table(displayed)}"
    return write_forms(folder / "conformal", table, markdown, latex_table(displayed, "conformal"))


def display_conformal(table: pd.DataFrame) -> DisplayTable:
    """Return a table as it is displayed.

    Parameters
    ----------
    table
        A table of `build_conformal_table`.
    """
    texts = {
        "Task": table["task"],
        "Noise": table["noise_std"].map(noise_text),
        "Sampler": table["sampler"],
        "Level": table["level"].map(lambda level: f"{100 * level:g} %"),
        "Calibration images": formatted(table["calibration_images"], "d"),
        "Images": formatted(table["images"], "d"),
    }
    for name, (title, form) in _BOUNDS.items():
        held = " (" + formatted(table[f"{name}_held"], ".0f") + ")"
        texts[title] = formatted(table[name], form) + held.replace(" (-)", "")
    ends = formatted(table["expected_low"], ".0f") + " to " + formatted(table["expected_high"], ".0f")
    texts["Expected"] = ends.replace("- to -", "-")
    return DisplayTable(pd.DataFrame(texts), _CAPTION)
