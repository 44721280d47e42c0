"""Sequential Monte Carlo: weighted samples of the posterior, and the evidence of the measurement."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from alps_exp.checks import check_share
from alps_exp.estimates import FEWEST_ANCESTORS, UNCERTIFIED, PriorKind, Weights, systematic_choice
from alps_exp.priors import ComposedEnergy
from alps_exp.samplers.base import Sampler
from alps_exp.samplers.gaussian_model import Matching, as_numbers
from alps_exp.samplers.problem import Problem, State
from alps_exp.samplers.schedules import GeometricSchedule, Schedule

log = logging.getLogger(__name__)
LARGEST_IMAGE, MOST_ENTRIES = 1024, 2**27
"""Most real numbers of an image, and most entries (1 GiB) of one matrix of numbers x numbers for every chain."""


class SMC(Sampler):
    """Matched, twisted sequential Monte Carlo: weighted samples of the posterior, and the evidence p(y).

    The chains go down the scales by the steps of the diffusion, each given the measurement, with mean and covariance of
    the image by Tweedie's formula: the denoiser D and its whole Jacobian. Weights correct what the Gaussian form of the
    steps gets wrong. Therefore modes have their mass, which annealing alone does not give, and the mean weight is the
    evidence. No energy is needed.

    It is a reference for small problems. A step costs n vector-Jacobian products a chain for images of n real numbers,
    and the scatter of the weights grows with n and with the error of the denoiser.

    The estimates have `weights`, and the samples the order of these, the heaviest first. Diagnostics of each image:
    ``log_evidence``, log p(y) with every normalizer, for the prior at the last scale; ``log_evidence_std``, its
    standard error; ``effective_sample_size`` and ``ancestors``, see `alps_exp.estimates.Weights`; ``converged``, 1 with
    at least 10 ancestors: with fewer, neither weights nor evidence are certified. ``weight`` (S, B) of the samples.

    Parameters
    ----------
    schedule
        Scales, each once. At the first the prior must be nearly Gaussian.
    resample_below
        The chains of an image are resampled if their effective sample size is below this fraction of S. 0: never.
    denoiser_error
        Relative error eps of the denoiser, ||D - exact|| / ||x - D||, 0 for closed forms. Covariances are widened by
        4 eps^2 u^2 at noise u, or else the error of the denoiser, in units of a too narrow step, ruins the weights.
    prior_kind, micro_batch
        As in `Sampler`.

    Raises
    ------
    ValueError
        If resample_below is outside [0, 1], denoiser_error is negative or a scale is repeated; during sampling, if
        there is only one chain, the images are too large, or the prior is a composed energy.

    References
    ----------
    Wu, Trippe, Naesseth, Blei, Cunningham, "Practical and asymptotically exact conditional sampling in diffusion
    models", NeurIPS 2023 (arXiv 2306.17775): diffusion steps with twisted weights. Rozet et al., NeurIPS 2024 (arXiv
    2405.13712): Tweedie's covariance. Lee & Whiteley, "Variance estimation in the particle filter", Biometrika 105,
    2018 (arXiv 1509.00394): standard errors by ancestors.

    Examples
    --------
    >>> import torch
    >>> from alps_exp.operators import Inpainting
    >>> from alps_exp.priors import two_mode_mixture
    >>> from alps_exp.samplers import GeometricSchedule
    >>> prior, operator = two_mode_mixture(size=4), Inpainting(torch.ones(1, 1, 4, 4), noise_std=0.5)
    >>> estimates = SMC(GeometricSchedule(steps=20))(prior, operator, torch.zeros(1, 1, 4, 4), num_samples=50)
    >>> bright = estimates.samples.sum((-3, -2, -1)) > 0
    >>> probability, standard_error = estimates.expectation(bright.double())
    >>> probability.shape, estimates.diagnostics["log_evidence"].shape
    (torch.Size([1]), torch.Size([50, 1]))
    """

    independent = takes_pairs = False  # chains are weighed against each other

    def __init__(
        self,
        schedule: Schedule = GeometricSchedule(),  # noqa: B008 - immutable
        resample_below: float = 0.5,
        denoiser_error: float = 0.0,
        prior_kind: PriorKind = "teacher",
        micro_batch: int | None = None,
    ) -> None:
        super().__init__(schedule, prior_kind, micro_batch)
        if len(set(schedule())) < len(schedule()):
            raise ValueError("the scales of SMC must differ, got some that are repeated: give another schedule")
        if not 0 <= denoiser_error < math.inf:
            raise ValueError(f"denoiser_error must be at least 0, got {denoiser_error}")
        self.resample_below, self.denoiser_error = check_share("resample_below", resample_below), denoiser_error

    def chain(self, problem: Problem) -> Iterator[State]:
        """Yield the chains at every scale; the last state has the weights and the diagnostics."""
        _check(problem)
        *scales, last = self.schedule()
        matching = Matching(problem, last, self.denoiser_error)
        model, u = matching.start(scales[0], problem.noise.num_samples), math.inf
        population = _Population(model.log_twist)
        for t in scales:
            model = model.select(population.resample(_uniform(problem), self.resample_below))
            s = math.sqrt(t**2 - last**2)  # on top of an image at the last scale
            x, log_ratio = model.step(u, s, as_numbers(problem.draw()))
            after = matching(x, s)
            population.reweight(log_ratio + after.log_twist - model.log_twist)
            yield problem.state(matching.images(x), t)
            model, u = after, s
        model = model.select(population.resample(_uniform(problem), self.resample_below))
        # The last images are drawn from the model given y itself, which leaves the weights as they are.
        x, _ = model.step(u, 0.0, as_numbers(problem.draw()))
        yield _last_state(problem, matching.images(x), last, population)


class _Population:
    """The weights (S, B) of chains, and the first chains that they descend from."""

    def __init__(self, log_weight: Tensor) -> None:
        self.log_weight, self.log_evidence = _finite(log_weight), torch.zeros_like(log_weight[0])
        self.all = torch.arange(len(log_weight), device=log_weight.device)[:, None].expand_as(log_weight)
        self.ancestors = self.all

    def reweight(self, log_factor: Tensor) -> None:
        """Multiply the weights by factors (S, B)."""
        self.log_weight = _finite(self.log_weight + log_factor)

    def resample(self, offset: Tensor, below: float) -> Tensor:
        """Return the chains (S, B) that go on: resampled where the effective sample size is below a fraction of S."""
        shares = self.log_weight.softmax(0)
        few = 1 / shares.square().sum(0) < below * len(shares)
        chosen = torch.where(few, systematic_choice(shares, offset), self.all)
        self.ancestors = self.ancestors.gather(0, chosen)
        self.log_evidence = torch.where(few, self.log_evidence + self.log_mean, self.log_evidence)
        self.log_weight = torch.where(few, 0, self.log_weight)
        return chosen

    @property
    def log_mean(self) -> Tensor:
        """Logarithm of the mean weight, (B,)."""
        return self.log_weight.logsumexp(0) - math.log(len(self.log_weight))


def _last_state(problem: Problem, x: Tensor, t: float, population: _Population) -> State:
    """Return the state of the final chains, the heaviest first, with their weights and the diagnostics."""
    shares = population.log_weight.softmax(0)
    order = shares.float().argsort(dim=0, descending=True, stable=True)  # float: rounding does not decide
    weights = Weights(shares.gather(0, order), population.ancestors.gather(0, order))
    if uncertified := int((weights.surviving < FEWEST_ANCESTORS).sum()):
        log.warning("SMC: %d of %d images %s", uncertified, len(x[0]), UNCERTIFIED)
    of_images = {
        "log_evidence": population.log_evidence + population.log_mean,
        "log_evidence_std": weights.std_of_log_evidence,
        "effective_sample_size": weights.effective_sample_size,
        "ancestors": weights.surviving,
        "converged": weights.surviving >= FEWEST_ANCESTORS,
    }
    diagnostics = {name: values.to(shares).expand_as(shares) for name, values in of_images.items()}
    image = torch.arange(len(problem.y), device=x.device)
    return problem.state(x[order, image], t, None, diagnostics | {"weight": weights.shares}, weights)


def _check(problem: Problem) -> None:
    """Raise ValueError if SMC cannot sample a posterior."""
    if isinstance(problem.prior.prior, ComposedEnergy):
        raise ValueError("SMC needs the denoiser of a density, and a composed energy has none: choose sampler=alps")
    chains, images = problem.noise.num_samples, len(problem.y)
    if chains < 2:
        raise ValueError(f"SMC weighs chains against each other: num_samples must be at least 2, got {chains}")
    size = as_numbers(problem.adjoint).shape[-1]
    if size > LARGEST_IMAGE:
        raise ValueError(
            f"SMC computes with a matrix of n x n numbers for each chain, and images have n = {LARGEST_IMAGE:,} real "
            f"numbers at most, got {size:,}: give smaller images, or choose sampler=alps_teacher"
        )
    if (entries := chains * images * size**2) > MOST_ENTRIES:
        raise ValueError(
            f"SMC needs a matrix of {size} x {size} numbers for each of {chains} chains of {images} images, "
            f"{entries / 2**27:.1f} GiB at a time of at most {MOST_ENTRIES / 2**27:g}: give fewer num_samples, a "
            "smaller data.batch_size, or smaller images"
        )


def _uniform(problem: Problem) -> Tensor:
    """Return a uniform random number for each image, (B,)."""
    uniform: Tensor = torch.special.ndtr(problem.draw_number()[0].double())
    return uniform


def _finite(log_weight: Tensor) -> Tensor:
    """Return log-weights; raises FloatingPointError if one of them is not finite."""
    if not log_weight.isfinite().all():
        raise FloatingPointError("the weight of a chain is not finite")
    return log_weight
