"""Decides which rows of a table are comparable: those over the same images with the same measurements.

Rows with the same image ids are comparable if the configs of their runs produce the same images and measurements
(`data.test`, `operator`; if `alps calibrate` drew the images, also the prior and the drawing), and if the data did not
change in between (the hash of the dataset's index in `provenance.json`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from json import dumps, loads
from typing import Any

from alps_exp.runs import RunFolder, request

Row = dict[str, Any]
"""What is known of the runs of a sampler by name: a row of a table, or a report with its nested numbers."""
_PLACE = "data.test.path"
# Selection, caching and solver accuracy do not change the image or measurement that belongs to an id.
_NEUTRAL = {_PLACE, "data.test.indices", "data.test.count", "data.test.cache_bytes"}
_NEUTRAL |= {"operator.tolerance", "operator.max_iterations"}


@dataclass(frozen=True)
class Images:
    """The images behind the means of a row.

    `ids`: the images; `judged`: those with a ground truth; `settings`: the part of the config that defines images and
    measurements; `hashes`: the data hash of each run; `asked`: the number of images that each run was to restore;
    `place`: path of the data.
    """

    settings: frozenset[tuple[str, str]]
    hashes: frozenset[str | None]
    asked: frozenset[int | None] = field(compare=False)
    place: str | None = field(compare=False)
    ids: frozenset[str] = frozenset()
    judged: frozenset[str] = frozenset()


def images_of(runs: Sequence[RunFolder]) -> Images:
    """Return the images, without their `ids`, of runs whose configs differ only in the seed."""
    config = settings_of(runs[0])
    settings = {key: value for key, value in config.items() if key.startswith(("data.test.", "operator."))}
    if draws_images(config):
        settings |= _drawn(config)
    starts = [run.known_starts()[0] for run in runs]
    return Images(
        settings=frozenset((key, _plain(value)) for key, value in settings.items() if key not in _NEUTRAL),
        hashes=frozenset(of_run[-1].data if of_run else None for of_run in starts),
        asked=frozenset(of_run[-1].num_images if of_run else None for of_run in starts),
        place=config.get(_PLACE),
    )


def settings_of(run: RunFolder) -> dict[str, str]:
    """Return the request of a run as JSON texts by dotted key."""
    return _flat(request(run.load_config(), "restore"))


def _plain(text: str) -> str:
    """Return the JSON text of a setting with integral numbers as integers, since 2.0 means the same as 2."""

    def number(digits: str) -> float:
        value = float(digits)
        return int(value) if value.is_integer() else value

    return dumps(loads(text, parse_float=number))


def draws_images(config: Mapping[str, str]) -> bool:
    """Return whether a run drew its images itself from its seed, as `alps calibrate` does by default."""
    return config.get("images") == '"prior"'


def _flat(node: object, prefix: str = "") -> dict[str, str]:
    if isinstance(node, dict):
        return {k: v for key, child in node.items() for k, v in _flat(child, f"{prefix}{key}.").items()}
    return {prefix.rstrip("."): dumps(node, default=str)}


def _drawn(config: Mapping[str, str]) -> dict[str, str]:
    """Return the settings on which images drawn by `alps calibrate` depend: the prior and the drawing."""
    kind = config.get("sampler.prior_kind", '"energy"').strip('"')
    prior = {f"prior{key.removeprefix(kind)}": value for key, value in config.items() if key.startswith(f"{kind}.")}
    return prior | {key: value for key, value in config.items() if key.startswith("generator.") or key == "seed"}


def compared(rows: Sequence[Row], images: Sequence[Images]) -> list[tuple[bool, str]]:
    """Return for each row whether its images are those of its task (and noise), and if not, how they differ.

    The images of a task are those of which the most samplers have a complete row; of several such sets, the largest.
    Where two sets are alike in both, the task has none, and their rows say how they differ from each other.
    """
    tasks = defaultdict(list)
    for position, row in enumerate(rows):
        tasks[row["task"], str(row["noise_std"])].append(position)
    found: dict[int, tuple[bool, str]] = {}
    for members in tasks.values():
        leading = _leading([rows[i] for i in members], [images[i] for i in members])
        for i in members:
            others = [j for j in members if images[j] in leading and images[j] != images[i]]
            remark = ""
            if others and images[i].ids:  # a row without any image says why already
                remark = _difference(images[i], images[others[0]], rows[others[0]]["sampler"])
            found[i] = (leading == {images[i]}, remark)
    return [found[i] for i in range(len(rows))]


def _leading(rows: Sequence[Row], images: Sequence[Images]) -> set[Images]:
    samplers: defaultdict[Images, set[str]] = defaultdict(set)
    for row, of_row in zip(rows, images, strict=True):
        samplers[of_row] |= set() if row["incomplete"] else {row["sampler"]}
    ranks = {of_row: (len(names), len(of_row.ids)) for of_row, names in samplers.items()}
    most = max(ranks.values())
    return {of_row for of_row, rank in ranks.items() if rank == most}


def _difference(mine: Images, theirs: Images, name: str) -> str:
    if what := unlike(mine, theirs):
        return f"other {what} than {name}"
    if mine.ids != theirs.ids:
        shared, all_of_them = len(mine.ids & theirs.ids), len(mine.ids | theirs.ids)
        return f"other images than {name} ({shared} of {all_of_them} in common)"
    return f"other {'truths' if mine.judged != theirs.judged else 'selection of the data'} than {name}"


def unlike(mine: Images, theirs: Images) -> str:
    """Return the difference that makes the common ids of two rows different images; empty if none is known."""
    if keys := sorted({key for key, _ in mine.settings ^ theirs.settings}):
        return ", ".join([*islice(keys, 2), *(["..."] if len(keys) > 2 else [])])
    same_asked = mine.ids == theirs.ids and mine.asked == theirs.asked
    return "data" if mine.hashes != theirs.hashes and (same_asked or mine.place != theirs.place) else ""
