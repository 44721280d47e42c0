"""The metrics of whole volumes, as fastMRI's leaderboard has them, in a table of their own.

A row is a task, noise level, sampler and estimate. Its numbers are means over volumes, whose samples and seeds are
averaged first. A volume without some of its slices is counted in the status; its numbers are those of the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from alps_exp.report.comparison import Row
from alps_exp.report.groups import groups
from alps_exp.report.latex import latex_table
from alps_exp.report.layout import DisplayTable, footnotes, formatted, markdown_table, noise_text, write_forms
from alps_exp.runs import ESTIMATES, RunFolder

_METRICS = {"psnr": ("PSNR [dB]", ".2f"), "ssim": ("SSIM", ".4f"), "nmse": ("NMSE", ".5f")}
_CAPTION = "Whole volumes, with the maximum of their reference as the range (fastMRI, arXiv 1811.08839)."
_REFERENCES = {
    "RSS": "root sum of squares over the coils, of the file",
    "combined coils": "coils combined by their maps",
}


def volume_metrics(slices: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return PSNR, SSIM and NMSE of a volume as fastMRI defines them (Zbontar et al., arXiv 1811.08839, section 5.3).

    PSNR and NMSE take the squared errors of all slices together, SSIM is the mean over slices; PSNR and SSIM are
    relative to the maximum of the volume's reference, which is 1.

    Parameters
    ----------
    slices
        What each slice adds, see `alps_exp.evaluation.slice_sums`.

    Returns
    -------
    dict[str, float]
        ``psnr`` (dB), ``ssim`` and ``nmse``.
    """
    with np.errstate(all="ignore"):  # a file may say 0, or too much
        pixels, error, reference = (
            np.sum([one[name] for one in slices], dtype=float)
            for name in ("pixels", "squared_error", "squared_reference")
        )
        return {
            "psnr": -10 * float(np.log10(error / pixels)),
            "ssim": float(np.mean([one["ssim"] for one in slices], dtype=float)),
            "nmse": float(error / reference),
        }


def build_volume_table(
    runs: Mapping[str, RunFolder], frame: pd.DataFrame, seeds: Literal["mean", "each"] = "mean"
) -> pd.DataFrame:
    """Return the metrics of the volumes whose slices were restored.

    Parameters
    ----------
    runs, frame
        Runs and their records, see `alps_exp.report.read_runs`.
    seeds
        As in `alps_exp.report.build_table`.

    Returns
    -------
    pandas.DataFrame
        ``task``, ``noise_std``, ``sampler``, ``estimate``, ``reference``, ``volumes``, then ``psnr``, ``ssim`` and
        ``nmse`` with their standard deviations over volumes ``psnr_std`` ..., and ``status``; without a row if no image
        was the slice of a volume.
    """
    rows = []
    for key, group in groups(frame, runs, seeds):
        of_volumes = group[group["volume"].notna()]
        for estimate in ESTIMATES:
            mine = of_volumes[of_volumes["estimate"] == estimate]
            rows += [key | {"estimate": estimate} | row for row in _rows(mine)]
    columns = ["task", "noise_std", "sampler", "estimate", "reference", "volumes"]
    columns += [column for name in _METRICS for column in (name, f"{name}_std")]
    return pd.DataFrame(rows, columns=[*columns, "status"])


def _rows(records: pd.DataFrame) -> list[Row]:
    """Return a row for each kind of reference among the records of an estimate."""
    if records.empty:
        return []
    parts = pd.DataFrame(list(records["volume"]), index=records.index)
    parts = parts.assign(image_id=records["image_id"], one=records["sample_index"].fillna(-1), seed=records["seed"])
    rows = []
    for reference, of_reference in parts.groupby("reference"):
        metrics, short = [], []
        for name, volume in of_reference.groupby("name"):
            each = [volume_metrics(one.to_dict("records")) for _, one in volume.groupby(["seed", "one"])]
            metrics.append(pd.DataFrame(each).mean())
            there, asked = volume["image_id"].nunique(), int(volume["slices"].iloc[0])
            short += [f"{name}: {there} of {asked} slices"] if there < asked else []
        of_volumes = pd.DataFrame(metrics)
        row: Row = {"reference": reference, "volumes": len(of_volumes)}
        for metric in _METRICS:
            row |= {metric: of_volumes[metric].mean(), f"{metric}_std": of_volumes[metric].std()}
        more = f", and {len(short) - 2} more" if len(short) > 2 else ""
        rows.append(row | {"status": "; ".join(short[:2]) + more or "ok"})
    return rows


def write_volume_tables(table: pd.DataFrame, folder: Path) -> list[Path]:
    """Write `volumes.md`, `volumes.csv` (all digits) and `volumes.tex` into a folder, and return their paths.

    Parameters
    ----------
    table
        A table of `build_volume_table`.
    folder
        Folder for the files.
    """
    displayed = display_volumes(table)
    markdown = f"{displayed.caption}\n\n{markdown_table(displayed)}"
    return write_forms(folder / "volumes", table, markdown, latex_table(displayed, "volumes"))


def display_volumes(table: pd.DataFrame) -> DisplayTable:
    """Return a table as it is displayed.

    Parameters
    ----------
    table
        A table of `build_volume_table`.
    """
    texts = {
        "Task": table["task"],
        "Noise": table["noise_std"].map(noise_text),
        "Sampler": table["sampler"],
        "Estimate": table["estimate"],
        "Reference": table["reference"].map(_REFERENCES),
        "Volumes": formatted(table["volumes"], "d"),
    }
    for name, (title, form) in _METRICS.items():
        deviation = (" ± " + formatted(table[f"{name}_std"], form)).replace(" ± -", "")
        texts[title] = formatted(table[name], form) + deviation
    words, notes = footnotes(table["status"], ["incomplete"] * len(table))
    return DisplayTable(pd.DataFrame(texts | {"Status": words}), _CAPTION, notes)
