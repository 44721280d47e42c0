"""The Lanczos iteration for a Hessian in units of a preconditioner: Newton directions, their decrement, curvature."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from alps_exp.operators.per_image import inner_product, over_pixels
from alps_exp.samplers.batched_prior import HessianProduct

CHECK_EVERY = 5  # products
RECENT = 5  # products
FEWEST = 10  # products
STEADY, EXHAUSTED = 0.8, 1e-3
SLIGHTLY_BELOW = 0.999


@dataclass
class Krylov:
    """What k products tell of the Hessian H in units of P, that is of P^(1/2) H P^(1/2), for S chains of B images.

    The Krylov space of a start b has an orthonormal basis in which P^(1/2) H P^(1/2) is the tridiagonal matrix T. Its
    eigenvalues are Rayleigh quotients of H, the smallest thus at least H's smallest.

    Attributes
    ----------
    square
        b^H P b, (S, B).
    diagonal, coupling
        Entries of T by step, (k, S, B): coupling[j] is the one between j and j + 1, the last leads out of the space.
        They are zero in the steps that an image did not take.
    gains
        What each step added to b^H H^(-1) b, (k, S, B).
    count
        Number of steps of each image, (S, B).
    solution
        Approximate H^(-1) b, (S, B, C, H, W), as conjugate gradients would have it.
    """

    square: Tensor
    diagonal: Tensor
    coupling: Tensor
    gains: Tensor
    count: Tensor
    solution: Tensor

    @property
    def decrement(self) -> Tensor:
        """Lower bound of b^H H^(-1) b, (S, B); infinite if H has a negative curvature."""
        return torch.where(self.smallest()[0] > 0, self.gains.sum(0), math.inf)

    def smallest(self) -> tuple[Tensor, Tensor]:
        """Return the smallest eigenvalue of T and its error, (S, B) each.

        Within the error there is an eigenvalue of H, and it is the smallest if none was missed: the smaller of the
        residual and, if the next one is apart from it, of Kato's and Temple's bound.

        References
        ----------
        Parlett, "The symmetric eigenvalue problem", 1998, chapters 4 and 13.
        """
        values, vectors = torch.linalg.eigh(self._matrix())
        last = vectors.gather(-2, self._end[..., None].expand(*self._end.shape[:-1], 1, values.shape[-1])).squeeze(-2)
        errors = (self._outward[..., None] * last).abs()
        error = errors[..., 0]
        if values.shape[-1] > 1:
            gap = values[..., 1] - errors[..., 1] - values[..., 0]
            error = torch.where(gap > error, error**2 / gap, error)
        return values[..., 0], error

    def curvature(self) -> tuple[Tensor, Tensor]:
        """Return the smallest eigenvalue of H and its error, (S, B) each, as far as they are known.

        That is the smallest eigenvalue of T, once it has settled: the first steps see the bulk of the spectrum alone,
        and a small residual there says nothing of its end. It takes some steps, of which the last ones lowered the
        eigenvalue no more by much, or an exhausted space. Until then the error is at least as large as the eigenvalue.
        """
        value, error = self.smallest()
        before = replace(self, count=(self.count - RECENT).clamp(min=1)).smallest()[0]
        steady = (self.count >= FEWEST) & (value >= STEADY * before)
        settled = steady | (error <= EXHAUSTED * value.abs())
        return value, torch.where(settled, error, torch.maximum(error, value))

    def decrement_bound(self, floor: Tensor) -> Tensor:
        """Return an upper bound of b^H H^(-1) b, (S, B), given a lower bound of the eigenvalues of H in units of P.

        It is infinite where the floor is not positive. A floor above the smallest eigenvalue of T is lowered to that.

        References
        ----------
        Golub, Meurant, "Matrices, moments and quadrature with applications", 2010, chapter 6: the Gauss-Radau rule.
        """
        matrix, outward, smallest = self._matrix(), self._outward, self.smallest()[0]
        floor = torch.minimum(floor, SLIGHTLY_BELOW * smallest)
        identity = torch.eye(len(self.diagonal), dtype=matrix.dtype, device=matrix.device)
        matrix = torch.where((smallest > 0)[..., None, None], matrix, identity)  # not solved in vain: no bound exists
        first, end = (torch.zeros_like(matrix[..., 0]) for _ in range(2))
        first[..., 0] = 1
        end.scatter_(-1, self._end, 1)
        shifted = matrix - floor[..., None, None] * identity
        sides = torch.stack([first, end], dim=-1)
        solved = torch.linalg.solve(matrix, sides).gather(-2, self._end[..., None].expand(*end.shape[:-1], 1, 2))
        of_first, of_end = solved.squeeze(-2).unbind(-1)
        corner = floor + outward**2 * torch.linalg.solve(shifted, end).gather(-1, self._end).squeeze(-1)
        rest = (outward * of_first) ** 2 / (corner - outward**2 * of_end)
        sound = (floor > 0) & (rest >= 0)
        return torch.where(sound, self.gains.sum(0) + self.square * rest, math.inf)

    def at(self, sample: Tensor) -> Krylov:
        """Select samples by index (S', B), separately for every image."""
        image = torch.arange(sample.shape[-1], device=sample.device)
        return Krylov(
            self.square[sample, image],
            self.diagonal[:, sample, image],
            self.coupling[:, sample, image],
            self.gains[:, sample, image],
            self.count[sample, image],
            self.solution[sample, image],
        )

    def where(self, chosen: Tensor, other: Krylov) -> Krylov:
        """Return this where the mask `chosen` (S, B) is True, and `other` elsewhere."""
        steps = max(len(self.diagonal), len(other.diagonal))
        pairs = zip(self._padded(steps), other._padded(steps), strict=True)
        return Krylov(*(torch.where(over_pixels(chosen) if a.ndim > 3 else chosen, a, b) for a, b in pairs))

    @property
    def _end(self) -> Tensor:
        """Index of the last step, (S, B, 1)."""
        return (self.count - 1).clamp(min=0)[..., None]

    @property
    def _outward(self) -> Tensor:
        return self.coupling.movedim(0, -1).gather(-1, self._end).squeeze(-1)

    def _matrix(self) -> Tensor:
        """Return T, (S, B, k, k); steps that were not taken are decoupled eigenvalues above all others."""
        diagonal, coupling = self.diagonal.movedim(0, -1), self.coupling.movedim(0, -1)
        step = torch.arange(diagonal.shape[-1], device=diagonal.device)
        above = 1 + 3 * torch.maximum(diagonal.abs(), coupling).amax(-1, keepdim=True)
        inside = torch.where(step + 1 < self.count[..., None], coupling, 0)[..., :-1]
        matrix = torch.diag_embed(torch.where(step < self.count[..., None], diagonal, above))
        return matrix + torch.diag_embed(inside, 1) + torch.diag_embed(inside, -1)

    def _padded(self, steps: int) -> list[Tensor]:
        missing = self.diagonal.new_zeros(steps - len(self.diagonal), *self.count.shape)
        by_step = [torch.cat([values, missing]) for values in (self.diagonal, self.coupling, self.gains)]
        return [self.square, *by_step, self.count, self.solution]

    @classmethod
    def nothing(cls, x: Tensor) -> Krylov:
        """Return what no product tells, for images like x (S, B, C, H, W)."""
        shape, none = x.shape[:-3], x.new_zeros(1, *x.shape[:-3], dtype=torch.float64)
        return cls(
            none[0], none, none, none, torch.zeros(shape, dtype=torch.long, device=x.device), torch.zeros_like(x)
        )

    @staticmethod
    def cat(parts: list[Krylov]) -> Krylov:
        """Join slices of the chains."""
        steps = max(len(part.diagonal) for part in parts)
        square, diagonal, coupling, gains, count, solution = zip(*(p._padded(steps) for p in parts), strict=True)
        return Krylov(
            torch.cat(square),
            torch.cat(diagonal, dim=1),
            torch.cat(coupling, dim=1),
            torch.cat(gains, dim=1),
            torch.cat(count),
            torch.cat(solution),
        )


def lanczos(
    hessian: HessianProduct,
    precondition: Callable[[Tensor], Tensor],
    start: Tensor,
    active: Tensor,
    products: int,
    finished: Callable[[Krylov], Tensor],
) -> Krylov:
    """Run the Lanczos iteration from `start` for the `active` images, until `finished` or the products are spent.

    An image also ends with the first direction of negative curvature, or when its space is exhausted. The basis is
    kept, and every new vector orthogonalized to it, twice: in float32 the iteration would soon go astray without.

    Parameters
    ----------
    hessian
        The product with H.
    precondition
        The product with P, for vectors of an order of magnitude of one in units of P.
    start
        b, (S, B, C, H, W).
    active
        The images to treat, (S, B).
    products
        Maximum number of products, at least 1.
    finished
        Says, every few steps, for which images (S, B) this is enough.

    Raises
    ------
    FloatingPointError
        If a product is not finite.

    References
    ----------
    Saad, "Iterative methods for sparse linear systems", 2003, algorithm 6.17: the solution, with conjugate gradients'
    numbers.
    """
    root = start.shape[-3:].numel() ** 0.5
    preconditioned = _preconditioned(precondition, start)
    square = inner_product(start, preconditioned)
    active = active & (square > 0)
    norm = over_pixels(torch.where(square > 0, square, 1).sqrt())
    residual, v = start / norm, preconditioned / norm
    direction, solution = torch.zeros_like(start), torch.zeros_like(start)
    basis: list[tuple[Tensor, Tensor]] = []
    coupling, coefficient = torch.zeros_like(square), norm[..., 0, 0, 0]
    pivot, count = torch.ones_like(square), torch.zeros_like(active, dtype=torch.long)
    rounding = 100 * torch.finfo(square.dtype).eps
    diagonals: list[Tensor] = []
    couplings: list[Tensor] = []
    gains: list[Tensor] = []
    krylov = replace(Krylov.nothing(start), square=square.double())
    for step in range(products):
        if not active.any():
            break
        basis.append((residual, v))
        w = hessian(v, active)
        diagonal = inner_product(v, w)
        if not torch.where(active, diagonal, 0).isfinite().all():
            raise FloatingPointError("a product with the Hessian is not finite")
        for _ in range(2):
            for earlier, its_v in basis:
                w = w - over_pixels(inner_product(its_v, w)) * earlier
        ratio = coupling / pivot
        coefficient = -ratio * coefficient if step else coefficient
        pivot = torch.where(active, diagonal - ratio * coupling, 1)
        direction = (v - over_pixels(coupling) * direction) / over_pixels(torch.where(pivot == 0, 1, pivot))
        positive = active & (pivot > 0)
        solution = solution + over_pixels(torch.where(positive, coefficient, 0)) * direction
        u = precondition(w * root) / root
        coupling = inner_product(w, u).clamp(min=0).sqrt()
        count = count + active
        diagonals.append(torch.where(active, diagonal, 0).double())
        couplings.append(torch.where(active, coupling, 0).double())
        gains.append(torch.where(positive, coefficient**2 / pivot, 0).double())
        krylov = replace(
            krylov,
            diagonal=torch.stack(diagonals),
            coupling=torch.stack(couplings),
            gains=torch.stack(gains),
            count=count,
            solution=solution,
        )
        active = positive & (coupling > rounding * diagonal.abs())
        if step % CHECK_EVERY == 0:
            active = active & ~finished(krylov)
        safe = over_pixels(torch.where(active, coupling, 1))
        residual, v = w / safe, u / safe
    return krylov


def _preconditioned(precondition: Callable[[Tensor], Tensor], b: Tensor) -> Tensor:
    """Return P b for a b of any length: conjugate gradients that apply P have an absolute accuracy."""
    largest = b.abs().amax(dim=(-3, -2, -1), keepdim=True)
    scale = 1 / torch.where(largest > 0, largest, 1)
    for _ in range(2):
        preconditioned = precondition(b * scale) / scale
        length = over_pixels(inner_product(b, preconditioned).clamp(min=0).sqrt()) / b.shape[-3:].numel() ** 0.5
        scale = 1 / torch.where(length > 0, length, 1)
    return preconditioned
