"""Maximum a posteriori (MAP) estimation at the smallest noise scale."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from alps_exp.checks import check_count, positive
from alps_exp.operators.per_image import inner_product, over_pixels
from alps_exp.randomness import NoiseSource
from alps_exp.samplers.alps import ALPS, Annealing
from alps_exp.samplers.base import Sampler
from alps_exp.samplers.potential import Point, Potential
from alps_exp.samplers.problem import Problem, State
from alps_exp.samplers.schedules import GeometricSchedule, Schedule

log = logging.getLogger(__name__)
SUFFICIENT_DECREASE, CURVATURE, STILL_FALLING = 1e-4, 0.9, 0.2
SMALLEST_STEP, LARGEST_STEP = 2.0**-12, 100.0


class MAP(Sampler):
    """The MAP estimate: minimizes U_t(x) = E(x, t) / t^2 + ||A x - y||^2 / (2 eta^2) at the last scale of a schedule.

    Annealed ALPS chains with independent, keyed noise provide the starting points. (Without noise, the prior would
    receive a t that does not match the noise in its input, and unmeasured regions would end far from any image.) From
    each starting point, L-BFGS, preconditioned with the posterior covariance P of the ALPS step and with a line search
    on U, runs to a gradient tolerance. The estimate is the result with the lowest U. It is a function of seed and image
    id, and the same for all samples.

    Diagnostics for each image: ``objective``, U at the estimate; ``gradient_norm`` (see `tolerance`); ``converged``, 1
    if the gradient norm is at most the tolerance, otherwise 0; ``trace``, U after every iteration (S, B,
    max_iterations + 1); ``apart``, the largest root-mean-square distance between the estimate and the other results.

    Parameters
    ----------
    schedule, annealing
        Schedule and annealing of the chains that provide the starting points.
    starts
        Number of starting points per image.
    tolerance
        L-BFGS stops for an image when sqrt(g^H P g / n), the gradient in units of the posterior's width, is at most
        this; n counts pixels and channels.
    max_iterations
        Maximum number of L-BFGS iterations.
    memory
        Number of correction pairs that L-BFGS keeps.
    micro_batch
        As in `Sampler`.

    Raises
    ------
    ValueError
        If starts or memory < 1, max_iterations < 0, or the tolerance is not positive.

    References
    ----------
    Nocedal & Wright, "Numerical Optimization", 2006, algorithm 7.4; Hager & Zhang, SIAM J. Optim. 16, 2005: the line
    search criterion once rounding hides the decrease of U.

    Examples
    --------
    >>> import torch
    >>> from alps_exp.operators import Inpainting
    >>> from alps_exp.priors import smooth_gaussian
    >>> operator = Inpainting(torch.ones(1, 1, 16, 16), noise_std=0.05)
    >>> estimates = MAP(tolerance=1e-3)(smooth_gaussian(size=16), operator, torch.zeros(1, 1, 16, 16))
    >>> estimates.mean.shape, bool(estimates.diagnostics["converged"].all())
    (torch.Size([1, 1, 16, 16]), True)
    """

    estimate = "map"
    takes_pairs = False
    composable = True

    def __init__(
        self,
        schedule: Schedule = GeometricSchedule(steps=30),  # noqa: B008 - immutable
        annealing: Annealing = "diffused",
        starts: int = 1,
        tolerance: float = 1e-2,
        max_iterations: int = 20,
        memory: int = 20,
        *,
        micro_batch: int | None = None,
    ) -> None:
        super().__init__(schedule, "energy", micro_batch)
        for name, value, least in (("starts", starts, 1), ("max_iterations", max_iterations, 0), ("memory", memory, 1)):
            check_count(name, value, least=least)
        self.start, self.starts = ALPS(schedule, "independent", annealing), starts
        self.annealing = annealing
        self.tolerance, self.max_iterations, self.memory = positive("tolerance", tolerance), max_iterations, memory

    @property
    def num_steps(self) -> int:
        """Steps of the chains that provide the starting points, and the largest number of iterations."""
        return len(self.schedule()) + self.max_iterations + 1

    def chain(self, problem: Problem) -> Iterator[State]:
        """Yield the chains that provide the starting points, then the points (starts, B, C, H, W) of every iteration.

        The last state has the estimate (S, B, C, H, W), the same for all S, and its diagnostics.
        """
        starts = replace(problem, noise=_Starts(problem.noise, self.starts))
        for state in self.start.chain(starts):
            yield state
        t = self.schedule()[-1]
        potential = Potential(problem.prior, problem.operator, problem.y, t, accuracy=self.tolerance / 10)
        start = ends = potential(state.x)
        trace = [start.value]
        for ends in self._iterations(potential, start):
            trace.append(ends.value)
            yield problem.state(ends.x, t)
        trace += [ends.value] * (self.max_iterations + 1 - len(trace))
        yield self._best(problem, t, ends, torch.stack(trace, dim=-1))

    def _iterations(self, potential: Potential, point: Point) -> Iterator[Point]:
        """Yield the points after every iteration, until all gradients are within the tolerance."""
        pairs: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=self.memory)
        for _ in range(self.max_iterations):
            active = _gradient_norm(point) > self.tolerance
            if not active.any():
                return
            direction = -_inverse_hessian(potential, point.gradient, pairs)
            is_descent = inner_product(direction, point.gradient) < 0
            # Fall back to preconditioned steepest descent if rounding or a poor correction pair breaks descent.
            direction = torch.where(over_pixels(is_descent), direction, -point.preconditioned)
            after = _line_search(potential, point, direction * over_pixels(active))
            pairs.append(_correction(point, after))
            point = after
            yield point

    def _best(self, problem: Problem, t: float, ends: Point, trace: Tensor) -> State:
        """Return the point of the lowest U for each image, with its diagnostics, given U of every iteration."""
        best = ends.value.argmin(dim=0)
        image = torch.arange(len(best), device=best.device)
        x, norm = ends.x[best, image], _gradient_norm(ends)[best, image]
        if unconverged := int((norm > self.tolerance).sum()):
            log.warning("MAP: %d of %d images stopped above the tolerance", unconverged, len(best))
        diagnostics = {
            "objective": ends.value[best, image],
            "gradient_norm": norm,
            "converged": (norm <= self.tolerance).to(norm.dtype),
            "trace": trace[best, image],
            "apart": (ends.x - x).abs().square().mean(dim=(-3, -2, -1)).sqrt().amax(dim=0),
        }
        chains = problem.noise.num_samples
        expanded = {name: values.expand(chains, *values.shape) for name, values in diagnostics.items()}
        return problem.state(x.expand(chains, *x.shape), t, diagnostics=expanded)


class _Starts:
    """A noise source for several starting points per image, all drawn from the image's first sample stream.

    The estimate therefore does not depend on the number of samples.
    """

    def __init__(self, noise: NoiseSource, num_samples: int) -> None:
        self.noise, self.num_samples = noise, num_samples

    def draw(self, x: Tensor) -> Tensor:
        return torch.stack([self.noise.draw(x)[0] for _ in range(self.num_samples)])


def _gradient_norm(point: Point) -> Tensor:
    return (point.square / point.x.shape[-3:].numel()).sqrt()


def _inverse_hessian(potential: Potential, gradient: Tensor, pairs: deque[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """Return the L-BFGS approximation of U''^(-1) applied to the gradient (two-loop recursion from P)."""
    weights = []
    v = gradient
    for step, change, rho in reversed(pairs):
        weight = rho * inner_product(step, v)
        v = v - over_pixels(weight) * change
        weights.append(weight)
    v = potential.precondition(v)
    for (step, change, rho), weight in zip(pairs, reversed(weights), strict=True):
        v = v + over_pixels(weight - rho * inner_product(change, v)) * step
    return v


def _correction(before: Point, after: Point) -> tuple[Tensor, Tensor, Tensor]:
    """Return the step s, the gradient change g and 1 / <s, g>, or 0 in its place if the curvature is not positive."""
    step, change = after.x - before.x, after.gradient - before.gradient
    product = inner_product(step, change)
    return step, change, torch.where(product > 0, 1 / product, 0)


def _line_search(potential: Potential, point: Point, direction: Tensor) -> Point:
    """Return a point of lower U for each image, or the current point if the search fails.

    The unit step is halved until U decreases sufficiently. If U still decreases steeply at the end of the unit step,
    the secant step is tried as well.
    """
    slope = inner_product(point.gradient, direction)
    # Near the minimum the decrease of U drowns in rounding; the slopes, accurate there, decide instead.
    resolution = 10 * torch.finfo(slope.dtype).eps * point.value.abs()
    result = point
    searching = slope < 0
    size = 1.0
    while searching.any() and size >= SMALLEST_STEP:
        trial = potential(point.x + size * direction, searching)
        end_slope = inner_product(trial.gradient, direction)
        enough = trial.value <= point.value + SUFFICIENT_DECREASE * size * slope
        flat = end_slope.abs() <= CURVATURE * slope.abs()
        accepted = searching & (enough | (flat & (trial.value <= point.value + resolution)))
        result = trial.where(accepted, result)
        if size == 1.0:
            result = _extend(potential, point, result, direction, accepted & (end_slope < STILL_FALLING * slope))
        searching = searching & ~accepted
        size /= 2
    return result


def _extend(potential: Potential, point: Point, unit: Point, direction: Tensor, chosen: Tensor) -> Point:
    """Return the better of the unit step and the secant step, which is exact if U is quadratic along the direction."""
    if not chosen.any():
        return unit
    slope, end_slope = inner_product(point.gradient, direction), inner_product(unit.gradient, direction)
    size = torch.where(chosen, slope / (slope - end_slope), 1).clamp(1, LARGEST_STEP)
    trial = potential(point.x + over_pixels(size) * direction, chosen)
    return trial.where(chosen & (trial.value < unit.value), unit)
