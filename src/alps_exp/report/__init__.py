"""Records to tables and figures."""

from alps_exp.report.calibration import (
    calibration_figure,
    find_calibrations,
    write_calibration,
    write_calibration_tables,
)
from alps_exp.report.conformal import build_conformal_table, display_conformal, write_conformal_tables
from alps_exp.report.convergence import convergence_figure
from alps_exp.report.display import check_display, display_table, to_latex, to_markdown, write_tables
from alps_exp.report.figures import run_figure, samples_figure, task_figure, task_figures, uncertainty_figure
from alps_exp.report.gallery import gallery_tasks
from alps_exp.report.groups import find_runs, read_runs
from alps_exp.report.overview import for_terminal, overview
from alps_exp.report.page import PageTable, write_page
from alps_exp.report.pareto import pareto_figure
from alps_exp.report.regions import build_region_table, write_region_table
from alps_exp.report.selection import FigureSettings, FigureTask, figure_tasks
from alps_exp.report.steps import steps_figure
from alps_exp.report.table import build_table, table_of
from alps_exp.report.trials import build_trials_table, write_trials
from alps_exp.report.volumes import build_volume_table, display_volumes, volume_metrics, write_volume_tables
from alps_exp.report.where import estimates_of, select, select_rows

__all__ = [
    "FigureSettings",
    "FigureTask",
    "PageTable",
    "build_conformal_table",
    "build_region_table",
    "build_table",
    "build_trials_table",
    "build_volume_table",
    "calibration_figure",
    "check_display",
    "convergence_figure",
    "display_conformal",
    "display_table",
    "display_volumes",
    "estimates_of",
    "figure_tasks",
    "find_calibrations",
    "find_runs",
    "for_terminal",
    "gallery_tasks",
    "overview",
    "pareto_figure",
    "read_runs",
    "run_figure",
    "samples_figure",
    "select",
    "select_rows",
    "steps_figure",
    "table_of",
    "task_figure",
    "task_figures",
    "to_latex",
    "to_markdown",
    "uncertainty_figure",
    "volume_metrics",
    "write_calibration",
    "write_calibration_tables",
    "write_conformal_tables",
    "write_page",
    "write_region_table",
    "write_tables",
    "write_trials",
    "write_volume_tables",
]
