"""Batched conjugate gradients with a stopping test on an upper bound of the energy-norm error."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from alps_exp.operators.per_image import inner_product, over_pixels

CHECK_EVERY = 8


def conjugate_gradients(
    normal: Callable[[Tensor], Tensor],
    b: Tensor,
    shift: float | Tensor,
    tolerance: float,
    max_iterations: int,
) -> Tensor:
    """Solve ``(N + shift I) x = b`` for every image, with N Hermitian and positive semi-definite.

    Each image stops independently, once ``sqrt(e^H (N + shift I) e / n) <= tolerance`` is guaranteed for its error e;
    n counts its elements, complex ones once. Its iterate is then frozen while the rest of the batch continues. The
    Gauss-Radau rule bounds the error from above. It needs a lower bound of the eigenvalues, for which `shift` serves.
    (The Hestenes-Stiefel estimate, a sum of the last few decrements, is only a lower bound: with a shift of 4e-8 it
    stopped at 30 times the tolerance.)

    Parameters
    ----------
    normal
        Applies N to a tensor of the shape of `b`.
    b
        Right-hand sides (..., C, H, W), real or complex; one system for every index of the leading dimensions.
    shift
        Positive float, or tensor (..., 1, 1, 1).
    tolerance
        Allowed error, see above.
    max_iterations
        Maximum number of iterations.

    Returns
    -------
    Tensor
        x, of the shape and dtype of `b`.

    Raises
    ------
    FloatingPointError
        If `b` or an iterate is not finite.
    RuntimeError
        If an image needs more than `max_iterations` iterations.

    References
    ----------
    Hestenes, Stiefel, "Methods of conjugate gradients for solving linear systems", 1952.

    Meurant, Tichy, "On computing quadrature-based bounds for the A-norm of the error in conjugate gradients",
    Numerical Algorithms 62, 2013: the update of the bound.
    """
    allowed = tolerance**2 * b.shape[-3:].numel()
    x = torch.zeros_like(b)
    residual = direction = b
    square = over_pixels(inner_product(b, b))
    radau = torch.ones_like(square) / shift
    rounding = torch.finfo(b.dtype).eps
    for iteration in range(max_iterations + 1):
        active = ~(radau * square <= allowed)  # NaN counts as active, so that the check below reports it
        # Reading `active` synchronizes with the device, so it is done only now and then; finished images are frozen.
        check = iteration % CHECK_EVERY == 0 or iteration == max_iterations
        if check and not _any_active(active, square):
            return x
        product = normal(direction) + shift * direction
        step = torch.where(active, square / over_pixels(inner_product(direction, product)), 0)
        x = x + step * direction
        residual = residual - step * product
        new_square = over_pixels(inner_product(residual, residual))
        decay = torch.where(active, new_square / square, 0)
        direction = residual + decay * direction
        # In exact arithmetic the gap is positive. The clamp keeps rounding from making the bound zero or negative.
        gap = torch.maximum(radau - step, rounding * step)
        radau = torch.where(active, gap / (shift * gap + decay), radau)
        square = new_square
    raise RuntimeError(
        f"conjugate gradients did not converge within {max_iterations} iterations: "
        f"{int(active.sum())} of {active.numel()} images are above the tolerance"
    )


def _any_active(active: Tensor, square: Tensor) -> bool:
    """Return whether any image is still iterating; synchronizes with the device.

    Raises
    ------
    FloatingPointError
        If a residual is not finite.
    """
    some_active, all_finite = torch.stack([active.any(), square.isfinite().all()]).tolist()
    if not all_finite:
        images = (~square.isfinite()).flatten().nonzero().flatten().tolist()
        raise FloatingPointError(
            f"conjugate gradients met non-finite values in images {images} (flat index in the batch)"
        )
    return bool(some_active)
