"""Operators of every family with per-image data, and their dense matrices as an independent oracle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from alps_exp.operators import (
    Blur,
    Denoising,
    GaussianBlur,
    Inpainting,
    JointOperator,
    LinearOperator,
    MotionBlur,
    MultiCoilMRI,
    SuperResolution,
)

ETA = 0.02
BATCH, HEIGHT, WIDTH, COILS = 8, 8, 7, 3


def randn(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Standard normal values; complex ones with standard deviation 1 in both parts."""
    generator = torch.Generator().manual_seed(seed)
    if dtype.is_complex:
        parts = torch.randn(*shape, 2, dtype=torch.float64, generator=generator)
        return torch.view_as_complex(parts).to(dtype)
    return torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype)


def random_mask(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(*shape, generator=generator) < 0.4).float()


def smooth_maps(dtype: torch.dtype) -> Tensor:
    """Non-uniform coil maps that differ between images; their root sum of squares varies from 0.4 to 1.4."""
    rows = torch.linspace(-1, 1, HEIGHT, dtype=torch.float64)[:, None]
    columns = torch.linspace(-1, 1, WIDTH, dtype=torch.float64)
    maps = []
    for index in range(BATCH * COILS):
        angle = torch.tensor(2.0 * index + 0.3 * (index // COILS), dtype=torch.float64)
        distance = (rows - angle.cos()) ** 2 + (columns - angle.sin()) ** 2
        maps.append(torch.polar(torch.exp(-0.7 * distance), angle + rows * columns + 0.5 * columns))
    return torch.stack(maps).view(BATCH, COILS, HEIGHT, WIDTH).to(dtype)


def two_sets(dtype: torch.dtype) -> Tensor:
    """Return a second set of maps beside `smooth_maps`, as where an object folds onto itself."""
    maps = smooth_maps(dtype)
    return torch.stack([maps, 0.5 * maps.roll(HEIGHT // 2, -2).roll(1, 1)], dim=1)


@dataclass(frozen=True)
class Case:
    """One operator family: `build(dtype, images, **options)` makes the operator of some images of a batch."""

    name: str
    build: Callable[..., LinearOperator]
    channels: int
    is_complex: bool = False
    has_cg: bool = False
    has_exact_noise: bool = True
    has_noise: bool = True
    width: int = WIDTH

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.channels, HEIGHT, self.width

    def dtype(self, double: bool) -> torch.dtype:
        real = torch.float64 if double else torch.float32
        return real.to_complex() if self.is_complex else real

    def operator(self, images: slice = slice(None), double: bool = True, **options: float) -> LinearOperator:
        return self.build(self.dtype(double), images, **(options if self.has_cg else {}))

    def images(self, *leading: int, seed: int, double: bool = True) -> Tensor:
        return randn(*leading, *self.image_shape, seed=seed, dtype=self.dtype(double))

    def measurements(self, *leading: int, seed: int, double: bool = True) -> Tensor:
        shape = self.operator().measurement_shape((*leading, *self.image_shape))
        return randn(*shape, seed=seed, dtype=self.dtype(double))


def _inpainting(dtype: torch.dtype, images: slice) -> LinearOperator:
    return Inpainting(random_mask(BATCH, 2, HEIGHT, WIDTH, seed=1)[images], ETA)


def _gaussian(dtype: torch.dtype, images: slice) -> LinearOperator:
    return GaussianBlur(1.2, ETA)


def _motion(dtype: torch.dtype, images: slice) -> LinearOperator:
    return MotionBlur(4.0, 30.0, ETA)


def _blur(dtype: torch.dtype, images: slice) -> LinearOperator:
    return Blur(randn(4, 3, seed=2), ETA)


def _denoising(dtype: torch.dtype, images: slice) -> LinearOperator:
    return Denoising(ETA)


def _super_resolution(factor: int, kind: str) -> Callable[..., LinearOperator]:
    def build(dtype: torch.dtype, images: slice) -> LinearOperator:
        return SuperResolution(factor, ETA, kind)

    return build


def _mri(
    *mask_shape: int, solver: str = "auto", maps: Callable[[torch.dtype], Tensor] = smooth_maps
) -> Callable[..., LinearOperator]:
    def build(dtype: torch.dtype, images: slice, **options: float) -> LinearOperator:
        mask = random_mask(BATCH, 1, *mask_shape, seed=3)
        return MultiCoilMRI(mask[images], maps(dtype)[images], ETA, solver=solver, **options)

    return build


def _folded(height: int, width: int, *, by_columns: bool) -> Callable[..., LinearOperator]:
    """The maps exceed a field of view of this size; the mask varies along both axes or only from column to column."""

    def build(dtype: torch.dtype, images: slice, **options: float) -> LinearOperator:
        mask = random_mask(BATCH, 1, 1 if by_columns else height, width, seed=3).expand(-1, -1, height, -1)
        return MultiCoilMRI(mask[images], smooth_maps(dtype)[images], ETA, folds=True, **options)

    return build


def _joint(channels: int, *parts: Callable[..., LinearOperator]) -> Callable[..., LinearOperator]:
    """Measurements of noise ETA, 2 ETA, ...; the noise of the joint one is ETA."""

    def build(dtype: torch.dtype, images: slice, **options: float) -> LinearOperator:
        operators = [part(dtype, images) for part in parts]
        for index, operator in enumerate(operators, 1):
            operator.noise_std = index * ETA
        return JointOperator(operators, (channels, HEIGHT, WIDTH), **options)

    return build


CASES = [
    Case("inpainting", _inpainting, channels=2),
    Case("inpainting-complex", _inpainting, channels=2, is_complex=True),
    Case("gaussian-blur", _gaussian, channels=2),
    Case("motion-blur", _motion, channels=2),
    Case("blur-complex", _blur, channels=1, is_complex=True),
    Case("denoising", _denoising, channels=1),
    Case("super-resolution-average-2", _super_resolution(2, "average"), channels=2, width=6),
    Case("super-resolution-average-4", _super_resolution(4, "average"), channels=1, is_complex=True, width=4),
    Case("super-resolution-bicubic-2", _super_resolution(2, "bicubic"), channels=2, width=10),
    Case("super-resolution-bicubic-4", _super_resolution(4, "bicubic"), channels=1, is_complex=True, width=12),
    Case("mri-columns", _mri(1, WIDTH), channels=1, is_complex=True, has_exact_noise=False),
    Case("mri-rows", _mri(HEIGHT, 1), channels=1, is_complex=True, has_exact_noise=False),
    Case("mri-2d", _mri(HEIGHT, WIDTH), channels=1, is_complex=True, has_cg=True, has_exact_noise=False),
    Case("mri-sets-columns", _mri(1, WIDTH, maps=two_sets), channels=2, is_complex=True, has_exact_noise=False),
    Case("mri-sets-rows", _mri(HEIGHT, 1, maps=two_sets), channels=2, is_complex=True, has_exact_noise=False),
    Case(
        "mri-sets-2d",
        _mri(HEIGHT, WIDTH, maps=two_sets),
        channels=2,
        is_complex=True,
        has_cg=True,
        has_exact_noise=False,
    ),
    Case(
        "mri-folded-columns",
        _folded(HEIGHT, 5, by_columns=True),
        channels=1,
        is_complex=True,
        has_exact_noise=False,
        has_noise=False,
    ),
    Case(
        "mri-folded-2d",
        _folded(3, 4, by_columns=False),
        channels=1,
        is_complex=True,
        has_cg=True,
        has_exact_noise=False,
        has_noise=False,
    ),
    Case(
        "mri-columns-cg",
        _mri(1, WIDTH, solver="cg"),
        channels=1,
        is_complex=True,
        has_cg=True,
        has_exact_noise=False,
    ),
    Case(
        "joint",
        _joint(2, _inpainting, _gaussian),
        channels=2,
        has_cg=True,
        has_exact_noise=False,
        has_noise=False,
    ),
    Case(
        "joint-complex",
        _joint(1, _mri(1, WIDTH), _mri(HEIGHT, 1), _blur),
        channels=1,
        is_complex=True,
        has_cg=True,
        has_exact_noise=False,
        has_noise=False,
    ),
]


def as_rows(x: Tensor, num_dims: int = 3) -> Tensor:
    """Flatten the last dimensions to real vectors; real and imaginary parts become separate entries."""
    if x.is_complex():
        x, num_dims = torch.view_as_real(x), num_dims + 1
    return x.flatten(-num_dims)


def unit_images(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return the unit vectors of the real space of images of `shape` as a leading dimension: (n, *shape)."""
    size = torch.Size(shape).numel()
    basis = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
    return torch.cat([basis + 0j, 1j * basis]).to(dtype) if dtype.is_complex else basis.to(dtype)


@dataclass(frozen=True)
class DensePosterior:
    """The matrix of A for one image as a real float64 matrix, and the posterior's closed form."""

    matrix: Tensor
    eta: float

    @classmethod
    def of(cls, case: Case, index: int, double: bool = True) -> DensePosterior:
        # The data of a float32 operator are its float32 values, used in float64.
        operator = case.operator(slice(index, index + 1), double=double)
        columns = operator.forward(unit_images((1, *case.image_shape), case.dtype(True)))
        order = as_rows(unit_images((1, *case.image_shape), case.dtype(True)), 4)
        return cls(as_rows(columns, 4).T.to(torch.float64) @ order, ETA)

    def precision(self, t: float) -> Tensor:
        identity = torch.eye(self.matrix.shape[1], dtype=torch.float64)
        return self.matrix.T @ self.matrix / self.eta**2 + identity / t**2

    def covariance(self, t: float) -> Tensor:
        # By singular values: an inverse of the precision has lost what the covariance is compared to at large t.
        _, singular, vectors = torch.linalg.svd(self.matrix)
        gain = torch.zeros(self.matrix.shape[1], dtype=torch.float64)
        gain[: len(singular)] = singular.square()
        return vectors.T / (gain / self.eta**2 + 1 / t**2) @ vectors

    def mean(self, d: Tensor, y: Tensor, t: float) -> Tensor:
        d, y = d.double(), y.double()
        gradient = self.matrix.T @ (y - self.matrix @ d) / self.eta**2
        return d + torch.linalg.solve(self.precision(t), gradient)

    def sample(self, d: Tensor, y: Tensor, t: float, e1: Tensor, e2: Tensor) -> Tensor:
        return self.mean(d.double() + t * e2.double(), y.double() + self.eta * e1.double(), t)
