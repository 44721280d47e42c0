"""`alps bench`: measure what the package costs, and compare it with an earlier measurement."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import torch

from alps_exp.benchmarks import PARTS, machine
from alps_exp.benchmarks.comparison import load, save, slower_rows, to_markdown
from alps_exp.checks import check_count
from alps_exp.config.arguments import nearest
from alps_exp.runs.job import JobContext


def bench(
    job: JobContext,
    /,
    *,
    parts: Sequence[str],
    repeats: int,
    baseline: str | None,
    output: str,
) -> int:
    """Measure the parts, print and write their table, and return 1 if something became slower than the baseline.

    Parameters
    ----------
    job
        The job.
    parts
        What is measured.
    repeats
        Number of measurements, of which the median counts.
    baseline
        A bench.json to compare with; what became slower by more than 15 % is named.
    output
        Folder of the results.

    Examples
    --------
    alps bench
    alps bench 'parts=[steps,solves]' repeats=3
    alps bench baseline=experiments/bench/baseline.json output=outputs/bench/today
    """
    check_count("repeats", repeats)
    if wrong := [part for part in parts if part not in PARTS]:
        raise ValueError(f"there is no part {wrong[0]!r} of the benchmark{nearest(wrong[0], PARTS)}")
    earlier = load(Path(baseline)) if baseline else None
    job.under_way = True
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    described, rows = machine(device), []
    for row in chain.from_iterable(PARTS[part](repeats, device) for part in parts):
        rows.append(row)
        print(f"{row.part}: {row.name}: {row.value:.3g} {row.unit}", flush=True)
        save(Path(output) / "bench.json", described, rows)
    table = to_markdown(rows)
    (Path(output) / "bench.md").write_text(table + "\n")
    print(f"\n{described}\n\n{table}")
    if earlier is None:
        return 0
    if earlier[0] != described:
        print(f"the baseline is of another machine, so its seconds say little: {earlier[0]}")
    slower = slower_rows(earlier[1], rows)
    print("\n".join(["slower than the baseline by more than 15 %:", *slower] if slower else ["nothing became slower"]))
    return 1 if slower else 0
