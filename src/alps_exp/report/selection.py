"""What the figures of a table show: which runs, images and estimates of each task."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

import pandas as pd

from alps_exp.checks import check_count
from alps_exp.errors import listed, one_line
from alps_exp.report.comparison import images_of, unlike
from alps_exp.report.display import noise_texts
from alps_exp.report.groups import groups
from alps_exp.report.panels import FORMATS
from alps_exp.runs import ESTIMATES, RunFolder

log = logging.getLogger(__name__)
_MOST_COLUMNS = 22  # of a figure: three blocks of eight, with truth and measurement


@dataclass(frozen=True)
class FigureSettings:
    """What the figures of `alps table` show.

    Attributes
    ----------
    images
        How many images of a task to show at most, or the ids of the images.
    columns
        Estimates to show, from the left: SAMPLER, named as in the table, or SAMPLER/ESTIMATE, such as ``alps/sample``.
        None: the estimates of all samplers, and a sample of the first one.
    zoom
        The region that is enlarged: [row, column, size] in pixels, ``auto`` for where the samples differ most, or None.
    threshold
        Standard deviations above it are shown over the image, in the image's unit. ``auto``: the largest tenth.
    formats
        File formats: png, pdf, svg.

    Raises
    ------
    ValueError
        If a setting cannot be meant.
    """

    images: int | list[str] = 1
    columns: list[str] | None = None
    zoom: Literal["auto"] | list[int] | None = "auto"
    threshold: Literal["auto"] | float = "auto"
    formats: list[str] = field(default_factory=lambda: ["png"])

    def __post_init__(self) -> None:
        if isinstance(self.images, int):
            check_count("figure.images", self.images)
        if isinstance(self.zoom, list) and (len(self.zoom) != 3 or min(self.zoom) < 0 or self.zoom[2] < 1):
            raise ValueError(f"figure.zoom is {self.zoom}, expected [row, column, size] in pixels, auto or null")
        if self.threshold != "auto" and self.threshold < 0:
            raise ValueError(f"figure.threshold must be at least 0, got {self.threshold:g}")
        if not self.formats or not set(self.formats) <= set(FORMATS):
            raise ValueError(f"figure.formats is {self.formats}, expected some of {', '.join(FORMATS)}")


@dataclass(frozen=True)
class FigureTask:
    """A task (and noise level) with the images and runs that its figures show.

    Attributes
    ----------
    name
        Name of the task, with the noise level if there are several.
    runs
        A run for each sampler and setting, as a table names and orders them.
    image_ids
        Images that all the runs restored.
    estimates
        (sampler, estimate) of each column.
    notes
        What is not shown, a sentence each.
    """

    name: str
    runs: Mapping[str, RunFolder]
    image_ids: Sequence[str]
    estimates: Sequence[tuple[str, str]]
    notes: Sequence[str] = ()


def figure_tasks(
    runs: Mapping[str, RunFolder],
    frame: pd.DataFrame,
    settings: FigureSettings,
    estimates: Sequence[str] = ESTIMATES,
) -> list[FigureTask]:
    """Return the tasks that have a figure: those of which all runs restored one image at least; warn of the others.

    Of the runs of a sampler and setting that differ in their seed, the first that is done is shown.

    Parameters
    ----------
    runs, frame
        Runs and their records, see `alps_exp.report.read_runs`.
    settings
        What is to be shown.
    estimates
        The kinds of estimates that are shown.

    Raises
    ------
    ValueError
        If the settings name an image or an estimate that no run has.
    """
    if frame.empty:
        return []
    tasks: dict[tuple[str, float | str], dict[str, _Shown]] = {}
    for row, group in groups(frame, runs, "mean"):
        paths = group.sort_values("seed", kind="stable")["run"].unique()
        first = min((runs[path] for path in paths), key=lambda run: not run.is_done())
        kinds = [name for name in estimates if name in set(group["estimate"])]
        shown = _Shown(first, kinds, group["image_id"].unique().tolist())
        tasks.setdefault((row["task"], row["noise_std"]), {})[row["sampler"]] = shown
    _check(
        settings, frame, [(sampler, shown.kinds) for of_task in tasks.values() for sampler, shown in of_task.items()]
    )
    names = [task for task, _ in tasks]
    levels = noise_texts(pd.Series([noise_std for _, noise_std in tasks], dtype=object))
    found = []
    for (task, _), noise, of_task in zip(tasks, levels, tasks.values(), strict=True):
        name = task if names.count(task) == 1 else f"{task}_{noise}"
        chosen = _figure_task(name, of_task, settings)
        if chosen.image_ids:
            _check_zoom(settings, chosen)
            found.append(chosen)
        else:
            samplers = ", ".join(sorted(chosen.runs)) or "the samplers of figure.columns"
            log.warning("%s", one_line(f"no figure of {name}: no image is there from all of {samplers}"))
    return found


@dataclass(frozen=True)
class _Shown:
    """The run that is shown of a sampler, the kinds of its estimates, and its images."""

    run: RunFolder
    kinds: Sequence[str]
    image_ids: Sequence[str]


def _figure_task(name: str, of_task: Mapping[str, _Shown], settings: FigureSettings) -> FigureTask:
    columns = [
        (sampler, kind)
        for column in settings.columns or of_task
        for sampler, shown in of_task.items()
        for kind in _chosen(column, sampler, shown.kinds)
    ]
    if settings.columns is None and columns and "sample" in of_task[columns[0][0]].kinds:
        columns.insert(0, (columns[0][0], "sample"))
    columns = list(dict.fromkeys(columns))
    runs = {sampler: of_task[sampler].run for sampler, _ in columns}
    notes = []
    for sampler, what in _unlike(runs).items():
        notes.append(f"{sampler} is not shown: it has other {what} than {next(iter(runs))}.")
        del runs[sampler]
    columns = [(sampler, kind) for sampler, kind in columns if sampler in runs]
    if len(columns) > _MOST_COLUMNS:
        notes.append(f"{len(columns) - _MOST_COLUMNS} more estimates are not shown: figure.columns chooses.")
        columns = columns[:_MOST_COLUMNS]
        runs = {sampler: runs[sampler] for sampler, _ in columns}
    image_ids = _restored([of_task[sampler] for sampler in runs], settings.images)
    return FigureTask(name, runs, image_ids, columns, notes)


def _chosen(column: str, sampler: str, kinds: Sequence[str]) -> list[str]:
    """Return the kinds of estimates of a sampler that a column names."""
    wanted, _, kind = column.rpartition("/")
    if kind not in ESTIMATES or not wanted:
        wanted, kind = column, ""
    if sampler != wanted and not sampler.startswith(f"{wanted} ("):
        return []
    return [name for name in kinds if name == kind or (not kind and (name != "sample" or len(kinds) == 1))]


def _check(settings: FigureSettings, frame: pd.DataFrame, known: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Raise ValueError if the settings name what no run has."""
    for column in settings.columns or ():
        if not any(_chosen(column, sampler, kinds) for sampler, kinds in known):
            there = sorted({f"{sampler}/{kind}" for sampler, kinds in known for kind in kinds})
            raise ValueError(f"figure.columns names {column!r}, expected SAMPLER or one of {', '.join(there)}")
    if isinstance(settings.images, list):
        there = frame["image_id"].unique().tolist()
        if missing := [image_id for image_id in settings.images if image_id not in there]:
            raise ValueError(f"figure.images names {missing[0]!r}, expected ids of images, such as {listed(there)}")


