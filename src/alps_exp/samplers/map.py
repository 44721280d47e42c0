"""Maximum a posteriori (MAP) estimation at the smallest noise scale."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Literal

import torch
from torch import Tensor

from alps_exp.checks import check_count, positive
from alps_exp.randomness import NoiseSource
from alps_exp.samplers.alps import ALPS, Annealing
from alps_exp.samplers.base import Sampler
from alps_exp.samplers.certificate import Ends, count_basins
from alps_exp.samplers.majorize import majorize_minimize
from alps_exp.samplers.newton import NewtonSettings, newton
from alps_exp.samplers.potential import Potential
from alps_exp.samplers.problem import Problem, State
from alps_exp.samplers.schedules import GeometricSchedule, Schedule

log = logging.getLogger(__name__)
Optimizer = Literal["newton", "majorize"]


class MAP(Sampler):
    """The MAP estimate: minimizes U_t(x) = E(x, t) / t^2 + ||A x - y||^2 / (2 eta^2) at the last scale of a schedule.

    Annealed ALPS chains with independent, keyed noise provide the starting points. (Without noise, the prior would
    receive a t that does not match the noise in its input, and unmeasured regions would end far from any image.) From
    each starting point, L-BFGS, preconditioned with the posterior covariance P of the ALPS step and with a line search
    on U, runs until the gradient is small in units of P. Where the prior is wide, the minimizer may still be many times
    that far away. Newton steps therefore follow, by conjugate gradients on the Hessian of U, until the Newton decrement
    certifies that it is near. The estimate is the result with the lowest U. It is a function of seed and image id, and
    the same for all samples.

    The decrement sqrt(g^H H^(-1) g / n), with the gradient g, the Hessian H, and n the real numbers in an image, is the
    root-mean-square distance to the minimizer of the quadratic model, in posterior standard deviations (of the Laplace
    approximation). Its upper bound, and the word minimum, rest on the smallest eigenvalue of H in units of P, found by
    a Lanczos iteration from a random start. Both are as sure as the stated error of that eigenvalue: there is an
    eigenvalue within the error, and a smaller one that the start barely contains would be missed.

    Diagnostics for each image: ``objective``, U at the estimate; ``gradient_norm``, sqrt(g^H P g / n) with complex
    numbers counted once; ``decrement`` and ``decrement_bound``, from below and above (infinite if unknown);
    ``curvature``, the smallest eigenvalue of P^(1/2) H P^(1/2), and ``curvature_error``; ``minimum``, 1 if that is
    positive beyond its error; ``saddle``, 1 if the gradient norm is within the tolerance and the curvature negative;
    ``converged``, 1 at a minimum whose bound is within the tolerance; ``basins``, the number of different minimizers
    among the results of the `starts`, where those within four tolerances of each other are one, and those that have not
    converged none; ``apart``, the largest root-mean-square distance between the estimate and the
    other results; ``trace``, U after every iteration (S, B, max_iterations + 1).

    Parameters
    ----------
    schedule, annealing
        Schedule and annealing of the chains that provide the starting points.
    starts
        Number of starting points per image.
    tolerance
        Allowed decrement, in posterior standard deviations. L-BFGS ends where the gradient norm is within it.
    max_iterations
        Maximum number of iterations, of L-BFGS and of Newton steps together.
    memory
        Number of correction pairs that L-BFGS keeps.
    optimizer
        newton or majorize. ``newton``: as above. ``majorize``: majorize-minimize alone, until the gradient norm is
        within the tolerance, see `majorize_minimize`.
    products
        Maximum number of Hessian products of a Newton step, and of the look at the curvature. A product costs
        about three gradients.
    micro_batch
        As in `Sampler`.

    Raises
    ------
    ValueError
        If starts, memory or products < 1, max_iterations < 0, the tolerance is not positive, or the optimizer unknown.

    References
    ----------
    Nocedal & Wright, "Numerical Optimization", 2006, algorithms 7.1 and 7.4; Boyd & Vandenberghe, "Convex
    Optimization", 2004, section 9.5.1: the decrement.

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
        optimizer: Optimizer = "newton",
        products: int = 20,
        micro_batch: int | None = None,
    ) -> None:
        super().__init__(schedule, "energy", micro_batch)
        counts = {"starts": starts, "memory": memory, "products": products}
        for name, value in counts.items():
            check_count(name, value, least=1)
        if optimizer not in ("newton", "majorize"):
            raise ValueError(f"optimizer is {optimizer!r}, expected newton or majorize")
        self.start, self.starts = ALPS(schedule, "independent", annealing), starts
        self.annealing, self.optimizer, self.products = annealing, optimizer, products
        self.tolerance, self.memory = positive("tolerance", tolerance), memory
        self.max_iterations = check_count("max_iterations", max_iterations, least=0)

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
        begin = point = potential(state.x)
        trace = [begin.value]
        iterations = self.max_iterations
        if self.optimizer == "majorize":
            iterations = 0
            for point in islice(majorize_minimize(potential, begin, self.tolerance), self.max_iterations):
                trace.append(point.value)
                yield problem.state(point.x, t)
        start = potential.whiten((starts.draw_measurement(), starts.draw()))
        settings = NewtonSettings(self.tolerance, self.memory, self.products)
        for step, ends in enumerate(newton(potential, point, start, settings, iterations)):
            if step:
                trace.append(ends.point.value)
                yield problem.state(ends.point.x, t)
        trace += [ends.point.value] * (self.max_iterations + 1 - len(trace))
        yield self._best(problem, potential, ends, torch.stack(trace, dim=-1))

    def _best(self, problem: Problem, potential: Potential, ends: Ends, trace: Tensor) -> State:
        """Return the end of the lowest U for each image, with its diagnostics, given U of every iteration."""
        chosen = ends.point.value.argmin(dim=0)[None]
        best = ends.at(chosen)
        converged, (curvature, error) = best.converged(self.tolerance), best.curvature
        if unconverged := int((~converged).sum()):
            log.warning(
                "MAP: %d of %d images are not certified to be within the tolerance", unconverged, len(chosen[0])
            )
        distances = (ends.point.x - best.point.x).abs().square().mean(dim=(-3, -2, -1)).sqrt()
        diagnostics = {
            "objective": best.point.value,
            "gradient_norm": best.point.gradient_norm,
            "decrement": best.decrement,
            "decrement_bound": best.decrement_bound,
            "curvature": curvature,
            "curvature_error": error,
            "minimum": best.minimum,
            "saddle": best.saddle(self.tolerance),
            "converged": converged,
            "basins": count_basins(potential, ends, self.tolerance)[None],
            "apart": distances.amax(dim=0, keepdim=True),
            "trace": trace[chosen, torch.arange(chosen.shape[1])],
        }
        chains = problem.noise.num_samples
        real = best.point.value.dtype
        expanded = {name: values.to(real).expand(chains, *values.shape[1:]) for name, values in diagnostics.items()}
        return problem.state(best.point.x.expand(chains, *best.point.x.shape[1:]), potential.t, diagnostics=expanded)


class _Starts:
    """A noise source for several starting points per image, all drawn from the image's first sample stream.

    The estimate therefore does not depend on the number of samples.
    """

    def __init__(self, noise: NoiseSource, num_samples: int) -> None:
        self.noise, self.num_samples = noise, num_samples

    def draw(self, x: Tensor) -> Tensor:
        return torch.stack([self.noise.draw(x)[0] for _ in range(self.num_samples)])
