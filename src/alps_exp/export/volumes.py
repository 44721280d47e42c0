"""The images of a run as volumes: which slices there are, and what they hold from the first to the last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from alps_exp.export.quantities import Array, quantities
from alps_exp.runs import DamagedFile, ImageResult, RunFolder, read_source
from alps_exp.source import SourceSlice

MOST_SLICES = 2_000


@dataclass
class Volume:
    """The restored slices of a volume, or, as its only slice, an image that is in none.

    Attributes
    ----------
    name : str
        Name of the volume, or id of the image.
    numbers : list of int
        Numbers of the slices that it should have, ascending.
    source : SourceSlice or None
        What one of its slices says of all; None for an image that is in none.
    results : dict of ImageResult
        Those of the restored slices by number.
    quantities : dict of dict of Array
        `alps_exp.export.quantities` of them.
    """

    name: str
    numbers: list[int]
    source: SourceSlice | None
    results: dict[int, ImageResult]

    def __post_init__(self) -> None:
        self.quantities = {number: quantities(result) for number, result in self.results.items()}

    @property
    def missing(self) -> list[int]:
        """Slices that it should have, and that are not restored."""
        return [number for number in self.numbers if number not in self.results]

    @property
    def empty(self) -> list[int]:
        """Slices between the first and the last that it need not have."""
        there = set(self.numbers)
        return [number for number in self._all_numbers() if number not in there]

    def largest(self, quantity: str) -> float:
        """Return the largest value of a quantity in all restored slices."""
        return max(float(found[quantity].max()) for found in self.quantities.values())

    def stacked(self, quantity: str) -> list[Array]:
        """Return a quantity of all slices from the first to the last, NaN where there is none.

        Raises
        ------
        ValueError
            If they are far too many, or differ in size.
        """
        there = {number: found[quantity] for number, found in self.quantities.items()}
        if len({array.shape for array in there.values()}) > 1:
            raise ValueError(f"the slices of {self.name} differ in size: take another format than nii")
        nothing = np.full_like(next(iter(there.values())), np.nan)
        return [there.get(number, nothing) for number in self._all_numbers()]

    def _all_numbers(self) -> range:
        first, last = self.numbers[0], self.numbers[-1]
        if last - first >= MOST_SLICES:
            raise ValueError(f"{self.name} has slices from {first} to {last}, expected at most {MOST_SLICES:,}")
        return range(first, last + 1)


def volumes_of(run: RunFolder, failed: dict[str, str]) -> Iterator[Volume]:
    """Yield the volumes of a run, in the order of its images, and put what it lacks of them into `failed`.

    Results are read volume by volume. One without a restored slice is yielded too, as far as the run knows of it.

    Parameters
    ----------
    run
        Folder of the run.
    failed
        Gets the reason for each image that is not restored, or whose file is damaged, by its id.
    """
    groups: dict[tuple[str, bool], dict[str, SourceSlice | None]] = {}
    for image_id in dict.fromkeys(record.image_id for record in run.records()):
        try:
            source = read_source(run.image_path(image_id))
        except (DamagedFile, FileNotFoundError) as error:
            failed[image_id] = str(error)
            continue
        key = (source.volume, True) if source else (image_id, False)
        groups.setdefault(key, {})[image_id] = source
    for (name, _), group in groups.items():
        sources = [source for source in group.values() if source]
        results: dict[int, ImageResult] = {}
        for image_id, source in group.items():
            if (result := _whole(run, image_id, failed)) is not None:
                results[source.number if source else 0] = result
        if sources or results:
            numbers = sorted({number for source in sources for number in source.numbers}) or [0]
            yield Volume(name, numbers, next(iter(sources), None), results)


def _whole(run: RunFolder, image_id: str, failed: dict[str, str]) -> ImageResult | None:
    """Return the result of an image; None, with the reason in `failed`, if it failed or is damaged."""
    try:
        result = run.load_result(image_id)
    except DamagedFile as error:
        failed[image_id] = str(error)
        return None
    reasons = [record.status for record in result.records if record.status != "ok"]
    if reasons:
        failed[image_id] = reasons[0]
    return None if reasons else result
