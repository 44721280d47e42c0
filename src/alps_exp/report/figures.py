"""Figures of restored images: estimates, errors and standard deviations, samples, and where an estimate is uncertain.

Regions that a mask hid are outlined, and flagged estimates are framed, with their flags below. How images and maps are
drawn, see `alps_exp.report.pixels` and `alps_exp.report.scales`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from alps_exp.errors import one_line
from alps_exp.files import file_name
from alps_exp.pictures import rms, visible
from alps_exp.report.marks import Region, hidden_pixels, largest_region
from alps_exp.report.names import ESTIMATE_NAMES, kind_name, sampler_name
from alps_exp.report.panels import Panel, Row, Scale, draw_rows, in_blocks, save_figure, save_figures
from alps_exp.report.pixels import ERROR, HALF_WIDTH, LARGEST, LEVEL, STD, Maps, maps_of, measurement_image, psnr_bound
from alps_exp.report.scales import LABELS, MAP_COLORS, image_scale, map_scales, on_scale, quantile_of, unit_of
from alps_exp.report.selection import FigureSettings, FigureTask
from alps_exp.runs import ESTIMATES, ImageResult, RunFolder
from alps_exp.runs.records import ConformalBounds

_MOST_WARNINGS, _MOST_SAMPLES = 8, 4
_LONGEST_LABEL = 200  # characters
_CERTAIN = 0.9  # quantile of the standard deviations up to which they are not shown over an image

Results: TypeAlias = Mapping[str, ImageResult]
"""The results of one image by sampler."""


def run_figure(run: RunFolder, num_images: int = 4) -> Path:
    """Draw `figure.png` of a run: its first images side by side, or a single one with its estimates side by side.

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
    records = run.records()
    ids = islice((i for i in dict.fromkeys(r.image_id for r in records) if run.finished(i)), num_images)
    results = {image_id: run.load_result(image_id) for image_id in ids}
    names = [name for name in ESTIMATES if results and all(name in result.estimates for result in results.values())]
    if not names:
        raise ValueError(f"{run.path} has no restored image to show")
    if len(results) == 1:
        sampler = records[0].sampler
        of_images = {image_id: {sampler: result} for image_id, result in results.items()}
        rows = _task_rows(of_images, [(sampler, name) for name in names], "auto")
    else:
        rows = _run_rows(results, names)
    return save_figure(draw_rows(rows, _remarks(results.values())), run.path / "figure.png")


def task_figures(tasks: Sequence[FigureTask], folder: Path, settings: FigureSettings | None = None) -> list[Path]:
    """Draw the figures of every task, and return their paths.

    They are `TASK.png`, where a posterior was sampled `TASK_uncertainty.png`, and where samples were kept
    `TASK_samples.png`.

    Parameters
    ----------
    tasks
        See `alps_exp.report.figure_tasks`.
    folder
        Folder for the figures.
    settings
        What they show.
    """
    settings = settings or FigureSettings()
    paths = []
    for task in tasks:
        for ending, figure in (("", task_figure), ("_uncertainty", uncertainty_figure), ("_samples", samples_figure)):
            paths += figure(task, folder / file_name(task.name, f"{ending}.png"), settings)
    return paths


def task_figure(task: FigureTask, path: Path, settings: FigureSettings) -> list[Path]:
    """Draw the estimates of several samplers for the same images, side by side; return the written files.

    For each image: the estimates with their PSNR, then the maps of their errors, then those of the standard deviations,
    each kind on one scale.

    Parameters
    ----------
    task
        The task.
    path
        The file to write, whose ending each format replaces.
    settings
        Region to enlarge, and formats.
    """
    of_images = _results(task)
    rows = _task_rows(of_images, task.estimates, settings.zoom)
    return save_figures(draw_rows(rows, _notes(task, of_images)), path, settings.formats)


def uncertainty_figure(task: FigureTask, path: Path, settings: FigureSettings) -> list[Path]:
    """Draw the standard deviation over the MMSE estimate where it exceeds a threshold; return the written files.

    Parameters
    ----------
    task, path
        As in `task_figure`. Without any standard deviation nothing is written.
    settings
        Threshold, and formats.
    """
    of_images = _results(task)
    known = [result for of_image in of_images.values() for result in of_image.values()]
    deviations = [maps_of(result, "mmse")[STD] for result in known if _has_std(result)]
    if not deviations:
        return []
    threshold = quantile_of(deviations, _CERTAIN) if settings.threshold == "auto" else settings.threshold
    label = f"{LABELS[STD]}\nabove {threshold:.2g} ({unit_of(_first(known[0]))})"
    scale = Scale(label, threshold, max(quantile_of(deviations, LARGEST), threshold * 1.01), MAP_COLORS[STD])
    images = _scale(known)
    rows = []
    for image_id, of_image in of_images.items():
        sampled = {sampler: result for sampler, result in of_image.items() if _has_std(result)}
        panels = [_overlay_panel(sampler, result, images, threshold) for sampler, result in sampled.items()]
        rows += in_blocks([Row(image_id, scale, panels)])
    return save_figures(draw_rows(rows, _notes(task, of_images)), path, settings.formats)


