"""What a training step costs: the losses of teacher and energy against the network's own forward and backward pass."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from alps_exp.benchmarks.timing import Row, interleaved, row
from alps_exp.priors import Denoiser, load_teacher
from alps_exp.randomness import image_noise
from alps_exp.training import CosineAdam, EnergyDistillation, LogNormalSigma, TeacherTraining
from alps_exp.training.base import DenoisingTraining

BATCH, SIZE = 8, 64


def training(repeats: int, device: torch.device) -> Iterator[Row]:
    """Yield the seconds of a step at batch 8 of 64 x 64 pixels, without the loading of data, and the floor."""
    model = load_teacher("faces64").to(device)
    assert isinstance(model, Denoiser)
    modules: dict[str, DenoisingTraining] = {
        "energy": EnergyDistillation(model, CosineAdam(), LogNormalSigma()),
        "teacher": TeacherTraining(copy.deepcopy(model.network), CosineAdam(), LogNormalSigma()),
    }
    for module in modules.values():
        module.network.requires_grad_(True)
    x = image_noise(torch.zeros(BATCH, 3, SIZE, SIZE, device=device), *[(index,) for index in range(BATCH)])
    sigma = torch.full((BATCH,), 0.5, device=device)
    functions = {name: partial(_step, module, x, sigma) for name, module in modules.items()}
    functions["network alone, forward and backward"] = partial(_floor, modules["teacher"], x, sigma)
    for name, times in interleaved(functions, repeats, device).items():
        yield row("training", f"{name}, a step of {BATCH} images of {SIZE} px", times, "s")


def _step(module: DenoisingTraining, x: Tensor, sigma: Tensor) -> None:
    noisy = x + sigma[:, None, None, None]
    module.loss(x, noisy, sigma).mean().backward()
    module.network.zero_grad()


def _floor(module: DenoisingTraining, x: Tensor, sigma: Tensor) -> None:
    module.network(x, sigma).square().mean().backward()
    module.network.zero_grad()
