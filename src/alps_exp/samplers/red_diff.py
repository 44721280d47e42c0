"""Regularization by a diffusion denoiser (RED-diff)."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from alps_exp.checks import positive
from alps_exp.estimates import PriorKind
from alps_exp.samplers.base import Sampler
from alps_exp.samplers.problem import Problem, State
from alps_exp.samplers.schedules import KarrasSchedule, Schedule

ADAM_BETAS = (0.9, 0.99)


class REDDiff(Sampler):
    """RED-diff: fits the mean mu of a narrow Gaussian to the posterior by Adam, with one denoiser call per step.

    The loss at scale t is 1/2 ||A mu - y||^2 + lambda_t <eps(x_t) - e, mu> with x_t = mu + t e and its predicted noise
    eps = (x_t - D(x_t)) / t held fixed. With the published weight lambda_t = lambda t (lambda times the inverse square
    root of the signal-to-noise ratio), its gradient is A^H (A mu - y) + lambda (mu - D(mu + t e)).

    Each chain gives a point estimate. Chains differ only by their noise e, and vary much less than posterior samples.
    Departures from the public code: chains start from A^H y instead of the pseudo-inverse, both loss terms are sums
    instead of means over their entries, and the scales are variance exploding.

    Parameters
    ----------
    schedule
        Scales, one step at each; published: the 1,000 of the DDPM schedule, in decreasing order.
    weight
        lambda (published: 0.25).
    learning_rate
        Learning rate of Adam, roughly the change of a pixel per step (published: 0.1 for images in [-1, 1]).
    prior_kind, micro_batch
        As in `Sampler`.

    Raises
    ------
    ValueError
        If weight or learning_rate is not positive.

    References
    ----------
    Mardani, Song, Kautz, Vahdat, "A variational perspective on solving inverse problems with diffusion models", ICLR
    2024 (arXiv 2305.04391), algorithm 1.
    """

    estimate = "point"

    def __init__(
        self,
        schedule: Schedule = KarrasSchedule(80.0, 0.01, 1000, 7.0),  # noqa: B008 - immutable
        weight: float = 0.25,
        learning_rate: float = 0.1,
        prior_kind: PriorKind = "teacher",
        micro_batch: int | None = None,
    ) -> None:
        super().__init__(schedule, prior_kind, micro_batch)
        self.weight, self.learning_rate = positive("weight", weight), positive("learning_rate", learning_rate)

    def chain(self, problem: Problem) -> Iterator[State]:
        """Yield the point estimates after every step; there are no diagnostics."""
        operator, image = problem.operator, problem.adjoint
        mu = image.expand(problem.noise.num_samples, *image.shape).clone()
        adam = torch.optim.Adam([mu], self.learning_rate, ADAM_BETAS)
        for t in self.schedule():
            d = problem.prior.denoise(mu + t * problem.draw(), t)
            mu.grad = operator.adjoint(operator.forward(mu) - problem.y) + self.weight * (mu - d)
            adam.step()
            yield problem.state(mu.clone(), t)  # Adam changes mu in place
