"""Panels of truth, measurement, estimates, their errors and their standard deviations.

Real images are shown in RGB, or gray by the mean of their channels where these are not three, clipped to [-1, 1];
complex ones by their magnitude, up to the truth's maximum (without a truth, which measured data may lack: up to an
estimate's).
Errors and standard deviations are root mean squares over the channels, in the units of the image.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from alps_exp.errors import one_line
from alps_exp.files import file_name, write_atomically
from alps_exp.report.groups import find_runs
from alps_exp.report.layout import label_text, noise_text
from alps_exp.report.order import sampler_order
from alps_exp.runs import ESTIMATES, ImageResult, Record, RunFolder

log = logging.getLogger(__name__)

_CELL = 1.45  # inches
_FONT = 8  # points
_MOST_WARNINGS = 8
_DPI = 220
_ERROR, _STD = "Absolute error", "Standard deviation"
_COLORS = {_ERROR: "inferno", _STD: "viridis"}
_NAMES = {"sample": "Sample", "mmse": "MMSE", "map": "MAP", "point": "Estimate"}


Maps: TypeAlias = dict[str, np.ndarray]
Scales: TypeAlias = dict[str, Normalize]
Side: TypeAlias = Literal["right", "bottom"]


@dataclass
class _Column:
    """An estimate and the maps shown below it."""

    title: str
    image: np.ndarray
    maps: Maps


def run_figure(run: RunFolder, num_images: int = 4) -> Path:
    """Draw `figure.png` of a run: one row for each of its first images.

    Error and standard deviation are those of the MMSE estimate, or else of the MAP or point estimate.

    Parameters
    ----------
    run
        The run; the figure is written into its folder.
    num_images
        How many images to show at most.

    Raises
    ------
    ValueError
        If no image of the run was restored.
    """
    results = [run.load_result(image_id) for image_id in _restored([run], num_images)]
    names = [name for name in ESTIMATES if all(name in result.estimates for result in results)]
    if not results or not names:
        raise ValueError(f"{run.path} has no restored image to show")
    main = max(names, key=("sample", "point", "map", "mmse").index)
    maps = [_maps(result, main) for result in results]
    scales = _scales(maps)
    given = _given(results)
    figure, axes = _grid(len(results), given + len(names) + len(scales), results[0])
    for axis_row, result, of_result in zip(axes, results, maps, strict=True):
        _draw_row(axis_row, given, result, names, of_result, scales)
    for axis, name in zip(axes[0, given:], names, strict=False):
        axis.set_title(f"{_NAMES[name]}\n{axis.get_title()}", fontsize=_FONT, pad=3)
    for j, kind in enumerate(scales, given + len(names)):
        shown = _NAMES[main] if kind == _ERROR else "samples"
        axes[0, j].set_title(f"{kind}\nof {shown}", fontsize=_FONT, pad=3)
        _colorbar(figure, scales, kind, axes[:, j], "bottom")
    _warn(figure, results)
    return save_figure(figure, run.path / "figure.png")


def _draw_row(
    axes: np.ndarray, given: int, result: ImageResult, names: Sequence[str], maps: Maps, scales: Scales
) -> None:
    """Draw an image with all its estimates, and the maps of one of them."""
    peak = _draw_truth_and_measurement(axes[:given], result)
    axes[0].set_ylabel(label_text(result.records[0].image_id), fontsize=_FONT - 2)
    for axis, name in zip(axes[given:], names, strict=False):
        _draw_image(axis, result.estimates[name], peak, _decibels(result.record(name)))
    for axis, kind in zip(axes[given + len(names) :], scales, strict=True):
        _draw_map(axis, maps, scales, kind)


def task_figure(task: str, runs: Sequence[RunFolder], path: Path, num_images: int = 1) -> Path:
    """Draw the estimates of several samplers for the same images, side by side in the order of `runs`.

    For each image: the estimates with their PSNR, then the maps of their errors, then those of the standard
    deviations, each kind on one color scale. A single sample is shown of the first run alone.

    Parameters
    ----------
    task
        Name of the task, for the message.
    runs
        Runs that restored the same images.
    path
        The file to write.
    num_images
        How many images to show at most.

    Raises
    ------
    ValueError
        If no image was restored by all the runs.
    """
    shared = _restored(runs, num_images)
    if not shared:
        raise ValueError(f"no image of the task {task!r} was restored by all of its {len(runs)} runs")
    results = [[run.load_result(image_id) for run in runs] for image_id in shared]
    panels = [_columns(of_image) for of_image in results]
    scales = _scales([column.maps for columns in panels for column in columns])
    height = 1 + len(scales)
    given = _given([of_image[0] for of_image in results])
    figure, axes = _grid(height * len(panels), given + len(panels[0]), results[0][0])
    for i, columns in enumerate(panels):
        _draw_panel(figure, axes[i * height : (i + 1) * height], given, results[i][0], columns, scales)
    _warn(figure, [result for of_image in results for result in of_image])
    return save_figure(figure, path)


def task_figures(paths: Iterable[str | Path], folder: Path, num_images: int = 1) -> list[Path]:
    """Draw one `task_figure`, named `TASK.png`, for every task (and noise level) among the runs in `paths`.

    Of several runs of one sampler the first that ended is shown. A task without a shared image is left out
    with a warning.

    Parameters
    ----------
    paths
        Run folders, or folders above them.
    folder
        Folder for the figures.
    num_images
        How many images of a task to show at most.

    Raises
    ------
    FileNotFoundError, ValueError
        As `alps_exp.report.find_runs`.
    """
    chosen: dict[tuple[str, str], dict[str, RunFolder]] = {}
    for run in sorted(find_runs(paths), key=lambda run: not run.is_done()):
        if record := next(iter(run.records()), None):
            chosen.setdefault((record.task, noise_text(record.noise_std)), {}).setdefault(record.sampler, run)
    tasks = [task for task, _ in chosen]
    drawn = []
    for (task, noise_std), runs in sorted(chosen.items()):
        name = task if tasks.count(task) == 1 else f"{task}_{noise_std}"
        ordered = [runs[sampler] for sampler in sorted(runs, key=sampler_order)]
        if _restored(ordered, 1):
            drawn.append(task_figure(name, ordered, folder / file_name(name, ".png"), num_images))
        else:
            log.warning("%s", one_line(f"no figure of {name}: no image is there from all of {', '.join(sorted(runs))}"))
    return drawn


def _restored(runs: Sequence[RunFolder], num_images: int) -> list[str]:
    """Return the first images that all the runs have restored."""
    image_ids = dict.fromkeys(record.image_id for record in runs[0].records())
    restored = (image_id for image_id in image_ids if all(run.finished(image_id) for run in runs))
    return list(islice(restored, num_images))


def _columns(results: Sequence[ImageResult]) -> list[_Column]:
    """Return the estimates of one image by several samplers; a sample only of the first one."""
    columns = []
    for i, result in enumerate(results):
        names = [name for name in ESTIMATES if name in result.estimates and (name != "sample" or i == 0)]
        for name in names:
            record = result.record(name)
            title = f"{_full_name(record)}\n{_decibels(record)}"
            columns.append(_Column(title, result.estimates[name], _maps(result, name)))
    return columns


def _full_name(record: Record) -> str:
    """Return the name of the sampler, with the kind of estimate if that adds information."""
    sampler, estimate = label_text(record.sampler).upper().replace("_", " "), record.estimate
    if estimate in ("point", record.sampler):
        return sampler
    return f"{sampler} {'sample' if estimate == 'sample' else _NAMES[estimate]}"


def _decibels(record: Record) -> str:
    return "" if record.psnr is None else f"{record.psnr:.1f} dB"


def _given(results: Sequence[ImageResult]) -> int:
    """Return the number of panels before the estimates: the measurement and, if known, the ground truth."""
    return 1 + any(result.truth is not None for result in results)


def _maps(result: ImageResult, name: str) -> Maps:
    estimate = result.estimates[name]
    if not np.iscomplexobj(estimate):
        estimate = estimate.clip(-1, 1)
    maps = {} if result.truth is None else {_ERROR: _rms(estimate - result.truth)}
    if name == "mmse" and result.std is not None:
        maps[_STD] = _rms(result.std)
    return maps


def _rms(image: np.ndarray) -> np.ndarray:
    rms: np.ndarray = np.sqrt(np.mean(np.abs(image) ** 2, axis=0))
    return rms


def _scales(maps: Sequence[Maps]) -> Scales:
    """Return a color scale per kind of map, from 0 to nearly the largest value."""
    scales = {}
    for kind in _COLORS:
        if shown := [each[kind].ravel() for each in maps if kind in each]:
            scales[kind] = Normalize(0, float(np.quantile(np.concatenate(shown), 0.995)))
    return scales


def _grid(rows: int, columns: int, result: ImageResult) -> tuple[Figure, np.ndarray]:
    height, width = next(iter(result.estimates.values())).shape[-2:]
    shape = min(max(height / width, 0.1), 10)
    size = (columns * _CELL + 0.6, rows * (_CELL * shape + 0.1) + 0.4)
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02, compress=True)
    figure = Figure(figsize=size, dpi=_DPI, layout=layout)
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    return figure, axes


def _warn(figure: Figure, results: Iterable[ImageResult]) -> None:
    """Write below the panels what does not fit the images."""
    sentences = dict.fromkeys(warning for result in results for record in result.records for warning in record.warnings)
    if sentences:
        shown = [f"Warning: {label_text(sentence)}" for sentence in islice(sentences, _MOST_WARNINGS)]
        figure.supxlabel("\n".join(shown), fontsize=_FONT, color="firebrick")


def _draw_panel(
    figure: Figure, axes: np.ndarray, given: int, result: ImageResult, columns: Sequence[_Column], scales: Scales
) -> None:
    """Draw the rows of one image: estimates, and below them one row for each kind of map."""
    peak = _draw_truth_and_measurement(axes[0, :given], result)
    for axis, column in zip(axes[0, given:], columns, strict=True):
        _draw_image(axis, column.image, peak, column.title)
    for axis_row, kind in zip(axes[1:], scales, strict=True):
        axis_row[given - 1].text(0.95, 0.5, kind.replace(" ", "\n"), ha="right", va="center", fontsize=_FONT)
        for axis, column in zip(axis_row[given:], columns, strict=True):
            _draw_map(axis, column.maps, scales, kind)
        _colorbar(figure, scales, kind, axis_row, "right")


def _draw_truth_and_measurement(axes: np.ndarray, result: ImageResult) -> float:
    """Draw both, if there is a truth, and return the magnitude that is shown as white in complex images."""
    reference = next(iter(result.estimates.values())) if result.truth is None else result.truth
    peak = float(np.abs(reference).max())
    if result.truth is not None:
        _draw_image(axes[0], result.truth, peak, "Truth")
    if (measurement := _visible_measurement(result, peak)) is not None:
        _draw_image(axes[-1], *measurement)
    return peak


def _visible_measurement(result: ImageResult, peak: float) -> tuple[np.ndarray, float, str] | None:
    """Return what stands for the measurement, its peak and its title; None if there is nothing that can be drawn."""
    measurement, adjoint = result.measurement, result.adjoint
    in_a_row = measurement is not None and measurement.shape[:-1] == (1, 1)  # several measurements as one
    if measurement is not None and not np.iscomplexobj(measurement) and not in_a_row:
        return (measurement, peak, "Measurement") if measurement.ndim == 3 and measurement.size else None
    if adjoint is None:
        return None
    if in_a_row:
        return adjoint * (peak / np.abs(adjoint).max()), peak, "Adjoint"
    acceleration = result.diagnostics.get("acceleration")
    known = acceleration is not None and acceleration.ndim == 0
    return adjoint, peak, f"Zero-filled\n{acceleration:.2f}x" if known else "Zero-filled"


def _draw_image(axis: Axes, image: np.ndarray, peak: float, title: str) -> None:
    if np.iscomplexobj(image):
        axis.imshow(np.abs(image[0]), cmap="gray", vmin=0, vmax=peak, interpolation="nearest")
    else:
        colors = image if len(image) == 3 else image.mean(0, keepdims=True)
        rgb = np.broadcast_to((colors.clip(-1, 1) + 1) / 2, (3, *image.shape[-2:]))
        axis.imshow(np.moveaxis(rgb, 0, -1), interpolation="nearest")
    axis.set_title(title, fontsize=_FONT, pad=3)


def _draw_map(axis: Axes, maps: Maps, scales: Scales, kind: str) -> None:
    if kind in maps:
        axis.imshow(maps[kind], cmap=_COLORS[kind], norm=scales[kind], interpolation="nearest")


def _colorbar(figure: Figure, scales: Scales, kind: str, axes: np.ndarray, location: Side) -> None:
    mappable = ScalarMappable(scales[kind], _COLORS[kind])
    bar = figure.colorbar(mappable, ax=list(axes), location=location, extend="max", fraction=0.05, pad=0.01)
    bar.ax.tick_params(labelsize=_FONT - 2, width=0.5, length=2)
    bar.locator = MaxNLocator(3)
    bar.outline.set_linewidth(0.5)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, and return its path."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", pad_inches=0.03)
    write_atomically(path, buffer.getvalue())
    return path
