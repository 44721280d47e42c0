"""Tables of benchmark rows, and what became slower than in an earlier run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from alps_exp.benchmarks.timing import Row
from alps_exp.files import write_atomically

SLOWER = 1.15
NOTICEABLE = {"% above the network": 2.0, "ms": 0.2, "s": 0.1, "%": 2.0}
"""Differences below these are noise whatever their ratio."""


def save(path: Path, machine: dict[str, str | int], rows: Sequence[Row]) -> None:
    """Write the machine and the rows as JSON."""
    content = json.dumps({"machine": machine, "rows": [asdict(one) for one in rows]}, indent=1) + "\n"
    write_atomically(path, content.encode())


def load(path: Path) -> tuple[dict[str, str | int], list[Row]]:
    """Return the machine and the rows of a file.

    Raises
    ------
    ValueError
        If the file is not one that `save` wrote.
    """
    try:
        found = json.loads(path.read_text())
        return found["machine"], [Row(**one) for one in found["rows"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no file of `alps bench`: {error}") from error


def to_markdown(rows: Sequence[Row]) -> str:
    """Return a table of the rows: median and quartiles."""
    lines = ["| Part | What | Median | Quartiles | Unit |", "|---|---|---|---|---|"]
    for one in rows:
        quartiles = f"{one.low:.3g} to {one.high:.3g}" if one.low != one.high else ""
        lines.append(f"| {one.part} | {one.name} | {one.value:.3g} | {quartiles} | {one.unit} |")
    return "\n".join(lines)


def slower_rows(before: Sequence[Row], after: Sequence[Row]) -> list[str]:
    """Return a sentence for each row whose median became worse by more than 15 %, beyond the quartiles of both runs."""
    known = {(one.part, one.name, one.unit): one for one in before}
    found = []
    for new in after:
        old = known.get((new.part, new.name, new.unit))
        if old is not None and _is_worse(old, new):
            found.append(f"{new.part}: {new.name}: {old.value:.3g} -> {new.value:.3g} {new.unit}")
    return found


def _is_worse(old: Row, new: Row) -> bool:
    if new.is_better_larger:
        return new.value * SLOWER < old.value and new.high < old.low
    slower = new.value > SLOWER * old.value and new.low > old.high
    return slower and new.value - old.value > NOTICEABLE.get(new.unit, 0.0)
