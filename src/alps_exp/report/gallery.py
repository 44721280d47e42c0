"""The images of the page: pictures of truth, measurement and estimates, maps below these, and their records."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import pandas as pd
from matplotlib import colormaps
from PIL import Image

from alps_exp.errors import one_line
from alps_exp.pictures import visible
from alps_exp.report.comparison import Row
from alps_exp.report.display import METRICS, TITLES, noise_texts
from alps_exp.report.groups import groups
from alps_exp.report.layout import is_number
from alps_exp.report.names import estimate_name, flag_text
from alps_exp.report.pixels import LARGEST, Maps, maps_of, peak_of, visible_measurement
from alps_exp.report.scales import MAP_COLORS, quantile_of, unit_of
from alps_exp.runs import ESTIMATES, DamagedFile, ImageResult, RunFolder

LARGEST_SIDE = 512
"""Pixels that a side of a picture has at most; larger ones are reduced."""
MOST_BYTES = 24_000_000
"""What the pictures of a page may have together; the first image is there in any case."""
_FORMS = METRICS | {"spread": ".4g", "error": ".4g", "data_misfit": ".4g", "seconds": ".3g"}
_RECORD = {"seed": "Seed", "sample_index": "Sample"}
_RECORD |= {name: TITLES.get(name, name.replace("_", " ").capitalize()) for name in _FORMS}
_Task: TypeAlias = tuple[str, object]
"""Name and noise level of a task."""


@dataclass(frozen=True)
class Picture:
    """A picture with its name and what is to be known of it.

    Attributes
    ----------
    name
        Its name.
    source
        A data URI, empty if there is no picture.
    kind
        The kind of an estimate; empty for what was given.
    caption, flags
        Its PSNR and remarks; its flags.
    maps
        Maps of its error and standard deviation as data URIs, by kind.
    """

    name: str
    source: str
    kind: str = ""
    caption: str = ""
    flags: str = ""
    maps: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class GalleryImage:
    """An image of a task.

    Attributes
    ----------
    image_id
        Its id.
    pictures
        Truth, measurement, and the estimates, these with maps of error and standard deviation.
    scales
        Kind with its unit, color bar and upper end of the scale of each kind of map; the lower end is 0.
    records
        The records as texts, by the titles of their columns.
    flags
        The flags of all of its estimates, and whether one failed.
    """

    image_id: str
    pictures: Sequence[Picture]
    scales: Sequence[tuple[str, str, str]]
    records: pd.DataFrame
    flags: str

    @property
    def bytes(self) -> int:
        """How much its pictures have together."""
        sources = [source for picture in self.pictures for source in (picture.source, *picture.maps.values())]
        return sum(map(len, sources))


@dataclass
class GalleryTask:
    """The images of a task and noise level that are shown, and how many there are."""

    name: str
    noise: str
    images: list[GalleryImage]
    there: int


def gallery_tasks(
    runs: Mapping[str, RunFolder], frame: pd.DataFrame, seeds: str, estimates: Sequence[str], most: int
) -> list[GalleryTask]:
    """Return the first images of each task, as many as the page holds.

    Of several seeds, the pictures are those of the first, the records those of all.

    Parameters
    ----------
    runs, frame
        Runs and their records, see `alps_exp.report.read_runs`.
    seeds
        As in `alps_exp.report.build_table`.
    estimates
        Kinds of estimates to show.
    most
        Images of each task, at most.
    """
    tasks: dict[_Task, dict[str, dict[str, pd.DataFrame]]] = {}
    for row, group in groups(frame, runs, seeds):
        of_task = tasks.setdefault((row["task"], row["noise_std"]), {})
        shown = group[group["estimate"].isin(estimates)].sort_values("seed", kind="stable")
        of_task[row["sampler"]] = dict(iter(shown.groupby("image_id", sort=False)))
    ids = {task: list(dict.fromkeys(i for of_sampler in by.values() for i in of_sampler)) for task, by in tasks.items()}
    levels = noise_texts(pd.Series([noise_std for _, noise_std in ids], dtype=object))
    found = {
        task: GalleryTask(task[0], level, [], len(of_task))
        for (task, of_task), level in zip(ids.items(), levels, strict=True)
    }
    room = MOST_BYTES
    for task, image_id in _in_turn(ids, most):
        of_image = {sampler: by[image_id] for sampler, by in tasks[task].items() if image_id in by}
        image = _image(image_id, of_image, runs)
        if room < MOST_BYTES and image.bytes > room:
            break
        room -= image.bytes
        found[task].images.append(image)
    return list(found.values())


def _in_turn(ids: Mapping[_Task, Sequence[str]], most: int) -> Iterator[tuple[_Task, str]]:
    """Yield the first image of each task, then the second of each, ...."""
    for position in range(most):
        yield from ((task, of_task[position]) for task, of_task in ids.items() if position < len(of_task))


def _image(image_id: str, of_image: Mapping[str, pd.DataFrame], runs: Mapping[str, RunFolder]) -> GalleryImage:
    """Return an image from its records by sampler."""
    results, missing = _load(image_id, of_image, runs)
    first = next((r for r in results.values() if r.truth is not None), next(iter(results.values()), None))
    scales = _Scales.of(list(results.values()), 1.0 if first is None else peak_of(first))
    pictures = [] if first is None else _given(first, scales.peak)
    for sampler, records in of_image.items():
        for name in (name for name in ESTIMATES if name in set(records["estimate"])):
            record, result = _first(records, name), results.get(sampler)
            remarks = [_decibels(record), _failure(record), missing.get(sampler, "")]
            source = ""
            maps: dict[str, str] = {}
            if result is not None and first is not None and name in result.estimates:
                source, maps = _drawn(result, name, scales)
                remarks += ["" if source else "has pixels that are not finite", _unlike(result, first)]
            caption, flags = "; ".join(filter(None, remarks)), flag_text(record["flags"])
            pictures.append(Picture(estimate_name(sampler, name), source, name, caption, flags, maps))
    everything = pd.concat(of_image.values(), keys=of_image)
    failed = "failed" if missing or (everything["status"] != "ok").any() else ""
    flagged = flag_text(sorted(set(everything["flags"].explode().dropna())))
    shown = "; ".join(filter(None, [failed, flagged]))
    known = [estimate for result in results.values() for estimate in result.estimates.values()]
    bars = scales.bars(unit_of(known[0])) if known else []
    return GalleryImage(image_id, pictures, bars, _records(everything), shown)


def _load(
    image_id: str, of_image: Mapping[str, pd.DataFrame], runs: Mapping[str, RunFolder]
) -> tuple[dict[str, ImageResult], dict[str, str]]:
    """Return the results of an image by sampler, and why others have none."""
    results, missing = {}, {}
    for sampler, records in of_image.items():
        try:
            results[sampler] = runs[records["run"].iloc[0]].load_result(image_id)
        except FileNotFoundError:
            missing[sampler] = "the file of the image is missing"
        except DamagedFile as error:
            missing[sampler] = one_line(error)
    return results, missing


@dataclass(frozen=True)
class _Scales:
    """Scales of an image: the magnitude that is white, and the upper ends of those kinds of maps that there are."""

    peak: float
    tops: Mapping[str, float]

    @classmethod
    def of(cls, results: Sequence[ImageResult], peak: float) -> _Scales:
        maps = [_finite_maps(result, name) for result in results for name in result.estimates]
        values = {kind: [each[kind] for each in maps if kind in each] for kind in MAP_COLORS}
        return cls(peak, {kind: quantile_of(each, LARGEST) or 1.0 for kind, each in values.items() if each})

    def bars(self, unit: str) -> list[tuple[str, str, str]]:
        """Return kind with its unit, color bar and upper end of each."""
        bar = np.linspace(0, 1, 256)[None]
        return [(f"{kind} ({unit})", _colored(bar, MAP_COLORS[kind]), f"{top:.3g}") for kind, top in self.tops.items()]


def _finite_maps(result: ImageResult, name: str) -> Maps:
    return {kind: values for kind, values in maps_of(result, name).items() if np.isfinite(values).all()}


def _drawn(result: ImageResult, name: str, scales: _Scales) -> tuple[str, dict[str, str]]:
    """Return the picture of an estimate, empty if it is not finite, and those of its maps."""
    estimate = result.estimates[name]
    source = _png(visible(estimate, scales.peak)) if np.isfinite(estimate).all() else ""
    maps = _finite_maps(result, name)
    return source, {kind: _colored(values / scales.tops[kind], MAP_COLORS[kind]) for kind, values in maps.items()}


def _given(result: ImageResult, peak: float) -> list[Picture]:
    """Return the pictures of truth and measurement, as far as there are any."""
    given = [] if result.truth is None else [Picture("Truth", _png(visible(result.truth, peak)))]
    if (measured := visible_measurement(result, peak)) is not None:
        given.append(Picture(measured[0], _png(measured[1])))
    return given


def _first(records: pd.DataFrame, estimate: str) -> Row:
    """Return the record of an estimate of the first seed, of samples the first one."""
    mine = records[records["estimate"] == estimate]
    row: Row = mine.sort_values("sample_index", kind="stable", na_position="first").iloc[0].to_dict()
    return row


def _decibels(record: Row) -> str:
    return f"{record['psnr']:.2f} dB" if is_number(record["psnr"]) else ""


def _failure(record: Row) -> str:
    return "" if record["status"] == "ok" else f"failed: {record['status']}"


def _unlike(result: ImageResult, first: ImageResult) -> str:
    """Say whether a result is of another truth or measurement than that which is shown."""
    for what, mine, shown in (
        ("truth", result.truth, first.truth),
        ("measurement", result.measurement, first.measurement),
    ):
        if not np.array_equal(np.zeros(0) if mine is None else mine, np.zeros(0) if shown is None else shown):
            return f"of another {what} than the one shown"
    return ""


def _records(records: pd.DataFrame) -> pd.DataFrame:
    """Return records as texts, without columns that say nothing."""
    texts = {"Sampler": records.index.get_level_values(0), "Estimate": records["estimate"]}
    for name, title in _RECORD.items():
        form = _FORMS.get(name, ".0f")
        texts[title] = [format(value, form) if is_number(value) else "-" for value in records[name]]
    calls = zip(records["nfe_forward"], records["nfe_vjp"], strict=True)
    texts["Calls"] = ["-" if pd.isna(forward) else f"{forward:.0f}+{vjp:.0f}" for forward, vjp in calls]
    texts["Flags"] = records["flags"].map(lambda flags: flag_text(flags) or "-")
    texts["Warnings"] = records["warnings"].map(lambda sentences: "; ".join(sentences) or "-")
    texts["Status"] = records["status"]
    shown = pd.DataFrame(texts, dtype=str)
    return shown.loc[:, ~(shown == "-").all()]


def _png(pixels: np.ndarray) -> str:
    """Return a picture in [0, 1], gray or RGB, as the data URI of a PNG file."""
    return _uri(_reduced(Image.fromarray(np.round(255 * pixels).astype(np.uint8))))


def _colored(values: np.ndarray, colors: str) -> str:
    """Return a map in [0, 1] in the colors of a color map of matplotlib."""
    picture = Image.fromarray(np.round(255 * values.clip(0, 1)).astype(np.uint8))
    picture = _reduced(picture)
    picture.putpalette((255 * colormaps[colors](np.arange(256))[:, :3]).round().astype(np.uint8).tobytes())
    return _uri(picture)


def _reduced(picture: Image.Image) -> Image.Image:
    """Return a picture of at most `LARGEST_SIDE`, each of its pixels the mean of a square."""
    return picture.reduce(-(-max(picture.size) // LARGEST_SIDE))


def _uri(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
