"""Memory of an evaluation of a network, by model, size and number of chains, each in a process of its own.

Prints a table: the process before the evaluation, and what it takes above that at its peak. `chains` are samples times
images of a batch, or `sampler.micro_batch`. A network without shipped weights has random ones.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from alps_exp.benchmarks.published_loop import published_sample
from alps_exp.networks.preconditioning import build
from alps_exp.operators import Inpainting
from alps_exp.priors import Denoiser, Energy, Prior, load_energy, load_teacher
from alps_exp.restoration.cost import MIB, CostMeter
from alps_exp.samplers import ALPS, GeometricSchedule

RANDOM = {
    "EDM, FFHQ 64": {
        "network": "SongUNet",
        "model": {
            "img_resolution": 64,
            "in_channels": 3,
            "out_channels": 3,
            "model_channels": 128,
            "channel_mult": [2, 2, 2],
            "num_blocks": 4,
            "attn_resolutions": [16],
        },
    },
    "ADM, ImageNet 256": {
        "network": "DhariwalUNet",
        "model": {
            "img_resolution": 256,
            "in_channels": 3,
            "out_channels": 6,
            "model_channels": 256,
            "channel_mult": [1, 1, 2, 2, 4, 4],
            "num_blocks": 2,
            "attn_resolutions": [32, 16, 8],
        },
    },
}
CASES = [
    *((kind, "faces64", 64, chains) for kind in ("teacher", "energy") for chains in (1, 4, 16)),
    *((kind, "brain128", 128, chains) for kind in ("teacher", "energy") for chains in (1, 4, 16)),
    *((kind, "brain128", 320, 1) for kind in ("teacher", "energy")),
    *((kind, "EDM, FFHQ 64", 64, chains) for kind in ("teacher", "energy") for chains in (1, 4)),
    *((kind, "ADM, ImageNet 256", 128, 1) for kind in ("teacher", "energy")),
    ("teacher", "ADM, ImageNet 256", 256, 1),
]
LOOPS = ("published loop, batched", "alps", "alps, micro_batch=4", "alps, micro_batch=2", "alps_teacher")


def prior_of(kind: str, model: str) -> Prior:
    """Return a teacher or an energy of a model."""
    if model not in RANDOM:
        return (load_teacher if kind == "teacher" else load_energy)(model)
    network = build(RANDOM[model]).requires_grad_(False).eval()
    return (Denoiser if kind == "teacher" else Energy)(network)


def evaluation(kind: str, model: str, side: int, chains: int) -> Callable[[], object]:
    """Return the evaluation that a step of a sampler makes."""
    prior = prior_of(kind, model)
    x = torch.zeros(chains, prior.channels, side, side)
    return lambda: prior.denoise(x, 1.0)


def sampling(loop: str, model: str, side: int, chains: int) -> Callable[[], object]:
    """Return two steps of samples of one image, by the published loop in a batch, or by a sampler."""
    mask = (torch.rand(1, 1, side, side) < 0.2).float()
    y = torch.zeros(1, 3, side, side)
    if loop.startswith("published"):
        energy = load_energy(model)
        return lambda: begin_published(energy, mask, y.expand(chains, -1, -1, -1))
    teacher = loop == "alps_teacher"
    prior = prior_of("teacher" if teacher else "energy", model)
    sampler = ALPS(
        GeometricSchedule(5.0, 0.03, 2),
        moment_matching=2 if teacher else 0,
        prior_kind="teacher" if teacher else "energy",
        micro_batch=int(loop.rpartition("=")[2]) if "=" in loop else None,
    )
    return lambda: sampler(prior, Inpainting(mask, 0.05), y, chains)


def begin_published(energy: Energy, mask: Tensor, y: Tensor) -> None:
    """Take two steps of the published loop with all chains of y (N, C, H, W) at once."""
    evaluations = iter(range(2))

    def psi(x: Tensor, t: Tensor) -> Tensor:
        next(evaluations)
        return energy.network(x, t.expand(len(x)))

    with suppress(StopIteration):
        published_sample(psi, mask, y, 0.05, seed=0)


def resident_mib() -> float:
    """Return the memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / MIB


def measure(case: tuple[str, str, int, int]) -> None:
    """Print what one case takes."""
    kind, model, side, chains = case
    work = (evaluation if kind in ("teacher", "energy") else sampling)(kind, model, side, chains)
    meter, before = CostMeter(torch.device("cpu")), resident_mib()
    work()
    peak = meter.peak_memory_mib()
    print(f"| {model} | {kind} | {side} | {chains} | {before:,.0f} | {peak - before:,.0f} |", flush=True)


def main() -> None:
    """Measure all cases, each in a process forked from this one, which has imported everything."""
    processes = multiprocessing.get_context("fork")
    print("| Model | Evaluated | Side | Chains | Before, MiB | Above it, MiB |\n|---|---|---|---|---|---|", flush=True)
    for case in [*CASES, *((loop, "faces64", 64, 16) for loop in LOOPS)]:
        process = processes.Process(target=measure, args=(case,))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
