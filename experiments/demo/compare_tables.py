"""Compare two tables of `alps table` cell by cell, seconds aside; exit 1 where they differ.

    python experiments/demo/compare_tables.py BEFORE AFTER [COLUMN ...]

BEFORE and AFTER are `table.csv` files (all digits), or Markdown files with such a table in them
(as docs/results/demo.md).
Columns that are named are left out too; bold type is not looked at.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

TIMES = ("seconds", "Seconds")


def read(path: Path) -> pd.DataFrame:
    """Return the cells of the first table in a file as texts."""
    if path.suffix == ".csv":
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    lines = path.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("| Task"))
    last = next(i for i in range(first, len(lines) + 1) if i == len(lines) or not lines[i].startswith("|"))
    cells = [[cell.strip().strip("*") for cell in line.strip("| ").split(" | ")] for line in lines[first:last]]
    return pd.DataFrame(cells[2:], columns=cells[0])


def main(before: str, after: str, *ignored: str) -> int:
    """Print every cell that differs, and return the exit status."""
    old, new = (read(Path(path)).drop(columns=[*TIMES, *ignored], errors="ignore") for path in (before, after))
    if list(old.columns) != list(new.columns) or len(old) != len(new):
        print(f"{len(old)} rows of {list(old.columns)} before, {len(new)} of {list(new.columns)} after")
        return 1
    differs = (old != new).stack()
    for row, column in differs[differs].index:
        print(f"row {row + 1}, {' '.join(new.iloc[row, :4])}: {column} {old.at[row, column]} -> {new.at[row, column]}")
    print(f"{len(old)} rows, {len(old.columns)} columns: {int(differs.sum())} cells differ")
    return int(differs.any())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
