"""`alps reproduce`: run the rows of a table of results, and say which of them reach the values expected."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from alps_exp.checks import positive
from alps_exp.cli.calibrate import numbers_of
from alps_exp.cli.faults import FAILED, OK
from alps_exp.config.arguments import nearest
from alps_exp.report.calibration import REPORT
from alps_exp.report.reproduction import Comparison, write_reproduction
from alps_exp.runs import RunFolder
from alps_exp.runs.job import JobContext
from alps_exp.runs.objective import means_of

VERBS = ("restore", "calibrate")
"""Verbs whose runs have numbers to compare."""


@dataclass
class Expected:
    """A number that a run should have: `expected`, give or take `tolerance`; `paper` is the published one."""

    expected: float = MISSING
    tolerance: float = MISSING
    paper: float | None = None


@dataclass
class Needed:
    """A file or folder that a command reads, and where it is published."""

    file: str = MISSING
    published: str = MISSING


@dataclass
class Row:
    """A run and the numbers that it should have.

    Attributes
    ----------
    command
        The words behind `alps`.
    minutes
        What it took where the numbers come from.
    values
        Expected numbers by the name that the run gives them, as mmse/psnr or coverage/0.9.
    needs
        What the command reads.
    """

    command: str = MISSING
    minutes: float = MISSING
    values: dict[str, Expected] = field(default_factory=dict)
    needs: list[Needed] = field(default_factory=list)


def reproduce(job: JobContext, /, *, rows: DictConfig, output: str) -> int:
    """Run the rows that are not done yet, compare their numbers with those expected, and return the exit status.

    A row is a run in a folder of its own: started again, finished rows answer at once, and an interrupted one goes on.

    Parameters
    ----------
    job
        The job.
    rows
        The rows of a table: faces, mri or closed_form, or a file of your own in rows/.
    output
        Folder of the runs and of the table.

    Examples
    --------
    alps reproduce closed_form
    alps reproduce faces output=outputs/again
    alps reproduce -m rows=closed_form,mri
    """
    table = _rows(rows)
    job.under_way = True
    found: list[Comparison] = []
    for place, (name, row) in enumerate(table.items(), start=1):
        print(f"[{place}/{len(table)}] {name}, about {row.minutes:g} min: alps {row.command}", flush=True)
        for comparison in _compared(name, row, Path(output) / name):
            print(f"  {comparison}", flush=True)
            found.append(comparison)
    markdown, _ = write_reproduction(found, rows.hardware, Path(output))
    passed = sum(comparison.verdict == "PASS" for comparison in found)
    print(f"\n{markdown.read_text()}\n{passed} of {len(found)} numbers as expected: {markdown}")
    return OK if passed == len(found) else FAILED


def _rows(config: DictConfig) -> dict[str, Row]:
    """Return the rows of a table by name.

    Raises
    ------
    ValueError
        If there are none, or one is not of the form of `Row`.
    """
    rows = {}
    for name, given in config.runs.items():
        try:
            row = cast("Row", OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Row), given)))
        except OmegaConfBaseException as error:
            raise ValueError(f"rows.runs.{name}: {str(error).splitlines()[0]}") from error
        if row.command.partition(" ")[0] not in VERBS or not row.values:
            raise ValueError(f"rows.runs.{name}: expected a command of {' or '.join(VERBS)}, and values")
        for number, value in row.values.items():
            positive(f"rows.runs.{name}.values.{number}.tolerance", value.tolerance)
        rows[str(name)] = row
    return rows


def _compared(name: str, row: Row, folder: Path) -> Iterator[Comparison]:
    """Run a row, and yield the comparison of each of its numbers."""
    start = time.monotonic()
    problem = _missing(row) or _failure(row, folder)
    found = {} if problem else _numbers(RunFolder(folder))
    minutes = (time.monotonic() - start) / 60
    for number, value in row.values.items():
        why = problem or ("ok" if number in found else f"the run has no such number{nearest(number, found)}")
        measured = found.get(number)
        yield Comparison(name, number, measured, value.expected, value.tolerance, value.paper, minutes, why)


def _missing(row: Row) -> str:
    """Return what a row lacks, and where it is published; empty if nothing."""
    lacking = [needed for needed in row.needs if not os.path.exists(needed.file)]
    return "; ".join(f"{needed.file} is missing, published at {needed.published}" for needed in lacking)


def _failure(row: Row, folder: Path) -> str:
    """Run the command of a row in a folder, and return how it failed; empty if it did not."""
    words = [sys.executable, "-m", "alps_exp", *shlex.split(row.command), f"hydra.run.dir={folder}"]
    status = subprocess.run(words, stdout=subprocess.DEVNULL).returncode
    return f"the command ended with status {status}" if status else ""


def _numbers(run: RunFolder) -> dict[str, float]:
    """Return the numbers of a finished run by name: its means, and those of its calibration."""
    calibration = run.path / REPORT
    report = numbers_of(json.loads(calibration.read_bytes())) if calibration.exists() else {}
    return means_of(run.records()) | report
