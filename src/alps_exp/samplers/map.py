"""The maximum a posteriori (MAP) estimate at the smallest scale."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from alps_exp.operators import LinearOperator
from alps_exp.samplers.alps import ALPS, Annealing
from alps_exp.samplers.base import InMicroBatches, Sampler
from alps_exp.samplers.noise import NoiseSource
from alps_exp.samplers.schedules import Geometric, Schedule

log = logging.getLogger(__name__)
SUFFICIENT_DECREASE, CURVATURE, STILL_FALLING = 1e-4, 0.9, 0.2
SMALLEST_STEP, LARGEST_STEP = 2.0**-12, 100.0


class MAP(Sampler):
    """Minimises U_t(x) = E(x, t) / t^2 + ||A x - y||^2 / (2 eta^2) at the last scale t of a schedule.

    One annealed chain with independent noise, keyed like every sample's, gives the start (without noise the prior would
    be told of a t that its input does not have: holes then end far from any image); a quasi-Newton stage (L-BFGS,
    preconditioned with the posterior covariance P of the ALPS step, line search on U) goes on to a gradient tolerance.
    A function of seed and image id: all samples are the same. Diagnostics: ``gradient_norm`` (see `tolerance`) and
    ``objective`` (U).

    Parameters
    ----------
    schedule, annealing
        Of the start.
    tolerance
        The stage ends for an image when sqrt(g^H P g / n), the gradient in units of the posterior's width, is
        below it; n counts pixels and channels.
    max_iterations
        Limit of the quasi-Newton iterations.
    memory
        Number of correction pairs.
    micro_batch
        As in `Sampler`.

    References
    ----------
    Nocedal & Wright, "Numerical Optimization", 2006, algorithm 7.4; Hager & Zhang, SIAM J. Optim. 16, 2005: the
    line search's test where U no longer resolves the decrease.
    """

    estimate = "map"

    def __init__(
        self,
        schedule: Schedule = Geometric(steps=30),  # noqa: B008 - immutable
        annealing: Annealing = "noised",
        tolerance: float = 1e-2,
        max_iterations: int = 20,
        memory: int = 20,
        micro_batch: int | None = None,
    ) -> None:
        super().__init__(schedule, "energy", micro_batch)
        self.start = ALPS(schedule, "independent", annealing, "energy")
        self.tolerance, self.max_iterations, self.memory = tolerance, max_iterations, memory

    def sample(
        self, prior: InMicroBatches, operator: LinearOperator, y: Tensor, noise: NoiseSource
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the estimate (S, B, C, H, W), the same for all S, and its diagnostics (S, B)."""
        one = _OneSample(noise)
        start, _ = self.start.sample(prior, operator, y, one)
        point = self._minimise(_Objective(prior, operator, y, self.last_scale), start)
        if unconverged := int((point.decrement > self.tolerance).sum()):
            log.warning("MAP: %d of %d images stopped above the tolerance", unconverged, point.decrement.numel())
        samples = point.x.expand(noise.num_samples, *point.x.shape[1:])
        diagnostics = {"gradient_norm": point.decrement, "objective": point.value}
        return samples, {name: value.expand(noise.num_samples, -1) for name, value in diagnostics.items()}

    def _minimise(self, objective: _Objective, x: Tensor) -> _Point:
        point = objective(x)
        pairs: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=self.memory)
        for _ in self.progress(range(self.max_iterations)):
            active = point.decrement > self.tolerance
            if not active.any():
                break
            direction = -_inverse_hessian(objective, point.gradient, pairs)
            descends = _dot(direction, point.gradient) < 0
            direction = torch.where(_wide(descends), direction, -objective.precondition(point.gradient))
            after = _line_search(objective, point, direction * _wide(active))
            pairs.append(_correction(point, after))
            point = after
        return point


@dataclass
class _Point:
    x: Tensor
    value: Tensor
    gradient: Tensor
    decrement: Tensor

    def where(self, chosen: Tensor, other: _Point) -> _Point:
        """Return this point for the chosen images, the other one for the rest."""
        return _Point(
            torch.where(_wide(chosen), self.x, other.x),
            torch.where(chosen, self.value, other.value),
            torch.where(_wide(chosen), self.gradient, other.gradient),
            torch.where(chosen, self.decrement, other.decrement),
        )


