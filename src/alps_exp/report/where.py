"""Which of the runs and records a table is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from alps_exp.errors import listed
from alps_exp.report.groups import labels_of, operator_of
from alps_exp.report.layout import is_number, noise_text
from alps_exp.runs import ESTIMATES, RunFolder

FIELDS = ("task", "operator", "noise_std", "sampler", "seed", "estimate", "image_id")
"""Fields of records by which they can be selected."""
Where = Mapping[str, str | float | Sequence[str | float] | None]
"""The values that are selected by the name of their field, a list or a single one; None: all."""


def select(
    runs: Mapping[str, RunFolder], frame: pd.DataFrame, where: Where
) -> tuple[dict[str, RunFolder], pd.DataFrame]:
    """Return the runs and records that have one of the given values in each field, noise levels as tables show them.

    Records of all estimates stay, since an image that lacks one has failed: `select_rows` is for estimates. A run
    without records stays unless its config has another value.

    Parameters
    ----------
    runs, frame
        Runs and their records, see `alps_exp.report.read_runs`.
    where
        Values by field, see `FIELDS`.

    Raises
    ------
    ValueError
        If there is no such field, or no record or config of a run has a value or all of them together.
    """
    if unknown := [name for name in where if name not in FIELDS]:
        raise ValueError(f"where.{unknown[0]} is no field to select by, expected one of {', '.join(FIELDS)}")
    texts = {name: frame[name].map(_text) if len(frame) else pd.Series(dtype=str) for name in FIELDS}
    requests = {path: _request(run) for path, run in runs.items() if not len(frame) or path not in set(frame["run"])}
    chosen = pd.Series(True, index=frame.index)
    for name, values in _given(where).items():
        known = sorted({*texts[name], *(request[name] for request in requests.values() if name in request)})
        if missing := [value for value in values if value not in known]:
            raise ValueError(f"where.{name} is {missing[0]}, and the runs have {listed(known) or 'none'}")
        requests = {path: request for path, request in requests.items() if request.get(name, values[0]) in values}
        if name != "estimate":
            chosen &= texts[name].isin(values)
    records = frame[chosen]
    paths = {*requests, *(records["run"] if len(records) else [])}
    if runs and not paths:
        raise ValueError(f"no record has all that where asks for: {', '.join(_given(where))}")
    return {path: run for path, run in runs.items() if path in paths}, records


def select_rows(table: pd.DataFrame, where: Where) -> pd.DataFrame:
    """Return the rows of a table that are of the selected estimates, and those of runs without records.

    Parameters
    ----------
    table
        A table with a column ``estimate``.
    where
        As in `select`.
    """
    chosen = table["estimate"].isin(estimates_of(where)) | table["estimate"].isna()
    return table[chosen].reset_index(drop=True)


def estimates_of(where: Where) -> list[str]:
    """Return the kinds of estimates that are selected.

    Parameters
    ----------
    where
        As in `select`.
    """
    return _given(where).get("estimate", list(ESTIMATES))


def _given(where: Where) -> dict[str, list[str]]:
    """Return the values as texts by the fields that are given."""
    lists = {name: [value] if isinstance(value, str | float | int) else value for name, value in where.items()}
    given = {name: [_text(value) for value in values] for name, values in lists.items() if values is not None}
    if empty := [name for name, values in given.items() if not values]:
        raise ValueError(f"where.{empty[0]} is an empty list, expected what to select, or null for all")
    return given


def _text(value: object) -> str:
    return noise_text(value) if isinstance(value, float) else str(value)


def _request(run: RunFolder) -> dict[str, str]:
    """Return what the config of a run says of its future records."""
    seed, noise_std = run.load_config().get("seed"), operator_of(run).get("noise_std")
    known = {name: value for name, value in labels_of(run).items() if name in ("task", "operator", "sampler")}
    known |= {"seed": seed} if isinstance(seed, int) else {}
    known |= {"noise_std": float(noise_std)} if is_number(noise_std) else {}
    return {name: _text(value) for name, value in known.items()}
