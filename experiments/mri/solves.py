"""Accuracy and cost of the posterior step's solve: every coil count, mask and scale of a grid.

Each line of the output is one case. The error is that of a float32 `posterior_sample` against the same step in float64
(for masks of columns the direct solve, else conjugate gradients to 1e-5), as sqrt(e^H P^-1 e / n): in units of the
posterior's width.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import torch
from torch import Tensor

from alps_exp.benchmarks.solves import width_error
from alps_exp.masks import BirdcageMaps, CartesianMask1D, CartesianMask2D, PoissonMask
from alps_exp.operators import MultiCoilMRI

ETA = 0.02
SCALES = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
MASKS = {
    "2x columns": CartesianMask1D(2),
    "4x columns": CartesianMask1D(4),
    "8x columns": CartesianMask1D(8, 0.04),
    "2x points": CartesianMask2D(2),
    "6x Poisson": PoissonMask(6),
    "8x points": CartesianMask2D(8),
}


class CountedMRI(MultiCoilMRI):
    """Counts the products with A^H A."""

    products = 0

    def normal(self, x: Tensor) -> Tensor:
        """Return ``A^H A x``."""
        self.products += 1
        return super().normal(x)


def timed_sample(
    operator: CountedMRI, d: Tensor, y: Tensor, t: float, noise: tuple[Tensor, Tensor]
) -> tuple[Tensor, int, float]:
    """Return a posterior sample, the products with A^H A that it took, and its seconds."""
    operator.products, start = 0, time.perf_counter()
    sample = operator.posterior_sample(d, y, t, noise)
    return sample, operator.products, time.perf_counter() - start


def rows(coils: int, name: str, truth: Tensor, maps: Tensor, longest: float) -> Iterator[str]:
    """Return the table's rows for one mask; conjugate gradients are left out where they would take longer."""
    mask = MASKS[name]({"image": truth, "image_id": ["slice"]})
    columns = name.endswith("columns")
    direct = CountedMRI(mask, maps, ETA)
    iterative = CountedMRI(mask, maps, ETA, solver="cg")
    reference = CountedMRI(mask, maps.to(torch.complex128), ETA, tolerance=1e-5, max_iterations=10**6)
    generator = torch.Generator().manual_seed(0)
    y = direct.forward(truth)
    e0, e1 = (2**0.5 * torch.randn(y.shape, dtype=y.dtype, generator=generator) for _ in range(2))
    e2 = 2**0.5 * torch.randn(truth.shape, dtype=truth.dtype, generator=generator)
    y = direct.measure(truth, e0)
    _, _, first = timed_sample(direct, truth, y, 1.0, (e1, e2)) if columns else (None, 0, 0.0)
    seconds = 0.0
    for t in SCALES:
        skipped = 3 * seconds > longest  # the next scale takes about three times as long
        cells = ["not run", "", ""]
        if not skipped or columns:
            wide = [x.to(torch.complex128) for x in (truth, y, e1, e2)]
            expected = reference.posterior_sample(wide[0], wide[1], t, (wide[2], wide[3]))
        if not skipped:
            sample, products, seconds = timed_sample(iterative, truth, y, t, (e1, e2))
            cells = [f"{products}", f"{seconds:.2f}", f"{width_error(reference, sample - expected, t):.1e}"]
        if columns:
            sample, _, fast = timed_sample(direct, truth, y, t, (e1, e2))
            gain = "" if skipped else f"{seconds / fast:.0f}"
            cells += [f"{fast:.3f}", f"{width_error(reference, sample - expected, t):.1e}", gain]
        else:
            cells += ["", "", ""]
        yield f"| {coils} | {name} | {t:g} | {' | '.join(cells)} |"
    if columns:
        yield f"| {coils} | {name} | decomposition | | | | {first:.1f} | | |"


def main() -> None:
    """Print the table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slice", type=Path, help="HDF5 file with image_complex and sens_maps")
    parser.add_argument("--longest", type=float, default=600.0, help="seconds that conjugate gradients may take")
    parser.add_argument("--coils", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--every", type=int, default=1, help="take every so many pixels of image and maps")
    parser.add_argument("--masks", nargs="+", choices=list(MASKS), default=list(MASKS))
    arguments = parser.parse_args()
    every = arguments.every
    with h5py.File(arguments.slice) as file:
        truth, maps = (
            torch.from_numpy(file[name][:1, ..., ::every, ::every]) for name in ("image_complex", "sens_maps")
        )
    truth = truth[None] / truth.abs().max()
    if truth.shape[1] != 1:
        raise ValueError(f"image_complex must be (slices, H, W), got {tuple(truth.shape[1:])}")
    print("| coils | mask | t | CG products | CG s | CG error | direct s | direct error | gain |")
    print("|---|---|---|---|---|---|---|---|---|")
    for coils in arguments.coils:
        of_coils = maps if coils == maps.shape[1] else BirdcageMaps(coils)({"image": truth})
        for name in arguments.masks:
            for row in rows(coils, name, truth, of_coils, arguments.longest):
                print(row, flush=True)


if __name__ == "__main__":
    main()
