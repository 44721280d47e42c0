"""Sequential Monte Carlo along ALPS' posterior family: Metropolis-adjusted moves, importance weights, resampling."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from alps_exp.operators import LinearOperator
from alps_exp.operators.per_image import inner_product, over_pixels
from alps_exp.randomness import NoiseSource
from alps_exp.samplers.base import Sampler
from alps_exp.samplers.batched_prior import BatchedPrior
from alps_exp.samplers.potential import Potential
from alps_exp.samplers.schedules import GeometricSchedule, Schedule

TARGET_ACCEPTANCE = 0.574
FIRST_WINDOW = 16


class SMC(Sampler):
    """Anneals the static posterior p_t(x | y) exactly: its chains have the right law as their number grows.

    At every scale each chain makes Metropolis-adjusted Langevin moves, with proposals
    x' = x - (h / 2) P grad U_t + sqrt(h) P^(1/2) z. From scale t to s its log-weight grows by U_t(x) - U_s(x); where
    the effective sample size of an image's chains is low, they are resampled. So the chains share the modes in
    proportion to their mass, which annealing alone does not. Resampled chains are not independent: judge their number
    by the effective sample size.

    Diagnostics, for each image: ``acceptance``; ``step_size`` h at the last scale; ``effective_sample_size``, the
    least over the scales, of S; ``log_evidence``, log of integral exp(-U) dx at the last scale over that of
    N(0, t^2 / c I), c the prior's curvature, in the place of the prior at the first (with a closed-form prior's
    `log_partition` an evidence; for the same measurement and start, differences compare priors); ``r_hat`` at the
    last scale, where `agree` is given; ``log_weight`` (S, B), by which the chains count: equal where they were
    resampled, as they all are at the last scale unless `resample_below` is 0.

    Parameters
    ----------
    schedule
        Scales t from large to small; each repetition of a scale is one more move there.
    resample_below
        Share of S under which the effective sample size makes the chains of an image resample. 0: never, so that the
        chains stay independent, and share the modes as annealing does.
    agree
        Limit of the potential scale reduction factor R-hat (largest over the pixels) up to which the moves at the
        last scale go on. None: no more moves there.
    max_moves
        Most of those moves, at least 16.
    micro_batch
        As in `Sampler`.

    Raises
    ------
    ValueError
        If resample_below is outside [0, 1], agree is not above 1, or max_moves is below 16; later, if there is no
        second chain to agree with.

    References
    ----------
    Chand & Jacob 2026 (arXiv 2601.02594): p_t(x | y) and P. Del Moral, Doucet & Jasra, J. R. Stat. Soc. B 68, 2006:
    the weights. Roberts & Rosenthal, J. R. Stat. Soc. B 60, 1998: acceptance 0.574. Gelman & Rubin, Stat. Sci. 7,
    1992: R-hat.
    """

    independent = False
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

    def sample(
        self, prior: BatchedPrior, operator: LinearOperator, y: Tensor, noise: NoiseSource
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return samples (S, B, C, H, W) and diagnostics (S, B)."""
        if self.agree is not None and noise.num_samples < 2:
            raise ValueError("chains that shall agree must be at least 2, got num_samples=1")
        scales = self.schedule()
        population = _Population(prior, operator, y, noise, scales[0])
        for t in self.progress(scales):
            # All weights are spent at the last scale, and the moves there part the copies.
            last = t == scales[-1] and self.resample_below > 0
            population.go_to(t, 1.0 if last else self.resample_below)
            population.move()
        r_hat = {} if self.agree is None else {"r_hat": _until_agreement(population, self.agree, self.max_moves)}
        diagnostics = {k: v.expand(noise.num_samples, len(y)) for k, v in (population.diagnostics() | r_hat).items()}
        return population.point.x, diagnostics


def _until_agreement(population: _Population, agree: float, max_moves: int) -> Tensor:
    """Move on, in windows of doubling length, until R-hat is low for every image; return it (B,)."""
    moves, window = 0, FIRST_WINDOW
    r_hat = torch.full_like(population.log_step, math.inf)
    while moves + window <= max_moves and (moving := ~(r_hat <= agree)).any():
        r_hat = torch.where(moving, population.window_r_hat(window, moving), r_hat)
        moves, window = moves + window, 2 * window
    return r_hat


