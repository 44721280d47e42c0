"""Published numbers, to stand beside ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

COLUMNS = ("task", "eta", "method", "psnr_mean", "psnr_std", "ssim_mean", "ssim_std", "data")


def read_paper(path: str | Path) -> pd.DataFrame:
    """Read a CSV file with the columns `COLUMNS`: `eta` may be empty, `task` is the name of an operator or a task.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a column is missing.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}, expected a CSV file of published numbers")
    numbers = pd.read_csv(path)
    if missing := [name for name in COLUMNS if name not in numbers]:
        raise ValueError(f"{path} has no column {', '.join(missing)}, expected {', '.join(COLUMNS)}")
    return numbers


def published(paper: pd.DataFrame, task: str, operator: str, noise_std: Any, sampler: str) -> dict[str, Any]:
    """Return the numbers of a task or operator, noise, and sampler (or the method that it is a variant of).

    The keys are ``paper_psnr``, ``paper_psnr_std``, ``paper_ssim``, ``paper_ssim_std`` and ``paper_data``; there are
    none where nothing was published.
    """
    of_sampler = paper["method"].map(lambda method: sampler == method or sampler.startswith(f"{method}_"))
    there = paper["task"].isin([task, operator]) & (paper["eta"].isna() | (paper["eta"] == noise_std)) & of_sampler
    if not there.any():
        return {}
    row = paper[there].iloc[0]
    names = {"psnr": "psnr_mean", "psnr_std": "psnr_std", "ssim": "ssim_mean", "ssim_std": "ssim_std", "data": "data"}
    return {f"paper_{name}": row[column] for name, column in names.items()}
