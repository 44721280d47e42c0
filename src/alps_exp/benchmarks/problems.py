"""The problems that are timed: images drawn from the shipped models, operators of every family, and samplers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from alps_exp.batch import Batch
from alps_exp.benchmarks.timing import T, timed
from alps_exp.masks import BirdcageMaps, CartesianMask1D, CartesianMask2D
from alps_exp.operators import (
    GaussianBlur,
    Inpainting,
    LinearOperator,
    MotionBlur,
    MultiCoilMRI,
    SuperResolution,
)
from alps_exp.priors import EnergyPrior, Prior
from alps_exp.priors.base import VJP, Scale
from alps_exp.samplers import ALPS, DAPS, DPS, GeometricSchedule, KarrasSchedule, Sampler

Operator = Callable[[Tensor], LinearOperator]
COILS, FACE_NOISE, MRI_NOISE = 8, 0.05, 0.02

IMAGE_OPERATORS: dict[str, Operator] = {
    "inpainting": lambda x: Inpainting(_pixels(x), FACE_NOISE),
    "Gaussian blur": lambda _: GaussianBlur(2.0, FACE_NOISE),
    "motion blur": lambda _: MotionBlur(9.0, 30.0, FACE_NOISE),
    "super-resolution": lambda _: SuperResolution(4, FACE_NOISE),
}
MRI_OPERATORS: dict[str, Operator] = {
    "MRI lines": lambda x: MultiCoilMRI(CartesianMask1D(4)(_batch(x)), coil_maps(x), MRI_NOISE),
    "MRI points": lambda x: MultiCoilMRI(CartesianMask2D(8)(_batch(x)), coil_maps(x), MRI_NOISE),
}


SAMPLERS: dict[str, Sampler] = {
    "alps": ALPS(GeometricSchedule(2.5, 0.03, 50)),
    "alps_teacher": ALPS(GeometricSchedule(5.0, 0.03, 17), moment_matching=2, prior_kind="teacher"),
    "alps static, 10 steps": ALPS(GeometricSchedule(2.5, 0.03, 10), annealing="static"),
    "daps, 10 steps": DAPS(KarrasSchedule(10.0, 0.1, 10, 7.0), ode_steps=1, langevin_steps=0),
    "dps, 10 steps": DPS(KarrasSchedule(80.0, 0.01, 10, 7.0), step_size=5.0),
}
"""The samplers with their default settings; those that no bar is set for take fewer steps."""


class TimedPrior(EnergyPrior):
    """A prior that adds up the seconds of its evaluations in `spent`, all work on the device included."""

    def __init__(self, prior: Prior, device: torch.device) -> None:
        super().__init__()
        self.prior, self.device, self.spent = prior, device, 0.0

    @property
    def channels(self) -> int:
        """Number of real channels of the images."""
        return self.prior.channels

    def denoise(self, x: Tensor, t: Scale) -> Tensor:
        """Return the denoised images."""
        return self._timed(lambda: self.prior.denoise(x, t))

    def denoise_with_vjp(self, x: Tensor, t: Scale) -> tuple[Tensor, VJP]:
        """Return the denoised images and the map v -> J^T v."""
        d, vjp = self._timed(lambda: self.prior.denoise_with_vjp(x, t))
        return d, lambda v: self._timed(lambda: vjp(v))

    def energy(self, x: Tensor, t: Scale) -> Tensor:
        """Return the energy of each image."""
        assert isinstance(self.prior, EnergyPrior)
        return self.prior.energy(x, t)

    def energy_and_gradient(self, x: Tensor, t: Scale) -> tuple[Tensor, Tensor]:
        """Return the energy of each image and its gradient."""
        assert isinstance(self.prior, EnergyPrior)
        energy = self.prior
        return self._timed(lambda: energy.energy_and_gradient(x, t))

    def _timed(self, call: Callable[[], T]) -> T:
        result, spent = timed(call, self.device)
        self.spent += spent
        return result


def drawn_image(prior: Prior, size: int, complex_valued: bool, device: torch.device) -> Tensor:
    """Return an image (1, C, H, W) drawn from a model: ALPS with nothing measured."""
    dtype = torch.complex64 if complex_valued else torch.float32
    blank = torch.zeros(1, prior.channels // (2 if complex_valued else 1), size, size, dtype=dtype, device=device)
    nothing = Inpainting(torch.zeros(1, 1, size, size, device=device), 1.0)
    return ALPS(GeometricSchedule(steps=25))(prior, nothing, blank, num_samples=1).samples[0]


def coil_maps(x: Tensor, count: int = COILS) -> Tensor:
    """Return simulated maps of coils for an image."""
    return BirdcageMaps(count)(_batch(x)).to(x.device)


def _pixels(x: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(1, 1, *x.shape[-2:], generator=generator) < 0.2).float().to(x.device)


def _batch(x: Tensor) -> Batch:
    return {"image": x, "image_id": ["image"]}
