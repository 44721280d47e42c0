"""Mode weights and evidence of SMC on six problems, over repeats: bias, and coverage of the stated standard errors.

Every repeat is an image of a batch, whose id keys its noise.
"""

from __future__ import annotations

import argparse
import time

import torch
from problems import PROBLEMS, SIGMA_MIN, Problem, problem
from torch import Tensor

from alps_exp.samplers import SMC, GeometricSchedule

SEEDS = 50  # whose mean is compared with the exact weight
AT_A_TIME = 2**26  # numbers of all matrices


def repeats(sampler: SMC, one: Problem, chains: int, count: int) -> Tensor:
    """Return weight of the first mode and its error, log evidence and its error, and ancestors, (5, count)."""
    at_once = max(1, AT_A_TIME // (chains * one.numbers**2))
    found = []
    for first in range(0, count, at_once):
        ids = [str(seed) for seed in range(first, min(first + at_once, count))]
        y = one.y.expand(len(ids), *one.y.shape[1:])
        estimates = sampler(one.prior, one.operator, y, chains, image_ids=ids)
        weight, error = estimates.expectation(one.in_first(estimates.samples))
        of_images = (estimates.diagnostics[name][0] for name in ("log_evidence", "log_evidence_std", "ancestors"))
        found.append(torch.stack([weight, error, *of_images]))
    return torch.cat(found, dim=1)


def row(name: str, sampler: SMC, chains: int, count: int) -> str:
    """Return a row of the table."""
    one, start = problem(name), time.process_time()
    weight, error, evidence, of_evidence, ancestors = repeats(sampler, one, chains, count)
    seconds = (time.process_time() - start) / count
    bias, few = weight[:SEEDS].mean() - one.weight, weight[:SEEDS].std() / SEEDS**0.5
    off = evidence - one.exact.log_evidence
    covered = [
        ((x.abs() < 1.96 * e).double().mean() * 100) for x, e in ((weight - one.weight, error), (off, of_evidence))
    ]
    stated = error.square().mean().sqrt()
    return (
        f"| {name} | {one.weight:.3f} | {bias:+.4f} ± {few:.4f} | {weight.std():.3f} / {stated:.3f} | "
        f"{covered[0]:.1f} | {off.mean():+.3f} | {off.std():.3f} / {of_evidence.square().mean().sqrt():.3f} | "
        f"{covered[1]:.1f} | {ancestors.mean():.0f} | {seconds:.2f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--chains", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--problems", nargs="*", default=list(PROBLEMS))
    settings = parser.parse_args()
    sampler = SMC(GeometricSchedule(5.0, SIGMA_MIN, settings.steps))
    print(
        "| Numbers: problem | Weight | Bias of 50 seeds | Scatter / stated | Covered [%] | log Z: mean error | "
        "scatter / stated | covered [%] | Ancestors | CPU s |"
    )
    print("|---" * 10 + "|")
    for name in settings.problems:
        print(row(name, sampler, settings.chains, settings.repeats), flush=True)


if __name__ == "__main__":
    main()
