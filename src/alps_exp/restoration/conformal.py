"""Conformal bounds in a file: `alps calibrate` learns them from images with a truth, `alps restore` applies them.

They hold for images that are exchangeable with those of the calibration, restored in the same way. The first can only
be promised; the second is checked: operator with its noise, sampler, weights, precision and number of samples must
agree. Seeds need not, since the noise of an image is keyed by its id.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor

from alps_exp.errors import one_line
from alps_exp.estimates import Estimates
from alps_exp.evaluation.conformal import (
    LEVELS,
    PIXEL_SHARE,
    SCORES,
    conformal_factor,
    images_needed,
    predictions,
    relative_distances,
)
from alps_exp.files import checksum, file_hash, write_atomically
from alps_exp.foreign_files import read_bytes
from alps_exp.masks.file import mask_files
from alps_exp.priors import Prior
from alps_exp.priors.execution import precision_of
from alps_exp.reconstruction import Reconstruction
from alps_exp.representation import as_settings
from alps_exp.restoration.measuring import OperatorRule
from alps_exp.runs import DamagedFile, ImageResult, RunFolder
from alps_exp.runs.field_types import check_fields, is_finite
from alps_exp.runs.original import flat_settings
from alps_exp.runs.records import GUARANTEE, ConformalBounds
from alps_exp.samplers import Sampler

FILE = "conformal.json"
PREFIX = "conformal_"
"""Prefix of the scores among the diagnostics of a result."""

Settings = dict[str, object]


class _Written(TypedDict):
    """What the file says; ``factors`` are for readers, since they follow from the scores (null: infinite)."""

    guarantee: str
    task: str
    data: str | None
    checkpoints: dict[str, dict[str, str]]
    images: list[str]
    shapes: list[list[int]]
    settings: dict[str, object]
    levels: list[float]
    factors: dict[str, list[float | None]]
    scores: dict[str, list[float | None]]


@dataclass(frozen=True)
class ImageBounds:
    """The bounds of one image: the numbers of its record, the half-widths (L, C, H, W), and what to be warned of."""

    numbers: ConformalBounds
    half_width: Tensor
    warnings: Sequence[str]


@dataclass(frozen=True)
class Conformal:
    """Scores of calibration images, and what they are of.

    Attributes
    ----------
    path
        The file.
    scores
        The scores of the images by name, see `alps_exp.evaluation.conformal`.
    images
        Checksums of the images' truths.
    shapes
        Shapes (C, H, W) that the images have.
    settings
        How they were restored, see `settings_of`.
    """

    path: Path
    scores: Mapping[str, Sequence[float]]
    images: Sequence[str]
    shapes: Sequence[Sequence[int]]
    settings: Settings

    @cached_property
    def factors(self) -> dict[str, list[float]]:
        """The conformal factors of each score at `LEVELS`; infinite where there are too few images."""
        return {name: [conformal_factor(self.scores[name], level) for level in LEVELS] for name in SCORES}

    def check_settings(self, settings: Settings) -> None:
        """Raise ValueError if images that are restored with these settings are none that the bounds hold for."""
        there, here = flat_settings(self.settings), flat_settings(settings)
        differing = [key for key in {**there, **here} if there.get(key, _ABSENT) != here.get(key, _ABSENT)]
        if differing:
            key = differing[0]
            more = f" (and {len(differing) - 1} more)" if len(differing) > 1 else ""
            raise ValueError(
                f"{self.path} is of other settings: {key} is {_short(there.get(key))} there, {_short(here.get(key))} in"
                f" this request{more}: calibrate with the settings of this request"
            )

    def bounds(
        self, estimates: Estimates, truth: Tensor | None, crop: tuple[int, int] | None = None
    ) -> list[ImageBounds]:
        """Return the bounds of each image of a batch.

        Parameters
        ----------
        estimates
            Its samples.
        truth
            The images, if they are known; they are only compared with the bounds.
        crop
            As in `alps_exp.evaluation.image_metrics`.

        Raises
        ------
        ValueError
            If the images have a shape that none of the calibration has.
        """
        mean = estimates.mean
        if list(mean.shape[1:]) not in self.shapes:
            shapes = [" x ".join(map(str, shape)) for shape in (mean.shape[1:], *self.shapes)]
            raise ValueError(f"these images are {shapes[0]}, and those of {self.path} {', '.join(shapes[1:])}")
        predicted, std = predictions(estimates, crop), estimates.std
        factors = self.factors["pixels"]
        half_width = torch.stack([_times(std, factor) for factor in factors], 1)
        covered = None
        if truth is not None:
            distances = relative_distances(estimates, truth)
            covered = torch.stack([(distances <= factor).double().mean((1, 2, 3)) for factor in factors], 1).tolist()
        found = []
        for i, widths in enumerate(half_width):
            known = truth is not None and checksum(truth[i].cpu().numpy()) in self.images
            numbers: ConformalBounds = {
                "images": len(self.images),
                "levels": list(LEVELS),
                "pixel_share": PIXEL_SHARE,
                "half_width": [_finite(value) for value in widths.double().mean((1, 2, 3)).tolist()],
                "error": [_finite(float(predicted["error"][i]) * f) for f in self.factors["error"]],
                "psnr": [_finite(float(predicted["psnr"][i]) - f) for f in self.factors["psnr"]],
                "ssim": [_finite(float(predicted["ssim"][i]) - f) for f in self.factors["ssim"]],
                "covered": None if covered is None else covered[i],
            }
            found.append(ImageBounds(numbers, widths, [*self.shortages, *([_KNOWN] if known else [])]))
        return found

    @property
    def shortages(self) -> list[str]:
        """A sentence for each level at which the images are too few for a finite bound."""
        count = len(self.images)
        return [
            f"no conformal bound at {100 * level:g} %: {count} calibration images, and it takes {images_needed(level)}"
            for level in LEVELS
            if count < images_needed(level)
        ]


_ABSENT = "not given"
_KNOWN = "it is one of the calibration images, of which the conformal bounds say nothing"


def _times(std: Tensor, factor: float) -> Tensor:
    return factor * std if math.isfinite(factor) else torch.full_like(std, math.inf)


def _finite(value: float) -> float | None:
    """Return a bound as JSON has it: None if there is none."""
    return value if math.isfinite(value) else None


def _short(value: object) -> str:
    text = _ABSENT if value is None else str(value)
    return text if len(text) <= 100 else f"{text[:30]}..."


def settings_of(operator: OperatorRule, sampler: Sampler | Reconstruction, prior: Prior, num_samples: int) -> Settings:
    """Return all that the samples of an image depend on, beside the image and the seed, as plain settings."""
    of_sampler = as_settings(sampler)
    assert isinstance(of_sampler, dict)
    return {
        "operator": as_settings(operator),
        "masks": [file_hash(path) for path in mask_files(operator)],
        "sampler": {name: value for name, value in of_sampler.items() if name != "micro_batch"},
        "num_samples": num_samples,
        "prior": as_settings(prior),
        "weights": weights_hash(prior),
        "precision": precision_of(prior),
    }


def weights_hash(prior: Prior) -> str | None:
    """Return the SHA-256 of the numbers of a prior; None if it has none."""
    digest, state = hashlib.sha256(), prior.state_dict()
    for name in sorted(state):
        digest.update(f"{name} {state[name].dtype} {tuple(state[name].shape)}".encode())
        digest.update(state[name].detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest() if state else None


def write_conformal(folder: RunFolder, settings: Settings) -> Conformal:
    """Write the scores of the restored images of a calibration to `conformal.json` in its folder, and return them.

    Parameters
    ----------
    folder
        The run, whose results have their scores; images that failed are left out.
    settings
        See `settings_of`.
    """
    records = [record for record in folder.records() if record.estimate == "mmse" and record.status == "ok"]
    results = [folder.load_result(record.image_id) for record in records]
    truths = [result.truth for result in results if result.truth is not None]
    start = folder.starts()[-1]
    found = Conformal(
        path=folder.path / FILE,
        scores={name: [_score(result, name) for result in results] for name in SCORES},
        images=[checksum(truth) for truth in truths],
        shapes=sorted({truth.shape for truth in truths}),
        settings=settings,
    )
    written: _Written = {
        "guarantee": GUARANTEE,
        "task": records[0].task,
        "data": start.data,
        "checkpoints": start.checkpoints,
        "images": list(found.images),
        "shapes": [list(shape) for shape in found.shapes],
        "settings": settings,
        "levels": list(LEVELS),
        "factors": {name: [_finite(value) for value in values] for name, values in found.factors.items()},
        "scores": {name: [_finite(value) for value in values] for name, values in found.scores.items()},
    }
    write_atomically(found.path, (json.dumps(written, indent=2, allow_nan=False) + "\n").encode())
    return found


def _score(result: ImageResult, name: str) -> float:
    return float(result.diagnostics[f"{PREFIX}{name}"])


def read_conformal(path: str | Path) -> Conformal:
    """Read a file of `write_conformal`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DamagedFile
        If it holds no conformal bounds.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}, expected the {FILE} of a run of alps calibrate images=data")
    try:
        values = json.loads(read_bytes(path))
        if not isinstance(values, dict):
            raise TypeError(f"it is of type {type(values).__name__}, expected a dictionary")
        check_fields(values, _Written)
        if not is_finite(values):
            raise ValueError("a number is not finite")
        if missing := [name for name in SCORES if len(values["scores"].get(name, [])) != len(values["images"])]:
            raise ValueError(f"{missing[0]} has not one score for each image")
    except (TypeError, ValueError, RecursionError) as error:
        raise DamagedFile(f"{path} holds no conformal bounds: {one_line(error)}") from error
    scores = {name: [math.inf if v is None else v for v in values["scores"][name]] for name in SCORES}
    return Conformal(path, scores, values["images"], values["shapes"], values["settings"])
