"""Decoupled annealing posterior sampling (DAPS)."""

from __future__ import annotations

from torch import Tensor

from alps_exp.operators import LinearOperator
from alps_exp.samplers.base import InMicroBatches, PriorKind, Sampler
from alps_exp.samplers.noise import NoiseSource
from alps_exp.samplers.schedules import Polynomial, Schedule, with_next

ODE_SIGMA_MIN, ODE_RHO = 0.01, 7.0


class DAPS(Sampler):
    """Alternates a probability-flow ODE to a clean image, a posterior draw around it, and fresh noise.

    The draw is from p(y | x) N(x; ODE result, t^2 I), with the published width r_t = t; since A is linear it is
    drawn exactly, in place of the published 100 Langevin steps.

    Parameters
    ----------
    schedule
        Annealing scales; published: sigma_max 100, sigma_min 0.1, rho 7, 200 scales.
    ode_steps
        Euler steps, and denoiser calls, of each ODE (published: 5), on EDM's rho = 7 scales from t to 0.01.
    denoiser, micro_batch
        As in `Sampler`.

    Raises
    ------
    ValueError
        If ode_steps < 1.

    References
    ----------
    Zhang, Chu, Berner, Meng, Anandkumar, Song, "Improving diffusion inverse problem solving with decoupled noise
    annealing", CVPR 2025 (arXiv 2407.01521), algorithm 1.
    """

    def __init__(
        self,
        schedule: Schedule = Polynomial(100.0, 0.1, 200, 7.0),  # noqa: B008 - immutable
        ode_steps: int = 5,
        denoiser: PriorKind = "teacher",
        micro_batch: int | None = None,
    ) -> None:
        super().__init__(schedule, denoiser, micro_batch)
        if ode_steps < 1:
            raise ValueError(f"ode_steps must be at least 1, got {ode_steps}")
        self.ode_steps = ode_steps

    def sample(
        self, prior: InMicroBatches, operator: LinearOperator, y: Tensor, noise: NoiseSource
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return samples (S, B, C, H, W); there are no diagnostics."""
        image = operator.adjoint(y)
        steps = with_next(self.schedule())
        x = steps[0][0] * noise.like(image)
        for t, s in self.progress(steps):
            clean = self._flow(prior, x, t)
            sample = operator.posterior_sample(clean, y, t, (noise.like(y), noise.like(image)))
            x = sample + s * noise.like(image)
        return sample, {}

    def _flow(self, prior: InMicroBatches, x: Tensor, t: float) -> Tensor:
        """Return the end of the ODE dx / d sigma = (x - D(x, sigma)) / sigma from t to zero."""
        if self.ode_steps == 1 or t <= ODE_SIGMA_MIN:
            return prior.denoise(x, t)
        scales = Polynomial(t, ODE_SIGMA_MIN, self.ode_steps, ODE_RHO)()
        for sigma, below in zip(scales, [*scales[1:], 0.0], strict=True):
            d = prior.denoise(x, sigma)
            x = d + below / sigma * (x - d)
        return x
