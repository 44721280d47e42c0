"""Sequential Monte Carlo on the posterior family of ALPS: Metropolis-adjusted moves, weights and resampling."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from alps_exp.operators.per_image import inner_product, over_pixels
from alps_exp.samplers.base import Sampler
from alps_exp.samplers.potential import Potential
from alps_exp.samplers.problem import Problem, State
from alps_exp.samplers.schedules import GeometricSchedule, Schedule

TARGET_ACCEPTANCE = 0.574
FIRST_WINDOW = 16


class SMC(Sampler):
    """Sequential Monte Carlo on the static posteriors p_t(x | y), exact in the limit of many chains.

    At every scale each chain makes Metropolis-adjusted Langevin moves with proposals
    x' = x - (h / 2) P grad U_t + sqrt(h) P^(1/2) z. From scale t to s its log-weight increases by U_t(x) - U_s(x). The
    chains of an image are resampled if their effective sample size is low. Chains therefore populate modes in
    proportion to their mass, which annealing alone does not achieve. Resampled chains are not independent; the
    effective sample size tells how many independent chains they are worth.

    Diagnostics for each image: ``acceptance``; ``step_size``, h at the last scale; ``effective_sample_size``, the
    smallest over the scales (at most S); ``log_evidence``, the log of the integral of exp(-U) at the last scale over
    the integral at the first scale with the potential of N(0, t^2 / c I) in place of the prior's, c being the prior's
    curvature (with the `log_partition` of a closed-form prior it gives the evidence; for the same measurement and
    starting distribution, differences compare priors); ``r_hat`` at the last scale, if `agree` is set; ``log_weight``
    (S, B), the log-weights of the chains, equal after resampling. Unless `resample_below` is 0, all chains are
    resampled at the last scale.

    Parameters
    ----------
    schedule
        Scales t in decreasing order; repeating a scale adds a move at that scale.
    resample_below
        The chains of an image are resampled if their effective sample size is below this fraction of S. 0: never; the
        chains then stay independent and populate modes as plain annealing does.
    agree
        Moves at the last scale continue until the potential scale reduction factor R-hat (largest over the pixels) is
        at most this. None: no additional moves.
    max_moves
        Maximum number of these additional moves, at least 16.
    micro_batch
        As in `Sampler`.

    Raises
    ------
    ValueError
        If resample_below is outside [0, 1], agree is not above 1, or max_moves is below 16; during sampling, if agree
        is set and there is only one chain.

    References
    ----------
    Chand & Jacob 2026 (arXiv 2601.02594): p_t(x | y) and P. Del Moral, Doucet & Jasra, J. R. Stat. Soc. B 68, 2006:
    the weights. Roberts & Rosenthal, J. R. Stat. Soc. B 60, 1998: acceptance 0.574. Gelman & Rubin, Stat. Sci. 7,
    1992: R-hat.

    Examples
    --------
    >>> import torch
    >>> from alps_exp.operators import Inpainting
    >>> from alps_exp.priors import two_mode_mixture
    >>> from alps_exp.samplers import GeometricSchedule
    >>> operator = Inpainting(torch.ones(1, 1, 8, 8), noise_std=0.5)
    >>> sampler = SMC(GeometricSchedule(steps=10))
    >>> estimates = sampler(two_mode_mixture(size=8), operator, torch.zeros(1, 1, 8, 8), num_samples=8)
    >>> estimates.samples.shape
    torch.Size([8, 1, 1, 8, 8])
    """

    independent = takes_pairs = False  # chains are copied, and moves accepted, by chance
    composable = True

    def __init__(
        self,
        schedule: Schedule = GeometricSchedule(steps=100),  # noqa: B008 - immutable
        resample_below: float = 0.5,
        agree: float | None = None,
        max_moves: int = 1000,
        micro_batch: int | None = None,
    ) -> None:
        super().__init__(schedule, "energy", micro_batch)
        if not 0 <= resample_below <= 1:
            raise ValueError(f"resample_below must lie in [0, 1], got {resample_below}")
        if (agree is not None and agree <= 1) or max_moves < FIRST_WINDOW:
            raise ValueError(f"agree must be above 1 and max_moves at least 16, got {agree} and {max_moves}")
        self.resample_below, self.agree, self.max_moves = resample_below, agree, max_moves

    @property
    def num_steps(self) -> int:
        """The scales, and the moves until the chains agree as one more step."""
        return len(self.schedule()) + 1

    def chain(self, problem: Problem) -> Iterator[State]:
        """Yield the state after the moves at every scale, and a last one with the diagnostics."""
        if self.agree is not None and problem.noise.num_samples < 2:
            raise ValueError("the number of chains with agree must be at least 2, got num_samples=1")
        scales = self.schedule()
        population = _Population(problem, scales[0])
        for t in scales:
            # Resampling at the last scale gives the samples equal weights; the moves there separate copies of a chain.
            last = t == scales[-1] and self.resample_below > 0
            population.change_scale(t, 1.0 if last else self.resample_below)
            population.move()
            yield problem.state(population.point.x, t, population.acceptance)
        r_hat = {} if self.agree is None else {"r_hat": _move_until_agreement(population, self.agree, self.max_moves)}
        chains = problem.noise.num_samples, len(problem.y)
        diagnostics = {name: values.expand(chains) for name, values in (population.diagnostics() | r_hat).items()}
        yield problem.state(population.point.x, scales[-1], population.acceptance, diagnostics)


def _move_until_agreement(population: _Population, agree: float, max_moves: int) -> Tensor:
    """Make moves in windows of doubling length until R-hat is at most `agree` for every image; return R-hat (B,)."""
    moves, window = 0, FIRST_WINDOW
    r_hat = torch.full_like(population.log_step, math.inf)
    while moves + window <= max_moves and (moving := ~(r_hat <= agree)).any():
        r_hat = torch.where(moving, population.window_r_hat(window, moving), r_hat)
        moves, window = moves + window, 2 * window
    return r_hat


class _Population:
    """The chains (S, B) with their weights, their current scale, and a step size for every image."""

    def __init__(self, problem: Problem, t: float) -> None:
        self.problem, self.potential = problem, self._potential(problem, t)
        noise, operator, y = (problem.draw_measurement(), problem.draw()), problem.operator, problem.y
        x = operator.posterior_sample(torch.zeros_like(noise[1]), y, self.potential.width, noise)
        self.point = self.potential(x)
        initial_potential = inner_product(x, x) / (2 * self.potential.width**2) + operator.misfit(x, y)
        self.log_weight = initial_potential - self.point.value
        self.log_evidence = torch.zeros_like(self.log_weight[0])
        self.least_size = torch.full_like(self.log_evidence, problem.noise.num_samples)
        # The optimal Langevin step size decreases like n^(-1/3) in dimension n; it is then adapted at every scale.
        self.log_step = torch.full_like(self.log_evidence, -math.log(x[0, 0].numel()) / 3)
        self.accepted, self.moves = torch.zeros_like(self.log_weight), torch.zeros_like(self.log_evidence)
        self.scale_acceptance: list[Tensor] = []

    def change_scale(self, t: float, resample_below: float) -> None:
        """Change to scale t: adapt the step size, update the weights, and resample where few chains are effective."""
        if t == self.potential.t:
            return
        self.log_step = self.log_step + self.acceptance - TARGET_ACCEPTANCE
        self.scale_acceptance = []
        before = self.point.value
        self.potential = self._potential(self.problem, t)
        self.point = self.potential(self.point.x)
        self.log_weight = self.log_weight + before - self.point.value
        size = _effective_size(self.log_weight)
        self.least_size = torch.minimum(self.least_size, size)
        self._resample(size < resample_below * len(self.log_weight))

    def move(self, moving: Tensor | None = None) -> None:
        """Make a Metropolis-adjusted Langevin move for the images selected by `moving` (B,), or for all."""
        point, h = self.point, self.log_step.exp()
        noise = self.potential.color((self.problem.draw_measurement(), self.problem.draw()))
        x = point.x - over_pixels(h) / 2 * point.preconditioned + over_pixels(h.sqrt()) * noise
        mask = None if moving is None else moving.expand_as(point.value)
        proposal = self.potential(x, mask)
        log_ratio = point.value - proposal.value - h / 8 * (proposal.square - point.square)
        log_ratio = log_ratio + inner_product(x - point.x, proposal.gradient + point.gradient) / 2
        accepted = torch.special.log_ndtr(self._normal()) < log_ratio
        probability = log_ratio.clamp(max=0).exp()
        if mask is not None:
            accepted, probability = accepted & mask, torch.where(mask, probability, 0)
        self.point = proposal.where(accepted, point)
        self.scale_acceptance.append(probability)
        self.accepted, self.moves = self.accepted + probability, self.moves + (1 if moving is None else moving)

    @property
    def acceptance(self) -> Tensor:
        """Mean probability of acceptance at the current scale, (B,)."""
        return torch.stack(self.scale_acceptance).mean(dim=(0, 1))

    def window_r_hat(self, window: int, moving: Tensor) -> Tensor:
        """Make `window` moves for the `moving` images; return R-hat over them (B,), the largest over the pixels."""
        mean, square = torch.zeros_like(self.point.x), torch.zeros_like(self.point.x.real)
        for count in range(1, window + 1):
            self.move(moving)
            change = self.point.x - mean
            mean = mean + change / count
            square = square + (change.conj() * (self.point.x - mean)).real
        within = square.mean(0) / (window - 1)
        total = (window - 1) / window * within + mean.var(0)
        return (total / within).sqrt().amax(dim=(-3, -2, -1))

    def diagnostics(self) -> dict[str, Tensor]:
        """Return the diagnostics by name, (B,) or (S, B).

        Raises
        ------
        FloatingPointError
            If the potential of a proposal was not finite.
        """
        acceptance = self.accepted / self.moves
        if not acceptance.isfinite().all():
            raise FloatingPointError("the potential of a Metropolis proposal is not finite")
        return {
            "acceptance": acceptance,
            "step_size": self.log_step.exp(),
            "effective_sample_size": self.least_size,
            "log_evidence": self.log_evidence + _log_mean(self.log_weight),
            "log_weight": self.log_weight,
        }

    def _resample(self, mask: Tensor) -> None:
        """Resample the chains of the images in `mask` (B,) by their weights, using systematic resampling."""
        count = len(self.log_weight)
        offset = torch.special.ndtr(self._normal()[0])
        positions = (offset + torch.arange(count, device=offset.device)[:, None]) / count
        cumulative = self.log_weight.softmax(0).cumsum(0)
        ancestors = torch.searchsorted(cumulative.mT.contiguous(), positions.mT.contiguous()).mT.clamp(max=count - 1)
        self.point = self.point.at(torch.where(mask, ancestors, torch.arange(count, device=offset.device)[:, None]))
        self.log_evidence = self.log_evidence + torch.where(mask, _log_mean(self.log_weight), 0)
        self.log_weight = torch.where(mask, 0, self.log_weight)

    def _normal(self) -> Tensor:
        """Return one standard normal number per chain (S, B)."""
        return self.problem.noise.draw(self.problem.adjoint.real[:, :1, :1, :1])[..., 0, 0, 0]

    @staticmethod
    def _potential(problem: Problem, t: float) -> Potential:
        return Potential(problem.prior, problem.operator, problem.y, t)


def _effective_size(log_weight: Tensor) -> Tensor:
    """Return the effective sample size (B,) of log-weights (S, B)."""
    return (2 * log_weight.logsumexp(0) - (2 * log_weight).logsumexp(0)).exp()


def _log_mean(log_weight: Tensor) -> Tensor:
    return log_weight.logsumexp(0) - math.log(len(log_weight))