def _check_zoom(settings: FigureSettings, task: FigureTask) -> None:
    """Raise ValueError if the region to enlarge exceeds the images of a task."""
    if isinstance(settings.zoom, list):
        result = next(iter(task.runs.values())).load_result(task.image_ids[0])
        height, width = next(iter(result.estimates.values())).shape[-2:]
        row, column, size = settings.zoom
        if row + size > height or column + size > width:
            raise ValueError(f"figure.zoom is {settings.zoom}, beyond the images of {task.name}, {height} x {width}")


def _unlike(runs: Mapping[str, RunFolder]) -> dict[str, str]:
    """Return the samplers whose images are others than those of the first one, and in what they differ."""
    images = {sampler: images_of([run]) for sampler, run in runs.items()}
    first = next(iter(images.values()), None)
    return {sampler: what for sampler, mine in images.items() if first and (what := unlike(mine, first))}


def _restored(shown: Sequence[_Shown], images: int | list[str]) -> list[str]:
    """Return those of the given images, or the first ones, that all the runs have restored."""
    ids = images if isinstance(images, list) else shown[0].image_ids if shown else []
    restored = (i for i in dict.fromkeys(ids) if all(i in each.image_ids and each.run.finished(i) for each in shown))
    return list(islice(restored, None if isinstance(images, list) else images))
