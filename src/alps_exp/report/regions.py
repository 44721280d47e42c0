"""The numbers of regions of images, a line for each image, estimate and region."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from alps_exp.files import write_atomically
from alps_exp.report.groups import read_runs
from alps_exp.report.layout import csv_table

_OF_RECORD = ["task", "noise_std", "sampler", "seed", "image_id", "estimate", "sample_index"]


def build_region_table(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Return the numbers of the regions in the records in and below the given folders.

    Parameters
    ----------
    paths
        Run folders, or folders above them.

    Returns
    -------
    pandas.DataFrame
        ``task``, ``noise_std``, ``sampler``, ``seed``, ``image_id``, ``estimate``, ``sample_index`` and ``region``,
        then the numbers of `alps_exp.evaluation.region_statistics`, and ``truth``, the mean of the truth.

    Raises
    ------
    FileNotFoundError, ValueError
        As `alps_exp.report.groups.read_runs`.
    """
    _, frame = read_runs(paths)
    rows = []
    if len(frame):
        for _, record in frame[frame["regions"].notna()].iterrows():
            known = record[_OF_RECORD].to_dict()
            rows += [known | {"region": name} | numbers for name, numbers in record["regions"].items()]
    return pd.DataFrame(rows)


def write_region_table(table: pd.DataFrame, folder: Path) -> Path:
    """Write `regions.csv` into a folder, and return its path.

    Parameters
    ----------
    table
        A table of `build_region_table`.
    folder
        Folder for the file.
    """
    write_atomically(folder / "regions.csv", csv_table(table).encode())
    return folder / "regions.csv"
