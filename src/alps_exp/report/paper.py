"""Published numbers, for comparison with ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from alps_exp.errors import one_line
from alps_exp.report.layout import is_number

COLUMNS = ("task", "settings", "eta", "method", "psnr_mean", "psnr_std", "ssim_mean", "ssim_std", "data")


def read_paper(path: str | Path) -> pd.DataFrame:
    """Read a CSV file with the columns `COLUMNS`.

    `task` is the name of an operator or a task. `settings` are those of the operator, ``length=9 angle=30``; they and
    `eta` may be empty, where any will do.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a column is missing, or settings are not of the form above.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}, expected a CSV file of published numbers")
    try:
        numbers = pd.read_csv(path)
    except ValueError as error:  # no text, or no table
        raise ValueError(f"{path} is no CSV file of published numbers: {one_line(error)}") from error
    if missing := [name for name in COLUMNS if name not in numbers]:
        raise ValueError(f"{path} has no column {', '.join(missing)}")
    return numbers.assign(settings=[_settings(text) for text in numbers["settings"].fillna("")])


def published(
    paper: pd.DataFrame, task: str, operator: str, settings: Mapping[str, object], noise_std: object, sampler: str
) -> dict[str, object]:
    """Return the numbers of a task or operator, its settings, noise, and sampler (or the method it is a variant of).

    Parameters
    ----------
    paper
        The numbers, see `read_paper`.
    task, operator, noise_std, sampler
        What the run's records say.
    settings
        The run's config of the operator: each setting of the paper's must be found in it, at any depth.

    Returns
    -------
    ``paper_psnr``, ``paper_psnr_std``, ``paper_ssim``, ``paper_ssim_std`` and ``paper_data``; nothing where nothing was
    published.
    """
    of_sampler = paper["method"].map(lambda method: sampler == method or sampler.startswith(f"{method}_"))
    with_settings = paper["settings"].map(set(_leaves(settings)).issuperset)
    there = paper["task"].isin([task, operator]) & (paper["eta"].isna() | (paper["eta"] == noise_std))
    there &= of_sampler & with_settings
    if not there.any():
        return {}
    row = paper[there].iloc[0]
    names = {"psnr": "psnr_mean", "psnr_std": "psnr_std", "ssim": "ssim_mean", "ssim_std": "ssim_std", "data": "data"}
    return {f"paper_{name}": row[column] for name, column in names.items()}


def _settings(text: str) -> set[tuple[str, float]]:
    try:
        return {(name, float(number)) for name, number in (setting.split("=") for setting in text.split())}
    except ValueError:
        raise ValueError(f"settings are {text!r}, expected NAME=NUMBER NAME=NUMBER ...") from None


def _leaves(config: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a config with the last part of their names."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _leaves(value)
        elif is_number(value):
            yield name, float(value)
