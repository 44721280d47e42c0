"""The record of one estimate of one image: a line of ``records.jsonl``."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from typing import Literal, TypedDict

from alps_exp.checks import check_count
from alps_exp.errors import one_line
from alps_exp.runs.field_types import check_fields, is_finite

ESTIMATES = ("sample", "mmse", "map", "point")
_WEIGHED = ("weight", "effective_sample_size", "ancestors", "log_evidence", "log_evidence_std")
_METRICS = ("psnr", "ssim", "nmse", "lpips")
_SPREAD = ("spread", "error", "spread_noiseless", "error_noiseless")
_RESULTS = (*_WEIGHED, *_METRICS, *_SPREAD, "energy", "data_misfit")
LONGEST_ID = 1000  # characters


class VolumeShare(TypedDict):
    """What the estimate of a slice adds to the metrics of its volume, see `alps_exp.evaluation.slice_sums`."""

    name: str
    slices: int
    reference: Literal["RSS", "combined coils"]
    pixels: float
    squared_error: float
    squared_reference: float
    ssim: float


class ConformalBounds(TypedDict):
    """What is promised of an image that is exchangeable with the calibration images, see `GUARANTEE`.

    Attributes
    ----------
    images
        Number of calibration images.
    levels
        Levels, at each of which there is one of the following; None: no finite bound.
    pixel_share
        Share of the pixel values that the half-widths are for.
    half_width
        Mean over the pixels of the half-width of their intervals around the MMSE estimate.
    error
        Largest error of the MMSE estimate, see `Record.error`.
    psnr, ssim
        Smallest PSNR (dB) and SSIM of the MMSE estimate.
    covered
        Share of the pixel values of the truth that lie in their intervals; None if the truth is unknown.
    """

    images: int
    levels: list[float]
    pixel_share: float
    half_width: list[float | None]
    error: list[float | None]
    psnr: list[float | None]
    ssim: list[float | None]
    covered: list[float] | None


GUARANTEE = (
    "Each of these holds, with at least the probability of the level over calibration images and a new image that is"
    " exchangeable with them: at least 95 % of the pixel values of the new image lie within the half-width of its MMSE"
    " estimate; the error of this estimate is at most its bound; its PSNR is at least its bound; its SSIM is at least"
    " its bound. They need not hold all together."
)
"""What conformal bounds promise; it is about single images, not an average over the pixels of many."""


@dataclass
class Record:
    """One estimate of one image; the fields are listed in the order in which they are written.

    Numbers that do not exist are None.

    Attributes
    ----------
    image_id
        Id of the image in its dataset.
    task, operator
        Names of the task and of the forward operator.
    noise_std
        eta, a list for joint measurements; None if it comes with data that could not be read.
    sampler
        Name of the sampler or reconstruction.
    seed
        Seed of measurement noise and sampling noise.
    estimate
        ``sample``, ``mmse``, ``map`` or ``point``.
    sample_index
        Index of a sample, from 0; None for other estimates.
    num_samples
        Number of samples of the image.
    antithetic
        Whether they are antithetic pairs, see `alps_exp.estimates.Estimates`.
    psnr, ssim, nmse, lpips
        Metrics, see `alps_exp.evaluation.image_metrics` and `alps_exp.evaluation.lpips_numbers`; PSNR in dB.
    spread, error
        Spread of the samples and error of their mean, see `alps_exp.evaluation.spread_and_error`.
    spread_noiseless, error_noiseless
        The same without the noise that the last step drew, see `alps_exp.estimates.Estimates`.
    nfe_forward, nfe_vjp
        Network calls per posterior sample: forward passes and vector-Jacobian products.
    seconds
        Wall time of the image with all its samples.
    peak_memory_mib
        Most memory at a time, in MiB: on a GPU that of tensors while the batch of the image was sampled, on a CPU the
        resident set of the process since its start. In these two fields alone may two runs of one request differ.
    energy
        E / t^2 at the sampler's last scale t, for an energy prior. It does not compare images of separate modes, see
        `alps_exp.priors.Energy`.
    data_misfit
        ||A x - y||^2 / (2 eta^2).
    truth_misfit, truth_residual
        How well the truth explains the k-space that it was made from, see `alps_exp.mri.truth.TruthCheck`.
    prepared_noise_std
        Noise level that the data bring, where `noise_std` is another one, of the request.
    weight
        Weight of a sample, with sum 1 over those of an image; None: they are equal.
    effective_sample_size, ancestors
        Of samples with weights, see `alps_exp.estimates.Weights`.
    log_evidence, log_evidence_std
        Logarithm of the density p(y) of the measurement under the prior, and its standard error, from a sampler that
        estimates it.
    volume
        Of a slice: ``name`` of its volume, its number of ``slices``, the ``reference`` of its metrics
        (``RSS`` or ``combined coils``), and the sums of `alps_exp.evaluation.slice_sums`.
    regions
        The numbers of `alps_exp.evaluation.region_statistics` by the name of a region, and ``truth``, its mean in the
        truth.
    certificate
        Of a MAP estimate: ``decrement``, ``decrement_bound``, ``curvature``, ``curvature_error`` and ``basins``, see
        `alps_exp.samplers.MAP`; without those that are infinite.
    conformal
        Bounds of the MMSE estimate that hold with a stated probability, where the run was given conformal factors.
    warnings
        Sentences on settings that do not fit the image, see `alps_exp.evaluation.setting_warnings`.
    flags
        Flags of implausible estimates, see `alps_exp.evaluation.estimate_flags`; ``truth``: the truth does not explain
        its own k-space.
    status
        ``ok``, or the reason why there is no result.

    Raises
    ------
    TypeError
        If a value has the wrong type.
    ValueError
        If `estimate` is none of these, `num_samples` cannot be meant, `conformal` has not a bound for each level, or
        `image_id` has more than `LONGEST_ID` characters.
    """

    image_id: str
    task: str
    operator: str
    noise_std: float | list[float] | None
    sampler: str
    seed: int
    estimate: str
    sample_index: int | None = None
    num_samples: int = 1
    antithetic: bool = False
    psnr: float | None = None
    ssim: float | None = None
    nmse: float | None = None
    lpips: float | None = None
    spread: float | None = None
    error: float | None = None
    spread_noiseless: float | None = None
    error_noiseless: float | None = None
    nfe_forward: float | None = None
    nfe_vjp: float | None = None
    seconds: float | None = None
    peak_memory_mib: float | None = None
    energy: float | None = None
    data_misfit: float | None = None
    truth_misfit: float | None = None
    truth_residual: float | None = None
    prepared_noise_std: float | None = None
    weight: float | None = None
    effective_sample_size: float | None = None
    ancestors: int | None = None
    log_evidence: float | None = None
    log_evidence_std: float | None = None
    volume: VolumeShare | None = None
    regions: dict[str, dict[str, float]] | None = None
    certificate: dict[str, float] | None = None
    conformal: ConformalBounds | None = None
    warnings: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    status: str = "ok"

    def __post_init__(self) -> None:
        """Convert NumPy and PyTorch numbers to plain ones, as JSON needs them, and check all values."""
        for name, value in vars(self).items():
            if hasattr(value, "item"):
                setattr(self, name, value.item())
        check_fields(vars(self), Record)
        if self.estimate not in ESTIMATES:
            raise ValueError(f"unknown estimate {self.estimate!r}, expected one of {', '.join(ESTIMATES)}")
        if self.conformal is not None:
            _check_lengths(self.conformal)
        if len(self.image_id) > LONGEST_ID:
            raise ValueError(f"image_id has {len(self.image_id):,} characters, expected at most {LONGEST_ID:,}")
        check_count("num_samples", self.num_samples)

    @property
    def unit(self) -> str:
        """What varies from image to image: the volume of a slice, since its slices vary together, or the image."""
        return self.image_id if self.volume is None else self.volume["name"]

    def failed(self, reason: str) -> Record:
        """Return the record without results and with `reason`, in one line, as its status."""
        status = one_line(reason) or "unknown reason"
        failed = replace(
            self, flags=[], volume=None, regions=None, certificate=None, conformal=None, warnings=[], status=status
        )
        for name in _RESULTS:
            setattr(failed, name, None)
        return failed

    def checked(self) -> Record:
        """Return the record itself, or a failed one that names the first non-finite result."""
        for name in _RESULTS:
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                return self.failed(f"{name} is {value}")
        return self

    def to_json(self) -> str:
        """Return the record as one line of JSON, with floats in their shortest exact form.

        Raises
        ------
        ValueError
            If a number is not finite.
        """
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Record:
        """Read a line written by `to_json`.

        Raises
        ------
        ValueError
            If the line is not a record. The message does not quote the line, which a link may have taken from anywhere.
        """
        try:
            values = json.loads(line)
            if not isinstance(values, dict):
                raise ValueError(f"it is of type {type(values).__name__}, expected a dictionary")
            if not values.keys() <= cls.__dataclass_fields__.keys():
                raise ValueError("it has a field that no record of this version has")
            if wrong := [name for name, value in values.items() if not (value is None or is_finite(value))]:
                raise ValueError(f"{wrong[0]} is not a finite number")
            return cls(**values)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"not a record: {one_line(error)}") from error


def _check_lengths(bounds: ConformalBounds) -> None:
    """Raise ValueError if there is not one bound of each kind for each level."""
    of_levels = (bounds["half_width"], bounds["error"], bounds["psnr"], bounds["ssim"], bounds["covered"])
    if any(values is not None and len(values) != len(bounds["levels"]) for values in of_levels):
        raise ValueError("conformal has not one bound for each level")
