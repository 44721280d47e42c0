"""Numbers of runs beside those expected: PASS or FAIL, and their table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from alps_exp.report.layout import DisplayTable, footnotes, markdown_table, write_forms


@dataclass(frozen=True)
class Comparison:
    """A number of a run beside the one expected.

    Attributes
    ----------
    row, number
        Name of the run in its table, and of the number.
    measured
        The number; None if the run has none.
    expected, tolerance
        What it should be, give or take.
    paper
        The published number, if there is one.
    minutes
        What the run took.
    problem
        Why there is no number; ``ok`` otherwise.
    """

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


def write_reproduction(found: Sequence[Comparison], hardware: str, folder: Path) -> list[Path]:
    """Write `reproduction.md` and `reproduction.csv` (all digits) into a folder; return their paths.

    Parameters
    ----------
    found
        The comparisons, in the order of the table.
    hardware
        What the expected numbers were measured on.
    folder
        Folder for the files.
    """
    numbers = pd.DataFrame([{**asdict(each), "verdict": each.verdict} for each in found])
    return write_forms(folder / "reproduction", numbers, f"{_table(found)}\nExpected values are of {hardware}.\n")


def _table(found: Sequence[Comparison]) -> str:
    """Return the comparisons as a table in Markdown, with what went wrong as notes."""
    verdicts, notes = footnotes([each.problem for each in found], [each.verdict for each in found])
    texts = pd.DataFrame(
        {
            "Row": [each.row for each in found],
            "Number": [each.number for each in found],
            "Measured": ["-" if each.measured is None else f"{each.measured:.4g}" for each in found],
            "Expected": [f"{each.expected:g} ± {each.tolerance:g}" for each in found],
            "Paper": ["-" if each.paper is None else f"{each.paper:g}" for each in found],
            "Minutes": [f"{each.minutes:.1f}" for each in found],
            "Verdict": [each.verdict if text == "ok" else text for text, each in zip(verdicts, found, strict=True)],
        }
    )
    return markdown_table(DisplayTable(texts, "Reproduction", notes))
