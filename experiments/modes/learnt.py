"""Does a learnt energy know the weights of its modes? Energies of the problem of two pixels, trained in minutes.

The network learns the exact denoiser, as in distillation (`gradient`). With `time` the derivative of the energy in t is
learnt too: of -log p(x; t) it is the mean of (n - ||z||^2) / t over noise z given x (dual score matching, Guth et al.,
arXiv 2506.05310), with a normalizer c(t) of its own. With `large scales` three quarters of the scales are above 1,
where the modes are one. The weight by the energy is the integral over a grid; that by the kernel is of SMC, which asks
the same network for its denoiser alone.
"""

from __future__ import annotations

import argparse
import math
import time

import torch
from problems import SIGMA_MIN, Problem, problem
from torch import Tensor, nn

from alps_exp.priors import Energy
from alps_exp.samplers import SMC, GeometricSchedule

LARGEST, SPAN, CELLS = 10.0, 3.0, 400
VARIANTS = {"gradient": (0.0, False), "gradient, large scales": (0.0, True), "gradient, time": (0.1, False),
            "gradient, time, large scales": (0.1, True)}  # fmt: skip
"""Weight of the loss of the derivative in t, and whether most scales are large."""


class Psi(nn.Module):
    """psi(x, t) = x - t F(x, t) of two pixels, so that E / t^2 = ||F||^2 / 2, and the normalizer c(t)."""

    image_size, channels = None, 1

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = [layer for _ in range(2) for layer in (nn.Linear(width, width), nn.SiLU())]
        self.layers = nn.Sequential(nn.Linear(3, width), nn.SiLU(), *inner, nn.Linear(width, 2))
        self.normalizer = nn.Sequential(nn.Linear(1, 32), nn.SiLU(), nn.Linear(32, 1))

    def scaled(self, x: Tensor, t: Tensor) -> Tensor:
        """Return F of x (N, 2) at t (N, 1)."""
        inside = x / (1 + t.square()).sqrt()
        return inside + self.layers(torch.cat([2 * inside, t.log() / 2], dim=1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return psi of images x (N, 1, 1, 2) at t (N,)."""
        return x - (t[:, None] * self.scaled(x.flatten(1), t[:, None])).reshape(x.shape)


def train(one: Problem, seed: int, steps: int, of_time: float, large: bool) -> Psi:
    """Return the network after so many steps of 512 images."""
    torch.manual_seed(seed)
    generator, prior = torch.Generator().manual_seed(seed), one.prior.float()
    psi = Psi(128)
    optimizer = torch.optim.Adam(psi.parameters(), lr=2e-3)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    low, high = math.log(SIGMA_MIN), math.log(LARGEST)
    for _ in range(steps):
        place = torch.rand(512, 1, generator=generator)
        if large:
            above = -low / (high - low)
            place = torch.where(torch.rand(512, 1, generator=generator) < 0.75, above + (1 - above) * place, place)
        t = torch.exp(low + (high - low) * place).requires_grad_()
        z = torch.randn(512, 2, generator=generator)
        x = (prior.sample(512, generator).flatten(1) + t.detach() * z).requires_grad_()
        denoised = prior.denoise(x.detach().reshape(-1, 1, 1, 2), t.detach().flatten()).flatten(1)
        potential = psi.scaled(x, t).square().sum() / 2
        by_x, by_t = torch.autograd.grad(potential, (x, t), create_graph=True)
        score = t.detach() * by_x - (x - denoised).detach() / t.detach()
        loss = score.square().sum(1).mean()
        if of_time:
            scale = t.detach().log().requires_grad_()
            (slope,) = torch.autograd.grad(psi.normalizer(scale).sum(), scale, create_graph=True)
            loss = loss + of_time * (t.detach() * by_t + slope - (2 - z.square().sum(1, keepdim=True))).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        falling.step()
    one.prior.double()
    return psi.double().requires_grad_(False)


def grid() -> Tensor:
    """Return the points of a grid as images (N, 1, 1, 2)."""
    axis = torch.linspace(-SPAN, SPAN, CELLS, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis).reshape(-1, 1, 1, 2)


def weight_by_energy(one: Problem, prior: Energy, t: float) -> float:
    """Return the probability of the first mode under exp(-E / t^2 - misfit)."""
    x = grid()
    share = (-prior.energy(x, t) / t**2 - one.operator.misfit(x, one.y)).softmax(0)
    return float((share * (one.prior.responsibilities(x, t)[:, 0] > 0.5)).sum())


def effective_share(one: Problem, prior: Energy, t: float) -> float:
    """Return the share of exact posterior samples that are effective when they are weighted by the energy."""
    x = one.exact.sample(20_000, torch.Generator().manual_seed(0))
    share = ((one.prior.energy(x, t) - prior.energy(x, t)) / t**2).softmax(0)
    return float(1 / share.square().sum() / len(x))


def denoising_error(one: Problem, prior: Energy) -> float:
    """Return the root mean square of ||D - exact|| / ||x - exact|| over scales from `SIGMA_MIN` to 3."""
    generator = torch.Generator().manual_seed(0)
    errors = []
    for t in torch.logspace(math.log10(SIGMA_MIN), math.log10(3), 15).tolist():
        x = one.prior.sample(2000, generator)
        x = x + t * torch.randn(x.shape, generator=generator, dtype=x.dtype)
        exact = one.prior.denoise(x, t)
        errors.append((prior.denoise(x, t) - exact).square().sum() / (x - exact).square().sum())
    return float(torch.stack(errors).mean().sqrt())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--networks", type=int, default=3)
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS))
    settings = parser.parse_args()
    one = problem("2: two pixels")
    sampler = SMC(GeometricSchedule(5.0, SIGMA_MIN, 50), prior_kind="energy")
    ids = [str(seed) for seed in range(20)]
    y = one.y.expand(len(ids), -1, -1, -1)
    print(f"exact weight {one.weight:.3f}\n")
    print(
        "| Training | Error of D [%] | Weight by the energy | Effective [%] | by the kernel | log Z: mean error | s |"
    )
    print("|---" * 7 + "|")
    for name in settings.variants:
        for seed in range(settings.networks):
            start = time.process_time()
            prior = Energy(train(one, seed, settings.steps, *VARIANTS[name]))
            seconds = time.process_time() - start
            estimates = sampler(prior, one.operator, y, 200, image_ids=ids)
            kernel, _ = estimates.expectation(one.in_first(estimates.samples))
            off = estimates.diagnostics["log_evidence"][0].mean() - one.exact.log_evidence
            by_energy, effective = (of(one, prior, SIGMA_MIN) for of in (weight_by_energy, effective_share))
            cells = [f"{100 * denoising_error(one, prior):.2f}", f"{by_energy:.3f}", f"{100 * effective:.0f}"]
            cells += [f"{kernel.mean():.3f}", f"{off:+.3f}", f"{seconds:.0f}"]
            print("|", " | ".join([name, *cells]), "|", flush=True)


if __name__ == "__main__":
    main()
