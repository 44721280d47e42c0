"""Multi-coil MRI with masks of lines: ``A^H A`` in blocks, and the operator reduced to the image's size by them."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from alps_exp.operators.base import ClosedFormUpdate, check_fits
from alps_exp.operators.cg import Rough

SHARED_BYTES = 2**29  # memory for the decompositions that operators of the same mask and maps share


class LineBlocks:
    """The decomposition ``A^H A = V L V^H``, in one block for each position along the fully sampled axis.

    A spectrum ``V^H x`` has shape (..., B, 1, N, M), for N blocks of side M = sets * L, with L the size of the maps
    along the undersampled axis.

    Parameters
    ----------
    mask
        Which lines are measured (B or 1, 1, L), with the zero frequency first.
    maps
        Sensitivity maps (B or 1, sets, coils, N, L), complex.
    """

    def __init__(self, mask: Tensor, maps: Tensor) -> None:
        maps = maps.to(torch.complex128)
        gram = torch.einsum("bmchi,bnchj->bhminj", maps.conj(), maps)
        identity = torch.eye(mask.shape[-1], dtype=torch.complex128, device=mask.device)
        projection = torch.fft.ifft(torch.where(mask, torch.fft.fft(identity), 0))
        blocks = gram * projection.mT[:, None, None, :, None, :]
        values, vectors = torch.linalg.eigh(blocks.flatten(-2).flatten(-3, -2))
        self._values = {torch.float64: values.clamp(min=0).unsqueeze(-3)}
        self._roots = {torch.float64: self._values[torch.float64].sqrt()}
        self._vectors = {torch.complex128: vectors}

    @property
    def num_bytes(self) -> int:
        """Memory that the eigenvectors take, in double and in single precision."""
        numbers: int = self._vectors[torch.complex128].numel()
        return numbers * (16 + 8)

    def values(self, dtype: torch.dtype) -> Tensor:
        """Return the eigenvalues L (B or 1, 1, N, M) in the precision of `dtype`."""
        return in_dtype(self._values, dtype.to_real())

    def roots(self, dtype: torch.dtype) -> Tensor:
        """Return the square roots of the eigenvalues, like `values`."""
        return in_dtype(self._roots, dtype.to_real())

    def analyze(self, rows: Tensor) -> Tensor:
        """Return ``V^H x`` for rows (..., B, N, M)."""
        return _times(rows.conj(), in_dtype(self._vectors, rows.dtype)).conj()

    def synthesize(self, spectrum: Tensor) -> Tensor:
        """Return the rows ``V c`` of a spectrum (..., B, N, M)."""
        return _times(spectrum, in_dtype(self._vectors, spectrum.dtype).mT)


_shared: OrderedDict[str, LineBlocks] = OrderedDict()


def line_blocks(mask: Tensor, maps: Tensor) -> LineBlocks:
    """Return the decomposition for a mask and maps, the same one if these had one a short while ago."""
    key = "/".join(_fingerprint(x) for x in (mask, maps))
    if key not in _shared:
        blocks = LineBlocks(mask, maps)
        if blocks.num_bytes > SHARED_BYTES:
            return blocks
        _shared[key] = blocks
    _shared.move_to_end(key)
    while sum(blocks.num_bytes for blocks in _shared.values()) > SHARED_BYTES:
        _shared.popitem(last=False)
    return _shared[key]


class ReducedMRI(ClosedFormUpdate):
    """Multi-coil MRI reduced by its blocks to ``L^(1/2) V^H``, which has the same ``A^H A``.

    What a measurement y says of an image is ``A^H y``. The reduced measurement ``L^(-1/2) V^H A^H y`` says the same:
    it has the size of the image, not that of the coils, and independent noise of standard deviation eta.

    Parameters
    ----------
    blocks
        The decomposition of ``A^H A``.
    to_rows, to_image
        How an image becomes the rows (..., B, N, M) that the blocks act on, and back.
    noise_std
        Standard deviation ``eta > 0`` of the noise.
    """

    def __init__(
        self,
        blocks: LineBlocks,
        to_rows: Callable[[Tensor], Tensor],
        to_image: Callable[[Tensor], Tensor],
        noise_std: float,
    ) -> None:
        super().__init__(noise_std)
        self.blocks, self.to_rows, self.to_image = blocks, to_rows, to_image

    def reduce(self, adjoint: Tensor) -> Tensor:
        """Return the reduced measurement (..., B, 1, N, M) from ``A^H y``, in double precision."""
        values = self.blocks.values(adjoint.dtype)
        # Below this, an eigenvalue is rounding error of the decomposition.
        seen = values > torch.finfo(values.dtype).eps * values.shape[-1] * values.amax()
        return torch.where(seen, self._analyze(adjoint) / self.blocks.roots(adjoint.dtype), 0)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``L^(1/2) V^H x``, of shape (..., B, 1, N, M)."""
        return self.blocks.roots(x.dtype) * self._analyze(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return ``V L^(1/2) y``."""
        return self._synthesize(self.blocks.roots(y.dtype) * y)

    def measurement_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return (..., B, 1, N, M) for an image `shape`."""
        return (*shape[:-3], *self.blocks.values(torch.float64).shape[1:])

    def solve_measured(self, r: Tensor, t: float, rough: Rough | None = None) -> Tensor:
        """Return ``(I + t^2 / eta^2 L)^(-1) r``."""
        return r / (1 + (t / self.noise_std) ** 2 * self.blocks.values(r.dtype))

    def spectral_filter(self, x: Tensor, response: Callable[[Tensor], Tensor]) -> Tensor:
        """Return ``f(A^H A) x`` for a real function f of the eigenvalues of ``A^H A``, given as `response`."""
        return self._synthesize(response(self.blocks.values(x.dtype)) * self._analyze(x))

    def _solve(self, b: Tensor, shift: float | Tensor) -> Tensor:
        return self.spectral_filter(b, lambda values: 1 / (values + shift))

    def _update(self, d: Tensor, y: Tensor, t: float | Tensor, rough: Rough | None) -> Tensor:
        values, roots = self.blocks.values(d.dtype), self.blocks.roots(d.dtype)
        check_fits("measurement", y.shape, self.measurement_shape(d.shape))
        spectrum = self._analyze(d)
        return d + self._synthesize(roots * (y - roots * spectrum) / (values + (self.noise_std / t) ** 2))

    def _analyze(self, x: Tensor) -> Tensor:
        return self.blocks.analyze(self.to_rows(x)).unsqueeze(-3)

    def _synthesize(self, spectrum: Tensor) -> Tensor:
        return self.to_image(self.blocks.synthesize(spectrum.squeeze(-3)))


def in_dtype(versions: dict[torch.dtype, Tensor], dtype: torch.dtype) -> Tensor:
    """Return the version of a tensor in `dtype`, made of the first one if there is none yet."""
    if dtype not in versions:
        versions[dtype] = next(iter(versions.values())).to(dtype)
    return versions[dtype]


def _times(vectors: Tensor, matrices: Tensor) -> Tensor:
    """Return the row vectors (..., B, N, M) times the matrices (B or 1, N, M, M)."""
    samples = vectors.reshape(-1, *vectors.shape[-3:]).movedim(0, -2)
    return (samples @ matrices).movedim(-2, 0).reshape(vectors.shape)


def _fingerprint(x: Tensor) -> str:
    """Return a text that tensors share if and only if they are equal, in shape, kind and device too."""
    content = hashlib.sha256(x.detach().cpu().contiguous().view(torch.uint8).numpy().data).hexdigest()
    return f"{tuple(x.shape)} {x.dtype} {x.device} {content}"
