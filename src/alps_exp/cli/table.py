"""`alps table`: collect the records of runs into tables, figures and a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from hydra.utils import instantiate
from omegaconf import DictConfig

from alps_exp.checks import check_count
from alps_exp.report import (
    FigureSettings,
    PageTable,
    build_conformal_table,
    build_region_table,
    build_trials_table,
    build_volume_table,
    check_display,
    display_conformal,
    display_table,
    display_volumes,
    estimates_of,
    figure_tasks,
    find_calibrations,
    for_terminal,
    gallery_tasks,
    pareto_figure,
    read_runs,
    select,
    select_rows,
    table_of,
    task_figures,
    write_calibration_tables,
    write_conformal_tables,
    write_page,
    write_region_table,
    write_tables,
    write_trials,
    write_volume_tables,
)
from alps_exp.report.where import Where
from alps_exp.runs.job import JobContext


def table(
    job: JobContext,
    /,
    *,
    runs: str | Sequence[str],
    output: str,
    figures: bool,
    figure: DictConfig,
    page: bool,
    page_images: int,
    seeds: Literal["mean", "each"],
    paper: str | None,
    reference: str | None,
    where: Where,
    columns: str | Sequence[str] | None = None,
    metrics: str | Sequence[str] | None = None,
    verify: bool = False,
) -> int:
    """Write the tables, the page and a figure for every task, print the tables, and return the exit status.

    Parameters
    ----------
    job
        The job.
    runs
        Folders in and below which the runs are; several as [A,B].
    output
        Folder of tables and figures.
    figures
        Whether to draw a figure for each task.
    page
        Whether to write index.html, with the tables and a gallery.
    page_images
        Images of each task in the gallery.
    where
        Records to take, a value or a list of a field: where.sampler=[alps,daps] where.estimate=mmse.
    columns
        Columns in their order, as [sampler,psnr]; null: all that tell something.
    metrics
        Some of psnr, ssim, nmse, lpips; null: all that were measured.
    seeds
        mean of an image over its seeds, or each: a row for every seed.
    paper
        CSV file of published numbers to compare with.
    reference
        Sampler that the others are compared with, image by image.
    verify
        Whether to hash all files of the runs. Otherwise only those of another size or time are.

    Examples
    --------
    alps table runs=outputs/restore
    alps table 'runs=[outputs/restore,outputs/again]' output=outputs/both seeds=each
    alps table runs=outputs/restore reference=dps paper=experiments/paper/results.csv
    """
    check_display(columns, metrics)
    check_count("page_images", page_images, least=0)
    paths = [runs] if isinstance(runs, str) else list(runs)
    read, records = select(*read_runs(paths, verify), where)
    numbers = table_of(read, records, seeds, paper, reference, estimates_of(where))
    displayed = display_table(numbers, columns, metrics)
    settings: FigureSettings = instantiate(figure)
    tasks = figure_tasks(read, records, settings, estimates_of(where)) if figures else []
    job.under_way = True
    written = write_tables(numbers, Path(output), displayed)
    if len(regions := build_region_table(records)):
        written.append(write_region_table(regions, Path(output)))
    if len(volumes := select_rows(build_volume_table(read, records, seeds), where)):
        written += write_volume_tables(volumes, Path(output))
    if len(bounds := select_rows(build_conformal_table(read, records), where)):
        written += write_conformal_tables(bounds, Path(output))
    if figures:
        written += task_figures(tasks, Path(output), settings)
        written += pareto_figure(numbers, Path(output) / "pareto.png", settings.formats)
    if len(trials := build_trials_table(paths)):
        written += write_trials(trials, Path(output))
    if calibrations := find_calibrations(read) if read else []:
        written += write_calibration_tables(calibrations, Path(output), settings.formats)
    if page:
        shown = [PageTable("Restorations", displayed)]
        shown += [PageTable("Whole volumes", display_volumes(volumes))] if len(volumes) else []
        shown += [PageTable("Conformal bounds", display_conformal(bounds))] if len(bounds) else []
        written.append(
            write_page(shown, gallery_tasks(read, records, seeds, estimates_of(where), page_images), Path(output))
        )
    job.folder.save_config(job.config)
    if len(numbers):
        print(for_terminal(numbers, displayed))
    for name in ("volumes", "conformal", "trials", "calibration"):
        if (path := Path(output) / f"{name}.md") in written:
            print(path.read_text())
    print(f"{output}: {', '.join(str(path.relative_to(output)) for path in written)}")
    return 0
