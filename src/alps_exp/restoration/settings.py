"""Settings of a restoration, and the names that its records carry."""

from __future__ import annotations

from dataclasses import dataclass

from alps_exp.evaluation import LPIPS


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

    Raises
    ------
    ValueError
        If num_samples is below 1.
    """

    labels: Labels
    num_samples: int
    seed: int
    save_samples: bool = False
    lpips: LPIPS | None = None

    def __post_init__(self) -> None:
        if self.num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {self.num_samples}")
