"""Chooses the weights of the classical reconstructions on validation slices with simulated phase and birdcage coils.

Prints a table: for every sampler, mask and weight, the mean PSNR (magnitude) over the slices; and, for every sampler,
the weight with the best mean over the masks.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch

from alps_exp.datasets import MagnitudeSlices
from alps_exp.evaluation import psnr
from alps_exp.masks import BirdcageMaps, CartesianMask1D, CartesianMask2D
from alps_exp.operators import MultiCoilMRI
from alps_exp.reconstruction.base import Reconstruction
from alps_exp.reconstruction.sense import SENSE
from alps_exp.reconstruction.sparse import L1Wavelet, TotalVariation

ETA = 0.02
MASKS = {"4x columns": CartesianMask1D(4), "6x points": CartesianMask2D(6)}
SAMPLERS: dict[str, tuple[Callable[..., Reconstruction], tuple[float, ...]]] = {
    "sense": (SENSE, (1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3)),
    "l1_wavelet": (L1Wavelet, (1e-3, 2e-3, 4e-3, 8e-3, 0.016)),
    "total_variation": (TotalVariation, (5e-4, 1e-3, 2e-3, 4e-3, 8e-3)),
}


def main() -> None:
    """Print the table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slices", help=".npz archive of magnitude slices")
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--size", type=int, default=128)
    arguments = parser.parse_args()
    slices = MagnitudeSlices(arguments.slices, arguments.size)
    chosen = [index * len(slices) // arguments.count for index in range(arguments.count)]
    batch = {
        "image": torch.stack([slices[index, index]["image"] for index in chosen]),
        "image_id": [str(index) for index in chosen],
    }
    truth, maps = batch["image"], BirdcageMaps(8)(batch)
    operators = {name: MultiCoilMRI(mask(batch), maps[:1], ETA) for name, mask in MASKS.items()}
    noise = 2**0.5 * torch.randn(maps.shape, dtype=maps.dtype, generator=torch.Generator().manual_seed(0))
    print(f"| sampler | weight | {' | '.join(operators)} | mean |", flush=True)
    print(f"|---|---|{'---|' * (len(operators) + 1)}", flush=True)
    for sampler, (build, weights) in SAMPLERS.items():
        means = {}
        for weight in weights:
            of_masks = []
            for operator in operators.values():
                estimate = build(weight).reconstruct(operator, operator.measure(truth, noise))
                of_masks.append(float(psnr(estimate, truth).mean()))
            means[weight] = sum(of_masks) / len(of_masks)
            cells = " | ".join(f"{value:.2f}" for value in (*of_masks, means[weight]))
            print(f"| {sampler} | {weight:g} | {cells} |", flush=True)
        print(f"| {sampler} | **{max(means, key=means.__getitem__):g}** | | | best |", flush=True)


if __name__ == "__main__":
    main()
