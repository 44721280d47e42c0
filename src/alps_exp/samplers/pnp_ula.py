"""Plug-and-play unadjusted Langevin dynamics (PnP-ULA)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from alps_exp.checks import positive
from alps_exp.estimates import PriorKind
from alps_exp.operators.per_image import inner_product, over_pixels
from alps_exp.randomness import torch_generator
from alps_exp.samplers.base import Sampler
from alps_exp.samplers.problem import Problem, State
from alps_exp.samplers.schedules import ExplicitSchedule, Schedule

POWER_ITERATIONS = 30


class PnPULA(Sampler):
    """The PnP-ULA sampler: Langevin steps with a denoiser's score at one small scale, drawn back to a box of images.

    A step at scale t is x + h (A^H (y - A x) / eta^2 + weight (D(x, t) - x) / t^2 + (Pi(x) - x) / lambda)
    + sqrt(2 h) z, where Pi clips to [-bound, bound] (complex images: each part). On a Gaussian posterior of covariance
    S within the box, the stationary covariance is S (I - (h / 2) S^(-1))^(-1). Chains need some (largest / smallest
    posterior variance) steps to forget their start; 100 steps do not get there.

    With 1 / lambda = 2 (weight / t^2 + L) and h = step_size / (weight / t^2 + L + 1 / lambda), L = ||A||^2 / eta^2,
    both follow the paper's conditions for convergence if the Lipschitz constant of D - I is 1.

    Departure from the paper: the scale may be lowered in steps before the last one, where all samples are drawn at.
    Samples are the last states of independent chains, not the states of a single one.

    Parameters
    ----------
    schedule
        Scales t, the last one being that of the paper (epsilon = t^2; published: 5/255 of images in [0, 1]); as many
        steps at each as it is repeated.
    step_size
        Share of the step that the Lipschitz constants allow; published: below 1/3.
    weight
        Power of the prior, alpha.
    bound
        Half width of the box; published: 3 for images in [-1, 1].
    prior_kind, micro_batch
        As in `Sampler`.

    Raises
    ------
    ValueError
        If step_size, weight or bound is not positive.

    References
    ----------
    Laumont, De Bortoli, Almansa, Delon, Durmus, Pereyra, "Bayesian imaging using plug & play priors: when Langevin
    meets Tweedie", SIAM J. Imaging Sci. 15, 2022 (arXiv 2103.04715), algorithm 1.
    """

    def __init__(
        self,
        schedule: Schedule = ExplicitSchedule((1.0, 0.3, 0.1, 0.04), (100, 100, 300, 10_000)),  # noqa: B008 - immutable
        step_size: float = 1 / 3,
        weight: float = 1.0,
        bound: float = 3.0,
        prior_kind: PriorKind = "teacher",
        micro_batch: int | None = None,
    ) -> None:
        super().__init__(schedule, prior_kind, micro_batch)
        self.step_size, self.weight = positive("step_size", step_size), positive("weight", weight)
        self.bound = positive("bound", bound)

    def chain(self, problem: Problem) -> Iterator[State]:
        """Yield the chains after every step; there are no diagnostics."""
        operator, y = problem.operator, problem.y
        lipschitz = over_pixels(_largest_eigenvalue(problem) / operator.noise_std**2)
        scales = self.schedule()
        x = self.project(problem.adjoint + scales[0] * problem.draw())
        for t in scales:
            of_prior = self.weight / t**2
            pull = 2 * (of_prior + lipschitz)
            h = self.step_size / (of_prior + lipschitz + pull)
            drift = of_prior * (problem.prior.denoise(x, t) - x) + pull * (self.project(x) - x)
            drift = drift + operator.adjoint(y - operator.forward(x)) / operator.noise_std**2
            x = x + h * drift + (2 * h).sqrt() * problem.draw()
            yield problem.state(x, t)

    def project(self, x: Tensor) -> Tensor:
        """Return the nearest image in the box."""
        if x.is_complex():
            return torch.complex(x.real.clamp(-self.bound, self.bound), x.imag.clamp(-self.bound, self.bound))
        return x.clamp(-self.bound, self.bound)


def _largest_eigenvalue(problem: Problem) -> Tensor:
    """Return the largest eigenvalue of A^H A by power iteration, (B,)."""
    like = problem.adjoint
    start = torch.randn(like.shape[1:], generator=torch_generator("power iteration"), dtype=like.dtype)
    x = start.to(like.device).expand_as(like)
    for _ in range(POWER_ITERATIONS):
        x = x / over_pixels(inner_product(x, x).sqrt())
        product = problem.operator.normal(x)
        value = inner_product(x, product)
        x = torch.where(over_pixels(value) > 0, product, x)
    return value
