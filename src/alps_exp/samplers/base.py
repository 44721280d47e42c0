"""The one interface behind which all samplers stand."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal, TypeVar

from torch import Tensor
from tqdm import tqdm

from alps_exp.estimates import Estimates, PriorKind, chain_ids
from alps_exp.operators import LinearOperator
from alps_exp.priors.base import Prior
from alps_exp.randomness import KeyedNoise, NoiseSource
from alps_exp.samplers.batched_prior import BatchedPrior
from alps_exp.samplers.schedules import Schedule

T = TypeVar("T")


class Sampler(ABC):
    """Draws images that explain a measurement under a prior.

    Parameters
    ----------
    schedule
        Noise scales from large to small.
    prior_kind
        Which of the two priors of a request the sampler is handed: the ``energy`` or the ``teacher``.
    micro_batch
        Most images that the prior sees at once, but at least one sample of each image of the batch; bounds the
        memory, changes no result. None: all.
    """

    estimate: ClassVar[Literal["mmse", "map", "point"]] = "mmse"
    """What the mean over the samples is."""
    composable: ClassVar[bool] = False
    """Whether it samples a composed energy, whose curvature is not 1."""
    independent: ClassVar[bool] = True
    """Whether a sample is the same whichever others are drawn with it."""

    def __init__(self, schedule: Schedule, prior_kind: PriorKind, micro_batch: int | None) -> None:
        if micro_batch is not None and micro_batch < 1:
            raise ValueError(f"micro_batch must be at least 1, got {micro_batch}")
        self.schedule, self.prior_kind, self.micro_batch = schedule, prior_kind, micro_batch

    @property
    def last_scale(self) -> float:
        """The noise scale at which the sampler ends."""
        return self.schedule()[-1]

    def __call__(
        self,
        prior: Prior,
        operator: LinearOperator,
        y: Tensor,
        num_samples: int = 1,
        seed: int = 0,
        image_ids: Sequence[str] | None = None,
        first_sample: int = 0,
    ) -> Estimates:
        """Sample `num_samples` chains for every image of the measurement `y` (B, ...).

        The noise of a chain is keyed by (seed, image id, sample index); without `image_ids` the position in the
        batch is the id. Sample indices start at `first_sample`.

        Raises
        ------
        ValueError
            If the prior, the operator and the measurement do not fit each other, or there is no sample to draw.
        """
        ids = chain_ids(y, num_samples, image_ids)
        if not (self.composable or math.isclose(prior.curvature, 1)):
            raise ValueError(f"{type(self).__name__} does not sample a composed energy; ALPS, MAP and SMC do")
        noise = KeyedNoise(seed, ids, num_samples, first_sample)
        counted = BatchedPrior(prior, self.micro_batch)
        samples, diagnostics = self.sample(counted, operator, y, noise)
        forward, vjp = counted.calls.expand(len(y), 2).T / num_samples
        return Estimates(samples, forward, vjp, diagnostics)

    @abstractmethod
    def sample(
        self, prior: BatchedPrior, operator: LinearOperator, y: Tensor, noise: NoiseSource
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return samples (S, B, C, H, W) and diagnostics (S, B) by name.

        A diagnostic ``converged``, 1 or 0, is what the flag ``convergence`` of an estimate goes by.
        """

    def begin(self, operator: LinearOperator, y: Tensor, noise: NoiseSource) -> tuple[Tensor, Tensor]:
        """Return A^H y (B, C, H, W), an image by which draws are shaped, and chains (S, B, C, H, W) at the first scale.

        There they are noise alone: the images are lost in it.
        """
        image = operator.adjoint(y)
        return image, self.schedule()[0] * noise.draw(image)

    def progress(self, steps: Sequence[T]) -> Iterable[T]:
        """Return the steps with a progress bar, which shows on terminals only."""
        return tqdm(steps, desc=type(self).__name__, disable=None, leave=False)
