"""The trials of studies: the settings that a sweeper chose, and what each gave, the best of a study marked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from alps_exp.report.layout import DisplayTable, bold, formatted, markdown_table, markdown_text, write_forms
from alps_exp.runs import RunFolder
from alps_exp.runs.objective import BEST, direction_of, objective_value
from alps_exp.runs.study import TRIALS, StudyTrial, requests_of

_COLUMNS = ["study", "sweeper", "trial", "objective", "value", "best", "flagged", "status", "run"]
_PARAMETER = "parameter "
"""Before the key of a parameter, in the name of its column."""


def find_trials(paths: Iterable[str | Path]) -> list[tuple[RunFolder, StudyTrial]]:
    """Return the trials in and below the given folders, by study and number, with their runs; a run can be several.

    Parameters
    ----------
    paths
        Run folders, or folders above them.

    Raises
    ------
    ValueError
        If a `trials.json` cannot be read.
    """
    folders = {mark.parent.resolve() for path in paths for mark in Path(path).rglob(TRIALS)}
    found = [(run, trial) for run in map(RunFolder, folders) for trial in requests_of(run).trials]
    return sorted(found, key=lambda pair: (pair[1].study, pair[1].number, str(pair[0].path)))


def build_trials_table(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Return the trials in and below the given folders as a table.

    Parameters
    ----------
    paths
        Run folders, or folders above them.

    Returns
    -------
    pandas.DataFrame
        One row per trial: ``study``, ``sweeper``, ``trial`` (its number), ``objective``, ``value``, ``best`` (of its
        study), ``flagged`` (how many of its estimates are), ``status`` (``ok``, or why there is no value), ``run`` (its
        folder), and a column ``parameter KEY`` for each key that a sweeper chose.

    Raises
    ------
    ValueError
        If a `trials.json` cannot be read.
    """
    rows = [_row(run, trial) for run, trial in find_trials(paths)]
    keys = dict.fromkeys(name for row in rows for name in row if name.startswith(_PARAMETER))
    table = pd.DataFrame(rows, columns=[*_COLUMNS, *keys]).astype({"value": float, "best": bool})
    for (_, objective), study in table.groupby(["study", "objective"]):
        best = study["value"].max() if direction_of(objective) == "maximize" else study["value"].min()
        table.loc[study.index, "best"] = study["value"] == best
    return table


def _row(run: RunFolder, trial: StudyTrial) -> dict[str, object]:
    value, status = _value(run, trial.objective)
    return {
        "study": trial.study,
        "sweeper": trial.sweeper,
        "trial": trial.number,
        "objective": trial.objective,
        "value": value,
        "best": False,
        "flagged": sum(bool(record.flags) for record in run.records()),
        "status": status,
        "run": str(run.path),
        **{f"{_PARAMETER}{key}": text for key, text in trial.parameters.items()},
    }


def _value(run: RunFolder, objective: str) -> tuple[float | None, str]:
    """Return the objective of a trial and ``ok``, or None and why it has none."""
    if not run.is_done():
        return None, f"unfinished: {run.progress()}"
    try:
        return objective_value(run, objective), "ok"
    except ValueError as error:
        return None, str(error)


def write_trials(table: pd.DataFrame, folder: Path) -> list[Path]:
    """Write `trials.md`, a table for each study, and `trials.csv` (all digits) into a folder; return their paths.

    Parameters
    ----------
    table
        A table of `build_trials_table`.
    folder
        Folder for the files.
    """
    columns = {name: name.removeprefix(_PARAMETER) for name in table.columns}
    return write_forms(folder / "trials", table.rename(columns=columns), "\n".join(_studies(table)))


def _studies(table: pd.DataFrame) -> Iterator[str]:
    """Yield a heading and a table for each study."""
    for (study, sweeper, objective), rows in table.groupby(["study", "sweeper", "objective"]):
        best = BEST[direction_of(objective)]
        caption = f"Trials of {sweeper} for the {best}est {objective}: {study}"
        yield f"{markdown_text(caption)}\n"
        yield markdown_table(DisplayTable(_texts(rows.dropna(axis=1, how="all"), objective), caption))


def _texts(rows: pd.DataFrame, objective: str) -> pd.DataFrame:
    names = [name for name in rows.columns if name.startswith(_PARAMETER)]
    value = formatted(rows["value"], "#.6g") if "value" in rows else pd.Series("-", rows.index)
    counts = rows["flagged"].map(lambda count: f"{count} flagged" if count else "")
    remarks = pd.concat([rows["status"].replace("ok", ""), counts], axis=1)
    return pd.DataFrame(
        {
            "Trial": rows["trial"].astype(str),
            **{name.removeprefix(_PARAMETER): rows[name].fillna("-").map(_short) for name in names},
            objective: value.where(~rows["best"], value.map(bold)),
            "Status": remarks.agg(lambda parts: "; ".join(filter(None, parts)) or "ok", axis=1),
            "Run": rows["run"].map(lambda path: Path(path).name),
        }
    )


def _short(text: str) -> str:
    """Return a number with four digits, since sweepers draw all sixteen; any other text as it is."""
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return text