class _Population:
    """The chains (S, B) with their weights, the scale they are at, and the step size of every image."""

    def __init__(self, prior: BatchedPrior, operator: LinearOperator, y: Tensor, noise: NoiseSource, t: float) -> None:
        self.prior, self.operator, self.y, self.noise = prior, operator, y, noise
        self.image = operator.adjoint(y)
        self.potential = Potential(prior, operator, y, t)
        drawn = noise.draw(y), noise.draw(self.image)
        x = operator.posterior_sample(torch.zeros_like(drawn[1]), y, self.potential.width, drawn)
        self.point = self.potential(x)
        started_from = inner_product(x, x) / (2 * self.potential.width**2) + operator.misfit(x, y)
        self.log_weight = started_from - self.point.value
        self.log_evidence = torch.zeros_like(self.log_weight[0])
        self.least_size = torch.full_like(self.log_evidence, noise.num_samples)
        self.log_step = torch.full_like(self.log_evidence, -math.log(x[0, 0].numel()) / 3)
        self.accepted, self.moves = torch.zeros_like(self.log_weight), torch.zeros_like(self.log_evidence)
        self.here: list[Tensor] = []

    def go_to(self, t: float, resample_below: float) -> None:
        """Take the chains to another scale: adapt the step, weigh, and resample images of few effective chains."""
        if t == self.potential.t:
            return
        self.log_step = self.log_step + torch.stack(self.here).mean(dim=(0, 1)) - TARGET_ACCEPTANCE
        self.here = []
        before = self.point.value
        self.potential = Potential(self.prior, self.operator, self.y, t)
        self.point = self.potential(self.point.x)
        self.log_weight = self.log_weight + before - self.point.value
        size = _effective_size(self.log_weight)
        self.least_size = torch.minimum(self.least_size, size)
        self._resample(size < resample_below * len(self.log_weight))

    def move(self, moving: Tensor | None = None) -> None:
        """Make a Metropolis-adjusted Langevin move with the chains of the `moving` images (B,), or of all."""
        point, h = self.point, self.log_step.exp()
        noise = self.potential.color((self.noise.draw(self.y), self.noise.draw(self.image)))
        x = point.x - over_pixels(h) / 2 * point.preconditioned + over_pixels(h.sqrt()) * noise
        wanted = None if moving is None else moving.expand_as(point.value)
        proposal = self.potential(x, wanted)
        log_ratio = point.value - proposal.value - h / 8 * (proposal.square - point.square)
        log_ratio = log_ratio + inner_product(x - point.x, proposal.gradient + point.gradient) / 2
        accepted = torch.special.log_ndtr(self._normal()) < log_ratio
        chance = log_ratio.clamp(max=0).exp()
        if wanted is not None:
            accepted, chance = accepted & wanted, torch.where(wanted, chance, 0)
        self.point = proposal.where(accepted, point)
        self.here.append(chance)
        self.accepted, self.moves = self.accepted + chance, self.moves + (1 if moving is None else moving)

    def window_r_hat(self, window: int, moving: Tensor) -> Tensor:
        """Move the chains of the `moving` images on, and return R-hat over the window, largest over the pixels (B,)."""
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
        """Return what is known of the chains, (B,) or (S, B).

        Raises
        ------
        FloatingPointError
            If a proposal had a potential that is not finite.
        """
        acceptance = self.accepted / self.moves
        if not acceptance.isfinite().all():
            raise FloatingPointError("a Metropolis proposal met a potential that is not finite")
        return {
            "acceptance": acceptance,
            "step_size": self.log_step.exp(),
            "effective_sample_size": self.least_size,
            "log_evidence": self.log_evidence + _log_mean(self.log_weight),
            "log_weight": self.log_weight,
        }

    def _resample(self, wanted: Tensor) -> None:
        """Draw the chains of the wanted images (B,) anew in proportion to their weights (systematic resampling)."""
        count = len(self.log_weight)
        start = torch.special.ndtr(self._normal()[0])
        positions = (start + torch.arange(count, device=start.device)[:, None]) / count
        edges = self.log_weight.softmax(0).cumsum(0)
        chosen = torch.searchsorted(edges.mT.contiguous(), positions.mT.contiguous()).mT.clamp(max=count - 1)
        self.point = self.point.at(torch.where(wanted, chosen, torch.arange(count, device=start.device)[:, None]))
        self.log_evidence = self.log_evidence + torch.where(wanted, _log_mean(self.log_weight), 0)
        self.log_weight = torch.where(wanted, 0, self.log_weight)

    def _normal(self) -> Tensor:
        """Return a standard normal number for every chain (S, B)."""
        return self.noise.draw(self.image.real[:, :1, :1, :1])[..., 0, 0, 0]


def _effective_size(log_weight: Tensor) -> Tensor:
    """Return the effective sample size (B,) of log-weights (S, B)."""
    return (2 * log_weight.logsumexp(0) - (2 * log_weight).logsumexp(0)).exp()


def _log_mean(log_weight: Tensor) -> Tensor:
    return log_weight.logsumexp(0) - math.log(len(log_weight))
