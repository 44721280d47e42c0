"""`alps reproduce`: run the rows of a table of results, and say which of them reach the values expected."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import pandas as pd
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from alps_exp.checks import positive
from alps_exp.cli.calibrate import numbers_of
from alps_exp.cli.faults import FAILED, OK
from alps_exp.config.arguments import nearest
from alps_exp.files import write_atomically
from alps_exp.report.calibration import REPORT
from alps_exp.report.layout import DisplayTable, csv_table, footnotes, markdown_table
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


@dataclass(frozen=True)
class Comparison:
    """A number of a row beside its expected value; `problem` says why there is none, and is ``ok`` otherwise."""

    row: str
    number: str
    measured: float | None
    expected: float
    tolerance: float
    paper: float | None
    minutes: float
    problem: str

    @property
    def verdict(self) -> str:
        """PASS or FAIL."""
        passes = self.measured is not None and abs(self.measured - self.expected) <= self.tolerance
        return "PASS" if passes else "FAIL"

    def __str__(self) -> str:
        paper = "" if self.paper is None else f", paper {self.paper:g}"
        found = self.problem if self.measured is None else f"{self.measured:.4g}"
        return f"{self.verdict}  {self.number} {found} (expected {self.expected:g} ± {self.tolerance:g}{paper})"


def reproduce(job: JobContext, /, *, rows: DictConfig, output: str) -> int:
    """Run the rows that are not done yet, compare their numbers with those expected, and return the exit status.

    A row is a run in a folder of its own: started again, finished rows answer at once, and an interrupted one goes on.

    Parameters
    ----------
    job
        The job.
    rows
        The rows of a table: faces, mri, calibration or closed_form, or a file of your own in rows/.
    output
        Folder of the runs and of the table.

    Examples
    --------
    alps reproduce closed_form
    alps reproduce faces output=outputs/again
    alps reproduce mine --config-dir my/conf
    """
    table = _rows(rows)
    job.under_way = True
    found: list[Comparison] = []
    for place, (name, row) in enumerate(table.items(), start=1):
        print(f"[{place}/{len(table)}] {name}, about {row.minutes:g} min: alps {row.command}", flush=True)
        for comparison in _compared(name, row, Path(output) / name):
            print(f"  {comparison}", flush=True)
            found.append(comparison)
    text = f"{_table(found)}\nExpected values are of {rows.hardware}.\n"
    numbers = pd.DataFrame([{**asdict(comparison), "verdict": comparison.verdict} for comparison in found])
    write_atomically(Path(output) / "reproduction.md", text.encode())
    write_atomically(Path(output) / "reproduction.csv", csv_table(numbers).encode())
    passed = sum(comparison.verdict == "PASS" for comparison in found)
    print(f"\n{text}\n{passed} of {len(found)} numbers as expected; table in {output}")
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


def _table(found: Sequence[Comparison]) -> str:
    """Return the comparisons as a table in Markdown, with what went wrong as notes."""
    cells, notes = footnotes([each.problem for each in found], [each.verdict for each in found])
    texts = pd.DataFrame(
        {
            "Row": [each.row for each in found],
            "Number": [each.number for each in found],
            "Measured": ["-" if each.measured is None else f"{each.measured:.4g}" for each in found],
            "Expected": [f"{each.expected:g} ± {each.tolerance:g}" for each in found],
            "Paper": ["-" if each.paper is None else f"{each.paper:g}" for each in found],
            "Minutes": [f"{each.minutes:.1f}" for each in found],
            "Verdict": [each.verdict if cell == "ok" else cell for cell, each in zip(cells, found, strict=True)],
        }
    )
    return markdown_table(DisplayTable(texts, "Reproduction", notes))
