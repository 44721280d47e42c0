"""Batched conjugate gradients with a stopping test on an upper bound of the energy-norm error."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from alps_exp.operators.per_image import inner_product, over_pixels

CHECK_EVERY = 4  # iterations, on a GPU


@dataclass(frozen=True)
class Rough:
    """How a solve may end before it is exact, for a solution that noise of a larger amplitude is added to.

    Attributes
    ----------
    allowed
        The iteration may stop once its last few steps together moved the solution by no more than this, root mean
        square over its elements; see `RecentSteps`.
    start
        What a posterior mean probably adds to the denoised image, such as it did at the scale before: only what it
        lacks is solved for. No other solve has a start.
    """

    allowed: float
    start: Tensor | None = None


def conjugate_gradients(
    normal: Callable[[Tensor], Tensor],
    b: Tensor,
    shift: float | Tensor,
    tolerance: float,
    max_iterations: int,
    allowed: float | None = None,
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
    allowed
        If given, an image may stop earlier, once its last few steps together moved it by no more than this; see
        `Rough`.

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
    bound = tolerance**2 * b.shape[-3:].numel()
    recent = None if allowed is None else RecentSteps(allowed**2 * b.shape[-3:].numel())
    check_every = 1 if b.device.type == "cpu" else CHECK_EVERY
    x, residual = torch.zeros_like(b), b
    direction = residual
    square = over_pixels(inner_product(residual, residual))
    radau = torch.ones_like(square) / shift
    rounding = torch.finfo(b.dtype).eps
    for iteration in range(max_iterations + 1):
        active = ~(radau * square <= bound)  # NaN counts as active, so that the check below reports it
        if recent is not None and recent.short is not None:
            active = active & ~recent.short
        # Reading `active` synchronizes with a GPU, so it is done only now and then; finished images are frozen.
        check = iteration % check_every == 0 or iteration == max_iterations
        if check and not _any_active(active, square):
            return x
        product = normal(direction) + shift * direction
        step = torch.where(active, square / over_pixels(inner_product(direction, product)), 0)
        x = x + step * direction
        residual = residual - step * product
        new_square = over_pixels(inner_product(residual, residual))
        decay = torch.where(active, new_square / square, 0)
        if recent is not None:
            recent.add(active, step, square, decay)
        direction = residual + decay * direction
        # In exact arithmetic the gap is positive. The clamp keeps rounding from making the bound zero or negative.
        gap = torch.maximum(radau - step, rounding * step)
        radau = torch.where(active, gap / (shift * gap + decay), radau)
        square = new_square
    raise RuntimeError(
        f"conjugate gradients did not converge within {max_iterations} iterations: "
        f"{int(active.sum())} of {active.numel()} images are above the tolerance"
    )


class RecentSteps:
    """How far the last few steps of conjugate gradients moved the iterate, by scalars that the iteration has anyway.

    The squared error ``||e_i||^2`` is the sum over j >= i of ``phi_j (eps_j + eps_{j+1})``, where eps_j is the sum over
    l >= j of ``alpha_l ||r_l||^2`` and ``phi_j = alpha_j ||p_j||^2 / ||r_j||^2``. Here the sums end at the present
    step, and give the distance to the iterate `COUNT` steps ago. That is no bound of the error: at a large t nine
    tenths of the exact correction may be left undone. Where noise is added to the result and later scales correct it,
    nothing is lost by that; a bound would cost 15 to 40 times the products.

    Parameters
    ----------
    allowed
        Squared distance up to which the steps count as short.

    References
    ----------
    Hestenes, Stiefel, "Methods of conjugate gradients for solving linear systems", 1952, theorem 6:3.
    """

    COUNT = 4

    def __init__(self, allowed: float) -> None:
        self.allowed = allowed
        self.short: Tensor | None = None
        """For which images the last steps were short at some time; None before there are enough steps."""
        self._steps: deque[tuple[Tensor, Tensor]] = deque(maxlen=self.COUNT)
        self._direction: Tensor | None = None  # ||p||^2 of the next step

    def add(self, active: Tensor, step: Tensor, square: Tensor, decay: Tensor) -> None:
        """Add a step of length alpha = `step` from a residual ||r||^2 = `square`; `decay` is the beta after it."""
        direction = square if self._direction is None else self._direction
        self._steps.append((step * square, torch.where(active, step * direction / square, 0)))
        self._direction = decay * square + decay**2 * direction
        if len(self._steps) == self.COUNT:
            short = self.distance() <= self.allowed
            self.short = short if self.short is None else self.short | short

    def distance(self) -> Tensor:
        """Return the squared distance that the last steps, at most `COUNT`, made together."""
        rest = total = torch.zeros_like(self._steps[-1][0])
        for decrement, ratio in reversed(self._steps):
            total = total + ratio * (2 * rest + decrement)
            rest = rest + decrement
        return total


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
