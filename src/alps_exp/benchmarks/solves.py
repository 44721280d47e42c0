"""What a posterior mean costs: the operators' own solves against plain conjugate gradients, in time and error."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from alps_exp.benchmarks.problems import IMAGE_OPERATORS, MRI_OPERATORS, Operator, coil_maps, drawn_image
from alps_exp.benchmarks.timing import Row, interleaved, row
from alps_exp.masks import CartesianMask2D
from alps_exp.operators import LinearOperator, MultiCoilMRI
from alps_exp.operators.cg import Rough
from alps_exp.operators.per_image import inner_product
from alps_exp.priors import load_energy
from alps_exp.randomness import image_noise
from alps_exp.samplers.alps import MEAN_TOLERANCE

SCALE, PLAIN_STEPS, RELATIVE_RESIDUAL = 0.5, 1000, 1e-5


def solves(repeats: int, device: torch.device) -> Iterator[Row]:
    """Yield seconds and errors of posterior means at t = 0.5, the errors in units of the posterior's width."""
    for family, build in IMAGE_OPERATORS.items():
        yield from _mean_rows(family, build, torch.zeros(1, 3, 64, 64, device=device), repeats)
    for family, build in MRI_OPERATORS.items():
        for size in (64, 128):
            blank = torch.zeros(1, 1, size, size, dtype=torch.complex64, device=device)
            yield from _mean_rows(family, build, blank, repeats)
    yield _at_full_size(repeats, device)


def _mean_rows(family: str, build: Operator, blank: Tensor, repeats: int) -> Iterator[Row]:
    truth = image_noise(blank, (0,))
    operator = build(truth)
    y = operator.measure(truth, image_noise(operator.forward(truth), (1,)))
    d = truth + SCALE * image_noise(truth, (2,))
    own, y_own = operator.reduced(y)
    own.posterior_mean(d, y_own, SCALE)  # decompositions are made once for all scales
    results: dict[str, Tensor] = {}

    def solve() -> None:
        results["own solve"] = own.posterior_mean(d, y_own, SCALE)

    def solve_plainly() -> None:
        results["plain conjugate gradients"] = plain_mean(operator, d, y, SCALE)

    kinds = {"own solve": solve, "plain conjugate gradients": solve_plainly}
    exact = _exact_mean(operator, d, y)
    for kind, times in interleaved(kinds, repeats, blank.device).items():
        name = f"{family}, {blank.shape[-1]} px, {kind}"
        yield row("solves", name, [1e3 * spent for spent in times], "ms")
        yield row("solves", f"{name}, error", [width_error(operator, results[kind] - exact, SCALE)], "posterior widths")


def plain_mean(operator: LinearOperator, d: Tensor, y: Tensor, t: float) -> Tensor:
    """Return the posterior mean by conjugate gradients as in a textbook, to a residual relative to the right side."""
    shift = (operator.noise_std / t) ** 2
    b = operator.adjoint(y) + shift * d
    x = d
    residual = b - operator.normal(x) - shift * x
    direction, square = residual, inner_product(residual, residual).sum()
    stop = RELATIVE_RESIDUAL**2 * inner_product(b, b).sum()
    for _ in range(PLAIN_STEPS):
        if square <= stop:
            break
        product = operator.normal(direction) + shift * direction
        step = square / inner_product(direction, product).sum()
        x, residual = x + step * direction, residual - step * product
        last, square = square, inner_product(residual, residual).sum()
        direction = residual + square / last * direction
    return x


def _exact_mean(operator: LinearOperator, d: Tensor, y: Tensor) -> Tensor:
    """Return the posterior mean in double precision, to a ten-thousandth of the operator's tolerance."""
    tolerance, operator.tolerance = operator.tolerance, 1e-4 * operator.tolerance
    mean = operator.posterior_mean(_double(d), _double(y), SCALE)
    operator.tolerance = tolerance
    return mean


def _double(x: Tensor) -> Tensor:
    return x.to(torch.complex128 if x.is_complex() else torch.float64)


def width_error(operator: LinearOperator, e: Tensor, t: float) -> float:
    """Return sqrt(e^H P^-1 e / n) for the error e of one image, n counting complex pixels once."""
    square = inner_product(e, operator.normal(e)) / operator.noise_std**2 + inner_product(e, e) / t**2
    return float((square / e.numel()).sum().sqrt())


def _at_full_size(repeats: int, device: torch.device) -> Row:
    """Return the cost of a mean of diffused annealing at 320 x 320 with 15 coils and a mask of points."""
    t, energy = 2.5, load_energy("brain128").to(device)
    brain = drawn_image(energy, 128, complex_valued=True, device=device)
    large = interpolate(torch.view_as_real(brain[0]).movedim(-1, 1), size=(320, 320), mode="bilinear")
    truth = torch.view_as_complex(large.movedim(1, -1).contiguous())[None]
    mask = CartesianMask2D(8)({"image": truth, "image_id": ["image"]})
    operator = MultiCoilMRI(mask, coil_maps(truth, 15), 0.02)
    y = operator.measure(truth, image_noise(operator.forward(truth), (1,)))
    noisy = truth + t * image_noise(truth, (2,))
    d = energy.denoise(noisy, t)
    times = interleaved(
        {
            "solve": lambda: operator.posterior_mean(d, y, t, Rough(MEAN_TOLERANCE * t)),
            "network": lambda: energy.denoise(noisy, t),
        },
        repeats,
        device,
    )
    shares = [solve / network for solve, network in zip(times["solve"], times["network"], strict=True)]
    return row("solves", "MRI points, 320 px, 15 coils, t = 2.5: a mean over a network's call", shares, "x")
