"""Settings of a restoration, and the names that its records carry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from alps_exp.checks import check_count
from alps_exp.evaluation import LPIPS, samples_needed
from alps_exp.restoration.conformal import Conformal
from alps_exp.restoration.measuring import Regions
from alps_exp.samplers.problem import Callback


@dataclass(frozen=True)
class Labels:
    """Names that every record of a run carries.

    Attributes
    ----------
    task
        Name of the task; reports compare the runs of one task and noise level.
    operator
        Name of the forward operator.
    sampler
        Name of the sampler or reconstruction.
    """

    task: str
    operator: str
    sampler: str


@dataclass(frozen=True)
class RestorationSettings:
    """What a restoration needs to know beside prior, operator and sampler.

    Attributes
    ----------
    labels
        Names in the records.
    num_samples
        Number of posterior samples of an image; MAP and point estimates always have one.
    seed
        Seed of measurement noise and sampling noise.
    save_samples
        Whether results hold the samples themselves, in addition to their mean and standard deviation.
    lpips
        Model of the perceptual distance (LPIPS) of RGB images; None: not computed.
    interval
        Level of the central intervals of pixels and regions; None: there are none.
    regions
        Regions whose numbers are in the records.
    antithetic
        Whether samples are drawn in pairs of opposite noise, see `alps_exp.randomness.KeyedNoise`. ``auto``: if there
        are enough for a standard deviation, the sampler can, and no interval or bound needs independent ones.
    callbacks
        Functions that the sampler calls with its `State` after every step.
    conformal
        Conformal factors of this sampler, operator and prior; None: there are no bounds.

    Raises
    ------
    ValueError
        If num_samples is below 1, or too small for the interval, or antithetic samples are to give one, or
        conformal bounds.
    """

    labels: Labels
    num_samples: int
    seed: int
    save_samples: bool = False
    lpips: LPIPS | None = None
    interval: float | None = None
    regions: Regions = field(default_factory=dict)
    antithetic: bool | Literal["auto"] = False
    callbacks: Sequence[Callback] = ()
    conformal: Conformal | None = None

    def __post_init__(self) -> None:
        check_count("num_samples", self.num_samples)
        if self.interval is not None and not 0 < self.interval < 1:
            raise ValueError(f"interval must lie between 0 and 1, got {self.interval}")
        if self.interval is not None and self.antithetic is True:
            raise ValueError("an interval needs independent samples: give antithetic=false")
        if self.conformal is not None and self.antithetic is True:
            raise ValueError("conformal bounds were calibrated with independent samples: give antithetic=false")
        if self.interval is not None and self.num_samples < (needed := samples_needed(self.interval)):
            raise ValueError(f"an interval of {self.interval:g} needs num_samples={needed}, got {self.num_samples}")