def samples_figure(task: FigureTask, path: Path, settings: FigureSettings) -> list[Path]:
    """Draw samples of the first image with their misfit, their mean and variance, by sampler; return the written files.

    The misfit is twice that of the record over the number of measured values, of which 1 is expected of the truth.

    Parameters
    ----------
    task, path
        As in `task_figure`. If no run kept its samples (``save=samples``), nothing is written.
    settings
        Formats.
    """
    of_images = _results(task)
    image_id, of_image = next(iter(of_images.items()))
    kept = {s: result for s, result in of_image.items() if result.samples is not None and "mmse" in result.estimates}
    if not kept:
        return []
    scale = _scale(kept.values())
    count = max(len(result.samples) for result in kept.values() if result.samples is not None)
    rows = []
    for index in range(min(_MOST_SAMPLES, count)):
        panels = [_sample_panel(sampler, result, index) for sampler, result in kept.items()]
        rows.append(Row(f"Sample {index + 1}", scale, panels))
    means = [_estimate_panel(result, "mmse") for result in kept.values()]
    rows.append(Row("MMSE", scale, means))
    scales = map_scales(
        [maps_of(result, "mmse") for result in kept.values()], unit_of(_first(next(iter(kept.values()))))
    )
    if STD in scales:
        rows.append(Row("", scales[STD], [_variance_panel(result) for result in kept.values()]))
    notes = [f"Image {one_line(image_id)}.", *_notes(task, {image_id: of_image})]
    return save_figures(draw_rows(in_blocks(rows), notes), path, settings.formats)


def _results(task: FigureTask) -> dict[str, Results]:
    return {i: {sampler: run.load_result(i) for sampler, run in task.runs.items()} for i in task.image_ids}


def _run_rows(results: Mapping[str, ImageResult], names: Sequence[str]) -> list[Row]:
    """Return the rows of a run: what there is of each image below each other; maps are those of the last estimate."""
    each = list(results.values())
    scale, main = _scale(each), max(names, key=("sample", "point", "map", "mmse").index)
    maps = [maps_of(result, main) for result in each]
    rows = []
    if any(result.truth is not None for result in each):
        rows.append(Row("Truth", scale, [_truth_panel(result) for result in each]))
    measurements = [_measurement_panel(result, scale) for result in each]
    title = next((panel.title for panel in measurements if panel), "Measurement").partition("\n")[0]
    under = [panel and replace(panel, title="", caption=panel.title.partition("\n")[2]) for panel in measurements]
    rows.append(Row(title, scale, under))
    for name in names:
        rows.append(Row(_capital(ESTIMATE_NAMES[name]), scale, [_estimate_panel(r, name) for r in each]))
    for kind, of_map in map_scales(maps, unit_of(_first(each[0]))).items():
        labels = {ERROR: f"Error of {ESTIMATE_NAMES[main]}", STD: "Samples", HALF_WIDTH: "Conformal"}
        rows.append(Row(labels[kind], of_map, [_map_panel(r, m, kind) for r, m in zip(each, maps, strict=True)]))
    titled = [
        panel and replace(panel, title=one_line(i, _LONGEST_LABEL))
        for i, panel in zip(results, rows[0].panels, strict=True)
    ]
    return [replace(rows[0], panels=titled), *rows[1:]]


def _task_rows(
    of_images: Mapping[str, Results], estimates: Sequence[tuple[str, str]], zoom: Literal["auto"] | list[int] | None
) -> list[Row]:
    """Return the rows of a task: for each image its estimates, and below each the maps of its error and deviation."""
    known = [result for of_image in of_images.values() for result in of_image.values()]
    scale = _scale(known)
    maps = {i: [maps_of(of_image[sampler], kind) for sampler, kind in estimates] for i, of_image in of_images.items()}
    scales = map_scales(
        [of_estimate for of_image in maps.values() for of_estimate in of_image], unit_of(_first(known[0]))
    )
    rows = []
    for image_id, of_image in of_images.items():
        first = next(iter(of_image.values()))
        given = [_measurement_panel(first, scale)]
        given = given if first.truth is None else [_truth_panel(first), *given]
        region = Region(*zoom) if isinstance(zoom, list) else _most_uncertain(maps[image_id]) if zoom else None
        shown = [
            _estimate_panel(of_image[sampler], kind, f"{sampler_name(sampler)}\n{kind_name(sampler, kind)}")
            for sampler, kind in estimates
        ]
        size = shown[0].pixels.shape[:2]  # a measurement may have another one, where the region means nothing
        images = [
            panel and replace(panel, zoom=region if panel.pixels.shape[:2] == size else None)
            for panel in [*given, *shown]
        ]
        block = [Row(one_line(image_id, _LONGEST_LABEL), scale, images)]
        for kind, of_map in scales.items():
            panels = [_map_panel(of_image[s], m, kind) for (s, _), m in zip(estimates, maps[image_id], strict=True)]
            block.append(Row("", of_map, [*[None] * len(given), *panels]))
        rows += in_blocks(block)
    return rows


