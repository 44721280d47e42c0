"""`alps table`: collect the records of runs into tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from alps_exp.report import (
    build_region_table,
    build_trials_table,
    build_volume_table,
    find_calibrations,
    pareto_figure,
    read_runs,
    table_of,
    task_figures,
    to_markdown,
    write_calibration_tables,
    write_region_table,
    write_tables,
    write_trials,
    write_volume_tables,
)
from alps_exp.runs.job import JobContext


def table(
    job: JobContext,
    /,
    *,
    runs: str | Sequence[str],
    output: str,
    figures: bool,
    seeds: Literal["mean", "each"],
    paper: str | None,
    reference: str | None,
    verify: bool = False,
) -> int:
    """Write the tables and a figure for every task, print that of the restorations, and return the exit status."""
    paths = [runs] if isinstance(runs, str) else list(runs)
    read, records = read_runs(paths, verify)
    numbers = table_of(read, records, seeds, paper, reference)
    job.under_way = True
    written = write_tables(numbers, Path(output))
    if len(regions := build_region_table(records)):
        written.append(write_region_table(regions, Path(output)))
    if len(volumes := build_volume_table(read, records, seeds)):
        written += write_volume_tables(volumes, Path(output))
    if figures:
        written += task_figures(paths, Path(output))
        written += filter(None, [pareto_figure(numbers, Path(output) / "pareto.png")])
    if len(trials := build_trials_table(paths)):
        written += write_trials(trials, Path(output))
    if calibrations := find_calibrations(paths):
        written += write_calibration_tables(calibrations, Path(output))
    job.folder.save_config(job.config)
    if len(numbers):
        print(to_markdown(numbers))
    if len(volumes):
        print((Path(output) / "volumes.md").read_text())
    if len(trials):
        print((Path(output) / "trials.md").read_text())
    if calibrations:
        print((Path(output) / "calibration.md").read_text())
    print("\n".join(map(str, written)))
    return 0