class _Objective:
    """U at one scale, its gradient, and the preconditioner P."""

    def __init__(self, prior: InMicroBatches, operator: LinearOperator, y: Tensor, t: float) -> None:
        self.prior, self.operator, self.y, self.t = prior, operator, y, t

    def __call__(self, x: Tensor) -> _Point:
        operator, t = self.operator, self.t
        energy, gradient = self.prior.energy_and_gradient(x, t)
        gradient = gradient / t**2 + operator.adjoint(operator.forward(x) - self.y) / operator.noise_std**2
        square = _dot(gradient, self.precondition(gradient)) / x.shape[-3:].numel()
        return _Point(x, energy / t**2 + operator.misfit(x, self.y), gradient, square.sqrt())

    def precondition(self, v: Tensor) -> Tensor:
        return self.operator.noise_std**2 * self.operator.solve(v, self.t)


class _OneSample:
    """A noise source with one chain for each image."""

    num_samples = 1

    def __init__(self, noise: NoiseSource) -> None:
        self.noise = noise

    def like(self, x: Tensor) -> Tensor:
        return self.noise.like(x)[:1]


def _inverse_hessian(
    objective: _Objective, gradient: Tensor, pairs: deque[tuple[Tensor, Tensor, Tensor]]
) -> Tensor:
    """Return the L-BFGS approximation of U''^(-1) applied to the gradient (two-loop recursion from P)."""
    weights = []
    v = gradient
    for step, change, rho in reversed(pairs):
        weight = rho * _dot(step, v)
        v = v - _wide(weight) * change
        weights.append(weight)
    v = objective.precondition(v)
    for (step, change, rho), weight in zip(pairs, reversed(weights), strict=True):
        v = v + _wide(weight - rho * _dot(change, v)) * step
    return v


def _correction(before: _Point, after: _Point) -> tuple[Tensor, Tensor, Tensor]:
    """Return step, change of gradient and 1 / (their product); zero where the curvature is not positive."""
    step, change = after.x - before.x, after.gradient - before.gradient
    product = _dot(step, change)
    return step, change, torch.where(product > 0, 1 / product, 0)


def _line_search(objective: _Objective, point: _Point, direction: Tensor) -> _Point:
    """Return a point of lower U for each image, or the one it has.

    The unit step is halved until U decreases enough; where U still falls at its end, the secant step is tried too.
    """
    slope = _dot(point.gradient, direction)
    resolution = 10 * torch.finfo(slope.dtype).eps * point.value.abs()
    result = point
    waiting = slope < 0
    size = 1.0
    while waiting.any() and size >= SMALLEST_STEP:
        trial = objective(torch.where(_wide(waiting), point.x + size * direction, point.x))
        end_slope = _dot(trial.gradient, direction)
        enough = trial.value <= point.value + SUFFICIENT_DECREASE * size * slope
        flat = end_slope.abs() <= CURVATURE * slope.abs()
        accepted = waiting & (enough | (flat & (trial.value <= point.value + resolution)))
        result = trial.where(accepted, result)
        if size == 1.0:
            result = _extend(objective, point, result, direction, accepted & (end_slope < STILL_FALLING * slope))
        waiting = waiting & ~accepted
        size /= 2
    return result


def _extend(objective: _Objective, point: _Point, unit: _Point, direction: Tensor, chosen: Tensor) -> _Point:
    """Return the better of the unit step and the secant step, which is exact where U is quadratic."""
    if not chosen.any():
        return unit
    slope, end_slope = _dot(point.gradient, direction), _dot(unit.gradient, direction)
    size = torch.where(chosen, slope / (slope - end_slope), 1).clamp(1, LARGEST_STEP)
    trial = objective(torch.where(_wide(chosen), point.x + _wide(size) * direction, unit.x))
    return trial.where(chosen & (trial.value < unit.value), unit)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the real inner product of each image, of shape a.shape[:-3]."""
    return torch.linalg.vecdot(a.flatten(-3), b.flatten(-3)).real


def _wide(per_image: Tensor) -> Tensor:
    return per_image[..., None, None, None]
