"""What the diagonal of A^H A in k-space is worth as a preconditioner of the posterior step's solve.

For every mask of points and scale it prints the products with A^H A after which conjugate gradients, plain and
preconditioned, are within 0.003 of the posterior's width of the solution.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import h5py
import torch
from torch import Tensor

from alps_exp.masks import CartesianMask2D, PoissonMask
from alps_exp.operators import MultiCoilMRI
from alps_exp.operators.per_image import inner_product

ETA, WANTED, EVERY, LONGEST = 0.02, 0.003, 4, 10_000
MASKS = {"6x points": CartesianMask2D(6), "6x Poisson": PoissonMask(6)}


def kspace_diagonal(operator: MultiCoilMRI) -> Tensor:
    """Return the diagonal of F A^H A F^H, (1, 1, H, W) with zero frequency first: the mask seen through the coils."""
    pixels = operator.mask.shape[-2:].numel()
    seen = torch.fft.fft2(operator.sensitivity_maps[0, 0]).abs().square().sum(0) / pixels**2
    mask = torch.fft.ifftshift(operator.mask, dim=(-2, -1)).to(seen.dtype)
    correlation = torch.fft.fft2(mask) * torch.fft.fft2(seen).conj()
    return torch.fft.ifft2(correlation).real


def solve(
    normal: Callable[[Tensor], Tensor],
    precondition: Callable[[Tensor], Tensor],
    b: Tensor,
    done: Callable[[Tensor], bool],
) -> tuple[Tensor, int]:
    """Return the solution by conjugate gradients when it is `done`, asked every few products, and their number."""
    x, residual = torch.zeros_like(b), b
    direction = preconditioned = precondition(b)
    square = inner_product(residual, preconditioned)
    for product in range(1, LONGEST + 1):
        image = normal(direction)
        step = square / inner_product(direction, image)
        x, residual = x + step * direction, residual - step * image
        if product % EVERY == 0 and done(x):
            return x, product
        preconditioned = precondition(residual)
        square, before = inner_product(residual, preconditioned), square
        direction = preconditioned + square / before * direction
    raise RuntimeError(f"no solution within {LONGEST} products")


def row(name: str, operator: MultiCoilMRI, t: float, generator: torch.Generator) -> str:
    """Return the table's row for one mask and scale."""
    shift, maps = (ETA / t) ** 2, operator.sensitivity_maps[:, 0]
    e1, e2 = (2**0.5 * torch.randn(x.shape, dtype=x.dtype, generator=generator) for x in (maps, maps[:, :1]))
    b = operator.adjoint(ETA * e1) + ETA**2 / t * e2
    diagonal = kspace_diagonal(operator).clamp(min=0) + shift

    def normal(x: Tensor) -> Tensor:
        return operator.normal(x) + shift * x

    def divide(x: Tensor) -> Tensor:
        return torch.fft.ifft2(torch.fft.fft2(x) / diagonal)

    def solved(x: Tensor) -> bool:
        return float((normal(x) - b).norm() / b.norm()) < 1e-9

    def near(x: Tensor) -> bool:
        e = x - exact
        return float((inner_product(e, normal(e)) / e.numel()).sqrt()) <= WANTED * ETA

    exact, _ = solve(normal, torch.clone, b, solved)
    return f"| {name} | {t:g} | {solve(normal, torch.clone, b, near)[1]} | {solve(normal, divide, b, near)[1]} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slice", type=Path, help="HDF5 file with sens_maps")
    parser.add_argument("--scales", type=float, nargs="+", default=[0.3, 1.0, 3.0])
    arguments = parser.parse_args()
    with h5py.File(arguments.slice) as file:
        maps = torch.from_numpy(file["sens_maps"][:1]).to(torch.complex128)
    generator = torch.Generator().manual_seed(0)
    print("| mask | t | plain | preconditioned |\n|---|---|---|---|")
    for name, mask in MASKS.items():
        operator = MultiCoilMRI(mask({"image": maps[:, :1], "image_id": ["slice"]}), maps, ETA)
        for t in arguments.scales:
            print(row(name, operator, t, generator), flush=True)


if __name__ == "__main__":
    main()
