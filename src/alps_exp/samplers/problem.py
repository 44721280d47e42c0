"""The posterior that a sampler is to sample, and the state of its chains on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from torch import Tensor

from alps_exp.estimates import Weights
from alps_exp.operators import LinearOperator
from alps_exp.randomness import NoiseSource
from alps_exp.samplers.batched_prior import BatchedPrior


@dataclass(frozen=True)
class Problem:
    """The posterior p(x | y): a prior, and the measurement y = A x + eta n of a batch of B images.

    Attributes
    ----------
    prior
        The prior, evaluated in micro-batches; it counts the network calls for each image.
    operator
        Forward operator A with the noise level eta.
    y
        Measurement, (B, ...).
    noise
        Source of the standard normal noise of S chains for each image.
    image_ids
        Ids of the B images; empty if nothing needs them.
    """

    prior: BatchedPrior
    operator: LinearOperator
    y: Tensor
    noise: NoiseSource
    image_ids: Sequence[str] = ()

    @cached_property
    def adjoint(self) -> Tensor:
        """A^H y, of the shape (B, C, H, W) and the dtype of the images."""
        return self.operator.adjoint(self.y)

    @cached_property
    def reduced(self) -> Problem:
        """The same posterior, by the operator and the measurement that cost the least (`LinearOperator.reduced`)."""
        operator, y = self.operator.reduced(self.y)
        return replace(self, operator=operator, y=y)

    def draw(self) -> Tensor:
        """Return fresh standard normal noise (S, B, C, H, W), one draw for every chain."""
        return self.noise.draw(self.adjoint)

    def draw_measurement(self) -> Tensor:
        """Return fresh standard normal noise (S, B, ...) of the measurement's shape, one draw for every chain."""
        return self.noise.draw(self.y)

    def draw_number(self) -> Tensor:
        """Return fresh standard normal numbers (S, B), one for every chain."""
        return self.noise.draw(self.adjoint.real[:, :1, :1, :1])[..., 0, 0, 0]

    def state(
        self,
        x: Tensor,
        scale: float,
        acceptance: Tensor | None = None,
        diagnostics: dict[str, Tensor] | None = None,
        weights: Weights | None = None,
        noiseless: Tensor | None = None,
    ) -> State:
        """Return the state of the chains x after a step at a noise scale."""
        return State(self, x, scale, self.prior.denoised, acceptance, diagnostics or {}, weights, noiseless)


@dataclass
class State:
    """The chains of a sampler after a step; those of the last state are its samples.

    Attributes
    ----------
    problem
        The posterior that is sampled, with the ids of its images.
    x
        The chains (S, B, C, H, W).
    scale
        Noise scale of the step.
    d
        The denoised images (S, B, C, H, W) on which the step is based; None for samplers that follow the gradient of an
        energy.
    acceptance
        Mean probability of acceptance of the Metropolis moves of each image at this scale, (B,); None without moves.
    diagnostics
        Numbers (S, B) or (S, B, ...) by name, of the last state alone. A diagnostic ``converged`` (1 or 0) determines
        the flag ``convergence`` of an estimate.
    weights
        Weights of the samples, of the last state alone; None: they are equal.
    noiseless
        The chains of the last state without the noise that its step drew, (S, B, C, H, W); None if they are not known.
    """

    problem: Problem
    x: Tensor
    scale: float
    d: Tensor | None = None
    acceptance: Tensor | None = None
    diagnostics: dict[str, Tensor] = field(default_factory=dict)
    weights: Weights | None = None
    noiseless: Tensor | None = None

    @cached_property
    def misfit(self) -> Tensor:
        """||A x - y||^2 / (2 eta^2) of every chain, (S, B); half the number of measured values if x were the truth."""
        return self.problem.operator.misfit(self.x, self.problem.y)


Callback = Callable[[State], None]
"""What is called with the state of the chains after every step."""