def _most_uncertain(maps: Sequence[Maps]) -> Region | None:
    """Return the region where the standard deviations are largest, or else the errors."""
    for kind in (STD, ERROR):
        if there := [of_estimate[kind] for of_estimate in maps if kind in of_estimate]:
            return largest_region(np.mean(there, axis=0))
    return None


def _first(result: ImageResult) -> np.ndarray:
    return next(iter(result.estimates.values()))


def _scale(results: Iterable[ImageResult]) -> Scale:
    """Return the scale on which all the images are shown: that of the truths, as far as they are known."""
    return image_scale([_first(result) if result.truth is None else result.truth for result in results])


def _truth_panel(result: ImageResult) -> Panel | None:
    return None if result.truth is None else Panel(on_scale(result.truth), "Truth")


def _measurement_panel(result: ImageResult, scale: Scale) -> Panel | None:
    """Return what stands for the measurement; None if there is nothing that can be drawn."""
    if (found := measurement_image(result, scale.high)) is None:
        return None
    name, image = found
    acceleration = result.diagnostics.get("acceleration")
    known = name == "Zero-filled" and acceleration is not None and acceleration.ndim == 0
    return Panel(on_scale(image), f"{name}\n{acceleration:.2f}x" if known else name, hidden=_hidden(result))


def _estimate_panel(result: ImageResult, name: str, title: str = "") -> Panel:
    record = result.record(name)
    known = "" if record.psnr is None else f"PSNR {record.psnr:.1f} dB"
    bound = psnr_bound(record)
    caption = "\n".join(filter(None, [known, "" if bound is None else f"above {bound:.1f} dB"]))
    return Panel(on_scale(result.estimates[name]), title, caption, record.flags, hidden=_hidden(result))


def _map_panel(result: ImageResult, maps: Maps, kind: str) -> Panel | None:
    return Panel(maps[kind], hidden=_hidden(result)) if kind in maps else None


def _overlay_panel(sampler: str, result: ImageResult, images: Scale, threshold: float) -> Panel:
    """Return the standard deviation above a threshold over the MMSE estimate in gray."""
    deviation, record = maps_of(result, "mmse")[STD], result.record("mmse")
    below = visible(result.estimates["mmse"], images.high)
    return Panel(
        np.ma.masked_less_equal(deviation, threshold),
        title=sampler_name(sampler),
        caption=f"{100 * np.mean(deviation > threshold):.0f} % of pixels",
        flags=record.flags,
        hidden=_hidden(result),
        below=below if below.ndim == 2 else below.mean(-1),
    )


def _sample_panel(sampler: str, result: ImageResult, index: int) -> Panel | None:
    """Return a sample with its misfit; None if there are fewer."""
    assert result.samples is not None
    records = [r for r in result.records if r.estimate == "sample" and r.sample_index == index]
    if index >= len(result.samples) or not records:
        return None
    counted = result.diagnostics.get("measured_count")
    misfit = records[0].data_misfit
    caption = "" if counted is None or misfit is None else f"misfit {2 * misfit / float(counted):.2f}"
    title = "" if index else sampler_name(sampler)
    return Panel(on_scale(result.samples[index]), title, caption, records[0].flags, hidden=_hidden(result))


def _variance_panel(result: ImageResult) -> Panel | None:
    if result.std is None:
        return None
    return Panel(rms(result.std), caption=f"variance {np.mean(result.std**2):.2g}", hidden=_hidden(result))


def _has_std(result: ImageResult) -> bool:
    return result.std is not None and "mmse" in result.estimates


def _hidden(result: ImageResult) -> np.ndarray | None:
    return hidden_pixels(result.measurement, _first(result).shape)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _notes(task: FigureTask, of_images: Mapping[str, Results]) -> list[str]:
    return [*task.notes, *_remarks([r for of_image in of_images.values() for r in of_image.values()])]


def _remarks(results: Iterable[ImageResult]) -> list[str]:
    """Return what does not fit the images, after what conformal bounds promise of them."""
    records = [record for result in results for record in result.records]
    promises = dict.fromkeys(_promise(bounds) for record in records if (bounds := record.conformal) is not None)
    sentences = dict.fromkeys(warning for record in records for warning in record.warnings)
    return [*promises, *(f"Warning: {one_line(one, _LONGEST_LABEL)}" for one in islice(sentences, _MOST_WARNINGS))]


def _promise(bounds: ConformalBounds) -> str:
    level, share = f"{100 * LEVEL:g} %", f"{100 * bounds['pixel_share']:g} %"
    return (
        f"Conformal bounds at {level}, from {bounds['images']} calibration images: of images like these, {level} have"
        f" at least {share} of their pixel values within the half-width of the MMSE estimate, and {level} have a PSNR"
        " above the bound."
    )
