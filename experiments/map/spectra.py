"""How often MAP says `converged`, and what that is worth, on problems whose minimizers are known.

Gaussian priors and two-mode mixtures with variances from 1e-4 to 100 in random bases, under three operators. The error
is that of the estimate against the minimizer, in posterior standard deviations: exact for Gaussians, for mixtures by
dense Newton steps from the estimate. Prints a table in Markdown.

    python experiments/map/spectra.py [--side 8] [--seeds 5]
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator

import pandas as pd
import torch
from torch import Tensor

from alps_exp.operators import GaussianBlur, Inpainting, LinearOperator
from alps_exp.priors import GaussianMixturePrior
from alps_exp.samplers import MAP, GeometricSchedule

SMALLEST, LARGEST = 1e-4, 100.0
T = 0.01
SPECTRA = ("geometric", "uniform in the exponent", "few large", "few small", "two values")


def spectrum(kind: str, size: int, generator: torch.Generator) -> Tensor:
    """Return variances (n,) from 1e-4 to 100."""
    low, high = torch.tensor([SMALLEST, LARGEST], dtype=torch.float64).log10()
    place = torch.linspace(0, 1, size, dtype=torch.float64)
    place = {
        "geometric": place,
        "uniform in the exponent": torch.rand(size, generator=generator, dtype=torch.float64).sort().values,
        "few large": place**4,
        "few small": 1 - (1 - place) ** 4,
        "two values": (place > 0.5).double(),
    }[kind]
    place = (place - place.min()) / (place.max() - place.min())
    return 10 ** (low + (high - low) * place)


def problems(side: int, seeds: int) -> Iterator[tuple[str, str, str, GaussianMixturePrior, LinearOperator, Tensor]]:
    """Yield spectrum, kind of prior, name of the operator, prior, operator and measurement."""
    size = side**2
    for seed in range(seeds):
        for kind in SPECTRA:
            for modes in (1, 2):
                generator = torch.Generator().manual_seed(1000 * seed + 10 * SPECTRA.index(kind) + modes)
                basis, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
                covariance = (basis * spectrum(kind, size, generator)) @ basis.mH
                means = torch.randn(modes, 1, side, side, generator=generator, dtype=torch.float64)
                weights = torch.full((modes,), 1 / modes, dtype=torch.float64)
                prior = GaussianMixturePrior(weights, means, covariance.expand(modes, size, size))
                mask = (torch.rand(1, 1, side, side, generator=generator) < 0.4).double()
                operators = {
                    "inpainting": Inpainting(mask, 0.02),
                    "blur": GaussianBlur(1.5, 0.05),
                    "little noise": Inpainting(mask, 0.001),
                }
                for name, operator in operators.items():
                    x = prior.sample(1, generator)
                    noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
                    yield (
                        kind,
                        "Gaussian" if modes == 1 else "mixture",
                        name,
                        prior,
                        operator,
                        operator.measure(x, noise),
                    )


def hessian(prior: GaussianMixturePrior, operator: LinearOperator, x: Tensor) -> Tensor:
    """Return the dense Hessian of U at an image x (1, 1, H, W)."""
    size = x.numel()
    units = torch.eye(size, dtype=x.dtype).reshape(size, *x.shape)
    _, vjp = prior.denoise_with_vjp(x.expand_as(units), T)
    return ((units - vjp(units)) / T**2 + operator.normal(units) / operator.noise_std**2).reshape(size, size)


def true_error(prior: GaussianMixturePrior, operator: LinearOperator, y: Tensor, x: Tensor) -> float:
    """Return the distance to the minimizer that dense Newton steps find, in its posterior's standard deviations."""
    end = x
    for _ in range(20):
        gradient = prior.energy_and_gradient(end, T)[1] / T**2
        gradient = gradient + operator.adjoint(operator.forward(end) - y) / operator.noise_std**2
        end = end - torch.linalg.solve(hessian(prior, operator, end), gradient.flatten()).reshape(x.shape)
    matrix, step = hessian(prior, operator, end), (x - end).flatten()
    if torch.linalg.eigvalsh(matrix)[0] <= 0:
        return float("inf")
    return float((step @ matrix @ step / step.numel()).sqrt())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=8, help="height and width of the images")
    parser.add_argument("--seeds", type=int, default=5, help="problems of each kind")
    parser.add_argument("--products", type=int, default=100, help="of a Newton step, and of the look at the curvature")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    sampler = MAP(GeometricSchedule(5.0, T, 30), max_iterations=200, products=arguments.products)
    rows = []
    for kind, law, name, prior, operator, y in problems(arguments.side, arguments.seeds):
        found = sampler(prior, operator, y)
        numbers = {key: float(values[0, 0]) for key, values in found.diagnostics.items() if key != "trace"}
        error = true_error(prior, operator, y, found.mean)
        iterations = int((found.diagnostics["trace"][0, 0].diff() != 0).sum())
        rows.append(
            {
                "spectrum": kind,
                "prior": law,
                "operator": name,
                "converged": numbers["converged"],
                "error": error,
                "inside": numbers["decrement"] <= 1.02 * error and error <= 1.02 * numbers["decrement_bound"],
                "understated": error / max(numbers["gradient_norm"], 1e-300),
                "iterations": iterations,
                "products": float(found.nfe_vjp[0] - found.nfe_forward[0]),
            }
        )
    table = pd.DataFrame(rows)
    for by in ("spectrum", "prior", "operator", None):
        print(summary(table, by), end="\n\n")


def summary(table: pd.DataFrame, by: str | None) -> str:
    """Return the numbers by a column, or of all problems, in Markdown."""
    columns = (
        "problems | converged | largest error of those | of the rest | iterations | products | error / gradient norm"
    )
    lines = [f"| {by or ''} | {columns} |"]
    lines.append("|---" * 8 + "|")
    for name, part in table.groupby(by) if by else [("all", table)]:
        sure, rest = part[part.converged == 1], part[part.converged == 0]
        lines.append(
            f"| {name} | {len(part)} | {len(sure) / len(part):.0%} | {sure.error.max():.4f} | {rest.error.max():.4f} | "
            f"{part.iterations.median():.0f} (at most {part.iterations.max()}) | {part.products.median():.0f} | "
            f"{part.understated.max():.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
