"""The numbers of regions of images, a line for each image, estimate and region."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from alps_exp.files import write_atomically
from alps_exp.report.layout import csv_table

_OF_RECORD = ["task", "noise_std", "sampler", "seed", "image_id", "estimate", "sample_index"]


def build_region_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the numbers of the regions in records.

    Parameters
    ----------
    frame
        The records, see `alps_exp.report.read_runs`.

    Returns
    -------
    pandas.DataFrame
        ``task``, ``noise_std``, ``sampler``, ``seed``, ``image_id``, ``estimate``, ``sample_index`` and ``region``,
        then the numbers of `alps_exp.evaluation.region_statistics`, and ``truth``, the mean of the truth.
    """
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
