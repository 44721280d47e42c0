"""The common interface of all samplers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

from torch import Tensor

from alps_exp.estimates import EstimateKind, Estimates, PriorKind, chain_ids
from alps_exp.operators import LinearOperator
from alps_exp.priors.base import Prior
from alps_exp.randomness import KeyedNoise
from alps_exp.representation import ShowsItsArguments
from alps_exp.samplers.batched_prior import BatchedPrior
from alps_exp.samplers.problem import Callback, Problem, State
from alps_exp.samplers.schedules import Schedule


class Sampler(ShowsItsArguments, ABC):
    """Base class of samplers, which draw images from the posterior given a measurement and a prior.

    Parameters
    ----------
    schedule
        Noise scales in decreasing order.
    prior_kind
        The prior that the sampler uses: ``energy`` or ``teacher``.
    micro_batch
        Maximum number of images in a call of the prior (never less than one sample of every image of the batch).
        Limits memory without changing results. None: no limit.

    Raises
    ------
    ValueError
        If micro_batch < 1.
    """

    estimate: ClassVar[EstimateKind] = "mmse"
    composable: ClassVar[bool] = False
    """Whether the sampler supports composed energies, whose curvature is not 1."""
    independent: ClassVar[bool] = True
    """Whether a sample does not depend on which other samples are drawn with it."""
    takes_pairs: ClassVar[bool] = True
    """Whether its chains can run in antithetic pairs: they are driven by normal noise alone."""

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
        *,
        first_sample: int = 0,
        antithetic: bool = False,
        callbacks: Sequence[Callback] = (),
    ) -> Estimates:
        """Sample `num_samples` chains for every image of the measurement `y` (B, ...).

        The noise of a chain is keyed by (seed, image id, sample index). Without `image_ids`, positions in the batch
        serve as ids. Sample indices start at `first_sample`. `antithetic` chains run in pairs with opposite noise, see
        `KeyedNoise`: each has the same law, and their mean a much smaller error. Each of the `callbacks` is called with
        the `State` of the chains after every step.

        Raises
        ------
        ValueError
            If the prior, the operator and the measurement are incompatible, num_samples < 1, or the sampler takes no
            antithetic pairs.
        """
        ids = chain_ids(y, num_samples, image_ids)
        if not (self.composable or math.isclose(prior.curvature, 1)):
            raise ValueError(f"{type(self).__name__} does not sample a composed energy; ALPS, MALA, MAP and ULA do")
        if antithetic:
            self.check_pairs()
        noise = KeyedNoise(seed, ids, num_samples, first_sample, antithetic)
        problem = Problem(BatchedPrior(prior, self.micro_batch), operator, y, noise, ids)
        last = self.sample(problem, callbacks)
        forward, vjp = problem.prior.calls.expand(len(y), 2).T / num_samples
        return Estimates(last.x, forward, vjp, last.diagnostics, antithetic, last.weights, last.noiseless)

    def check_pairs(self) -> None:
        """Raise ValueError if the chains cannot run in antithetic pairs."""
        if not self.takes_pairs:
            raise ValueError(f"the chains of {type(self).__name__} are no antithetic pairs: give antithetic=false")

    def sample(self, problem: Problem, callbacks: Sequence[Callback] = ()) -> State:
        """Run the chains to their end and return their last state, which has the samples and the diagnostics."""
        for state in self.chain(problem):
            for callback in callbacks:
                callback(state)
        return state

    @property
    def num_steps(self) -> int:
        """The number of states of a `chain`; where it depends on the images, the largest."""
        return len(self.schedule())

    @abstractmethod
    def chain(self, problem: Problem) -> Iterator[State]:
        """Yield the state of the chains after every step; the last one has the samples and the diagnostics."""
