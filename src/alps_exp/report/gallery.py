"""The images of the page: pictures of truth, measurement and estimates, maps below these, and their records."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib import colormaps
from PIL import Image

from alps_exp.errors import one_line
from alps_exp.report.comparison import Row
from alps_exp.report.display import METRICS, TITLES
from alps_exp.report.groups import groups
from alps_exp.report.layout import is_number, noise_text
from alps_exp.report.names import estimate_name, flag_text
from alps_exp.report.pixels import ERROR, LARGEST, STD, Maps, maps_of, peak_of, visible, visible_measurement
from alps_exp.runs import ESTIMATES, DamagedFile, ImageResult, RunFolder

MOST_BYTES = 24_000_000
"""What the pictures of a page may have together; the first image is there in any case."""
_COLORS = {ERROR: "inferno", STD: "viridis"}
_FORMS = METRICS | {"spread": ".4g", "error": ".4g", "data_misfit": ".4g", "seconds": ".3g"}
_RECORD = {"seed": "Seed", "sample_index": "Sample"}
_RECORD |= {name: TITLES.get(name, name.replace("_", " ").capitalize()) for name in _FORMS}


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
        Kind, color bar and upper end of the scale of each kind of map; the lower end is 0.
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
    tasks: dict[tuple[str, str], dict[str, dict[str, pd.DataFrame]]] = {}
    for row, group in groups(frame, runs, seeds):
        of_task = tasks.setdefault((row["task"], noise_text(row["noise_std"])), {})
        of_task[row["sampler"]] = dict(iter(group[group["estimate"].isin(estimates)].groupby("image_id", sort=False)))
    ids = {task: list(dict.fromkeys(i for of_sampler in by.values() for i in of_sampler)) for task, by in tasks.items()}
    shown = {task: GalleryTask(*task, [], len(of_task)) for task, of_task in ids.items()}
    room = MOST_BYTES
    for task, image_id in _in_turn(ids, most):
        of_image = {sampler: by[image_id] for sampler, by in tasks[task].items() if image_id in by}
        image = _image(image_id, of_image, runs)
        if room < MOST_BYTES and image.bytes > room:
            break
        room -= image.bytes
        shown[task].images.append(image)
    return list(shown.values())


def _in_turn(ids: Mapping[tuple[str, str], Sequence[str]], most: int) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield the first image of each task, then the second of each, ...."""
    for position in range(most):
        yield from ((task, of_task[position]) for task, of_task in ids.items() if position < len(of_task))


def _image(image_id: str, of_image: Mapping[str, pd.DataFrame], runs: Mapping[str, RunFolder]) -> GalleryImage:
    """Return an image from its records by sampler."""
    results: dict[str, ImageResult] = {}
    missing = {}
    for sampler, records in of_image.items():
        try:
            results[sampler] = runs[records["run"].iloc[0]].load_result(image_id)
        except FileNotFoundError:
            missing[sampler] = "the file of the image is missing"
        except DamagedFile as error:
            missing[sampler] = one_line(error)
    first = next((result for result in results.values() if result.truth is not None), None)
    first = first or next(iter(results.values()), None)
    peak = 1.0 if first is None else peak_of(first)
    maps: dict[tuple[str, str], Maps] = {
        (sampler, name): maps_of(result, name) for sampler, result in results.items() for name in result.estimates
    }
    tops = {kind: _top([of_estimate[kind] for of_estimate in maps.values() if kind in of_estimate]) for kind in _COLORS}
    pictures = [] if first is None else _given(first, peak)
    for sampler, records in of_image.items():
        for name in (name for name in ESTIMATES if name in set(records["estimate"])):
            record = _first(records, name)
            remark = missing.get(sampler, "")
            source, of_estimate = "", {}
            if sampler in results and name in results[sampler].estimates:
                source = _png(visible(results[sampler].estimates[name], peak))
                of_estimate = {k: _colored(m / tops[k], _COLORS[k]) for k, m in maps[sampler, name].items()}
                remark = "" if first is None else _unlike(results[sampler], first)
            caption = "; ".join(filter(None, [_decibels(record), _failure(record), remark]))
            flags = flag_text(record["flags"])
            pictures.append(Picture(estimate_name(sampler, name), source, name, caption, flags, of_estimate))
    used = {kind for picture in pictures for kind in picture.maps}
    bar = np.linspace(0, 1, 256)[None]
    scales = [(kind, _colored(bar, _COLORS[kind]), f"{tops[kind]:.3g}") for kind in _COLORS if kind in used]
    everything = pd.concat(of_image.values(), keys=of_image)
    failed = ["failed"] if (everything["status"] != "ok").any() or missing else []
    flagged = flag_text(sorted(set(everything["flags"].explode().dropna())))
    return GalleryImage(
        image_id, pictures, scales, _records(everything), "; ".join([*failed, *filter(None, [flagged])])
    )


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


def _top(maps: Sequence[np.ndarray]) -> float:
    """Return the upper end of a scale for maps of a kind."""
    return float(np.quantile(np.concatenate([one.ravel() for one in maps]), LARGEST)) or 1.0 if maps else 1.0


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
    return _uri(Image.fromarray(np.round(255 * pixels).astype(np.uint8)))


def _colored(values: np.ndarray, colors: str) -> str:
    """Return a map in [0, 1] in the colors of a color map of matplotlib."""
    picture = Image.fromarray(np.round(255 * values.clip(0, 1)).astype(np.uint8))
    picture.putpalette((255 * colormaps[colors](np.arange(256))[:, :3]).round().astype(np.uint8).tobytes())
    return _uri(picture)


def _uri(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
