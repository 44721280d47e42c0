"""What sampling costs: a step above the bare network, many samples, and the seconds to a given PSNR."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from alps_exp.benchmarks.problems import (
    FACE_NOISE,
    IMAGE_OPERATORS,
    MRI_OPERATORS,
    SAMPLERS,
    Operator,
    TimedPrior,
    drawn_image,
)
from alps_exp.benchmarks.published_loop import published_sample
from alps_exp.benchmarks.timing import Row, repeated, row, timed
from alps_exp.operators import LinearOperator
from alps_exp.priors import Energy, Prior, load_energy, load_teacher
from alps_exp.randomness import image_noise
from alps_exp.samplers import DAPS, KarrasSchedule, Sampler

CHAINS, MANY = 4, 16
FACES, BRAINS = ("faces64", 64), (("brain64", 64), ("brain128", 128))
LINES = {"MRI lines": MRI_OPERATORS["MRI lines"]}
DAPS_CALLS = (50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Problem:
    """An image of a model, measured by one operator, and the model's two priors."""

    name: str
    operator: LinearOperator
    y: Tensor
    truth: Tensor
    priors: dict[str, TimedPrior]

    def above(self, sampler: Sampler, chains: int) -> float:
        """Return how much longer a run takes than its network's evaluations, in per cent of these."""
        prior = self.priors[sampler.prior_kind]
        prior.spent = 0.0
        _, total = timed(lambda: sampler(prior, self.operator, self.y, chains), self.truth.device)
        return 100 * (total - prior.spent) / prior.spent

    def timed_mean(self, sampler: Sampler, count: int) -> tuple[float, float]:
        """Return the PSNR of the mean of antithetic samples, and the seconds that they took."""
        prior = self.priors[sampler.prior_kind].prior
        draw = partial(sampler, prior, self.operator, self.y, count, antithetic=True)
        estimates, spent = timed(draw, self.truth.device)
        return self.psnr(estimates.mean), spent

    def psnr(self, x: Tensor) -> float:
        """Return the PSNR of an image, of complex ones of their magnitude."""
        if x.is_complex():
            peak, error = float(self.truth.abs().max()), x.abs() - self.truth.abs()
        else:
            peak, error = 2.0, x - self.truth
        return float(10 * torch.log10(peak**2 / error.square().mean()))


def problems(model: str, size: int, families: dict[str, Operator], device: torch.device) -> Iterator[Problem]:
    """Yield a problem for every operator, on one image drawn from a model."""
    loaders: dict[str, Callable[[str], Prior]] = {"energy": load_energy, "teacher": load_teacher}
    priors = {kind: TimedPrior(load(model).to(device), device) for kind, load in loaders.items()}
    truth = drawn_image(priors["energy"], size, model.startswith("brain"), device)
    for family, build in families.items():
        operator = build(truth)
        y = operator.measure(truth, image_noise(operator.forward(truth), (0,)))
        yield Problem(f"{family}, {size} px", operator, y, truth, priors)


def steps(repeats: int, device: torch.device) -> Iterator[Row]:
    """Yield what a step costs above its network's evaluations, per cent, for every operator and sampler.

    Both are timed in the same run of four chains: the network's evaluations by themselves, and what is left.
    """
    models = [(*FACES, IMAGE_OPERATORS), *((*brain, MRI_OPERATORS) for brain in BRAINS)]
    for model, size, families in models:
        for problem in problems(model, size, families, device):
            for name, sampler in SAMPLERS.items():
                above = repeated(partial(problem.above, sampler, CHAINS), repeats)
                yield row("steps", f"{problem.name}, {name}", above, "% above the network")


def throughput(repeats: int, device: torch.device) -> Iterator[Row]:
    """Yield the share of the network's own throughput that 16 samples of one image have, and the published loop's time.

    The published loop draws its 16 samples once; the seconds are compared that `alps_teacher` needs for a mean of the
    same PSNR.
    """
    faces = list(problems(*FACES, IMAGE_OPERATORS, device))
    for problem in [*faces, *problems(*BRAINS[0], LINES, device)]:
        for name in ("alps", "alps_teacher"):
            above = repeated(partial(problem.above, SAMPLERS[name], MANY), repeats)
            shares = [100 / (1 + share / 100) for share in above]
            yield row("throughput", f"{problem.name}, {name}, {MANY} samples", shares, "% of the network")
    yield from _published(faces[0])


def to_psnr(repeats: int, device: torch.device) -> Iterator[Row]:
    """Yield the best PSNR of the mean of four samples of DAPS over its numbers of calls, and the seconds to it.

    The seconds of `alps_teacher` are those of as many samples as it needs, 2, 4 or 8. All runs are made once, and all
    samples are antithetic.
    """
    del repeats
    for problem in [*problems(*FACES, IMAGE_OPERATORS, device), *problems(*BRAINS[0], LINES, device)]:
        best, longest = float("-inf"), 0.0
        for calls in DAPS_CALLS:
            daps = DAPS(KarrasSchedule(10.0, 0.1, calls, 7.0), ode_steps=1, langevin_steps=0)
            psnr, spent = problem.timed_mean(daps, CHAINS)
            if psnr > best:
                best, longest = psnr, spent
        yield from _against("to_psnr", f"{problem.name}, daps", best, longest, problem)


def _published(problem: Problem) -> Iterator[Row]:
    energy = problem.priors["energy"].prior
    mask = (problem.operator.forward(torch.ones_like(problem.truth)) != 0).float()
    assert isinstance(energy, Energy)
    draw = partial(published_sample, energy.network, mask, problem.y, FACE_NOISE)
    samples, spent = timed(lambda: [draw(seed) for seed in range(MANY)], problem.truth.device)
    psnr = problem.psnr(torch.cat(samples).mean(0, keepdim=True))
    yield from _against("throughput", f"{problem.name}, published loop, {MANY} samples", psnr, spent, problem)


def _against(part: str, name: str, psnr: float, spent: float, problem: Problem) -> Iterator[Row]:
    """Yield a rival's PSNR and seconds, and those of the fewest samples of `alps_teacher` with such a mean."""
    yield row(part, f"{name}, mean", [psnr], "dB")
    yield row(part, name, [spent], "s")
    for count in (2, 4, 8):
        reached, own = problem.timed_mean(SAMPLERS["alps_teacher"], count)
        if reached >= psnr:
            break
    yield row(part, f"{name}: alps_teacher, mean of {count}", [reached], "dB")
    yield row(part, f"{name}: alps_teacher, {count} samples", [own], "s")
    if reached >= psnr:
        yield row(part, f"{name}: alps_teacher's share of the seconds", [100 * own / spent], "%")
