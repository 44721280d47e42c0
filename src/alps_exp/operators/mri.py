"""Multi-coil magnetic resonance imaging on a Cartesian grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from alps_exp.checks import positive
from alps_exp.folding import Folding
from alps_exp.operators.base import LinearOperator, check_fits
from alps_exp.operators.inpainting import binary_mask
from alps_exp.operators.line_blocks import LineBlocks, ReducedMRI, in_dtype, line_blocks

STACK_BYTES = 2**24


class MultiCoilMRI(LinearOperator):
    """Undersampled multi-coil k-space, ``y = mask * F(sum over sets m of sensitivity_maps_m * x_m)``.

    F is the centered orthonormal Fourier transform (ifftshift, fft2, fftshift; as in fastMRI). Images are complex
    (..., B, sets, H, W), with one channel per set of sensitivity maps: usually one set; several if the maps are not
    known better than up to their span (soft SENSE). K-space is complex (..., B, coils, H, W), with zeros where nothing
    is measured. The noise is assumed white across coils: prewhiten k-space and maps first.

    If the object exceeds the field of view of k-space (`folds`), the maps cover the object: they and the images are
    larger than k-space, and what is beyond the field of view folds into it before the Fourier transform (see
    `Folding`). The prior then sees the object as it is, not its parts on top of each other.

    If the mask varies along one axis only (1D Cartesian), ``A^H A`` is block-diagonal, with one block per position
    along the other axis. The eigendecomposition of the blocks, computed at the first solve, then gives exact solves at
    every scale. It stores H * W * L * sets^2 complex numbers per image, with L the image size along the undersampled
    axis. For any other mask, solves use conjugate gradients; their iteration count grows roughly like ``t / eta``.

    Parameters
    ----------
    mask
        1 where k-space is measured and 0 elsewhere, shape (B or 1, 1, H or 1, W or 1), any dtype. A side of
        1 stands for that of the maps.
    sensitivity_maps
        Complex coil sensitivity maps (B or 1, coils, H, W), or several sets of them (B or 1, sets, coils, H, W).
    noise_std
        Standard deviation ``eta > 0`` of the noise in the real and in the imaginary part each.
    tolerance
        Allowed error e of conjugate gradients in units of the posterior's width: ``sqrt(e^H P^(-1) e / n)``, with n the
        number of pixels, complex ones counted once (counting real and imaginary parts separately would give a smaller
        value).
    max_iterations
        Maximum number of conjugate-gradient iterations.
    solver
        ``"auto"``: blocks if the mask allows them, otherwise conjugate gradients; ``"cg"``: always conjugate gradients,
        for problems whose blocks need too much memory.
    folds
        Whether the maps, of a single set, may be larger than the mask, because the object exceeds the field of view.

    Raises
    ------
    ValueError
        If the mask is not binary or the shapes are inconsistent; in use, if they do not fit an image.
    RuntimeError
        If a solve by conjugate gradients does not converge within `max_iterations`.

    References
    ----------
    Pruessmann et al., "Advances in sensitivity encoding with arbitrary k-space trajectories", MRM 46, 2001.

    Uecker et al., "ESPIRiT: an eigenvalue approach to autocalibrating parallel MRI", MRM 71, 2014: several sets.

    Examples
    --------
    >>> import torch
    >>> mask = torch.zeros(1, 1, 1, 32)
    >>> mask[..., ::4] = 1  # every fourth column
    >>> maps = torch.full((1, 4, 32, 32), 0.5, dtype=torch.complex64)
    >>> operator = MultiCoilMRI(mask, maps, noise_std=0.02)
    >>> operator.forward(torch.ones(1, 1, 32, 32, dtype=torch.complex64)).shape
    torch.Size([1, 4, 32, 32])
    >>> operator.acceleration.item()
    4.0
    """

    def __init__(
        self,
        mask: Tensor,
        sensitivity_maps: Tensor,
        noise_std: float,
        tolerance: float = 3e-3,
        max_iterations: int = 20_000,
        solver: Literal["auto", "cg"] = "auto",
        *,
        folds: bool = False,
    ) -> None:
        super().__init__(noise_std)
        if solver not in ("auto", "cg"):
            raise ValueError(f"solver must be 'auto' or 'cg', got {solver!r}")
        if sensitivity_maps.ndim not in (4, 5) or not sensitivity_maps.is_complex():
            raise ValueError(
                "sensitivity_maps must be complex with shape (batch or 1, coils, H, W) or (batch or 1, sets, coils, H, "
                f"W), got {sensitivity_maps.dtype} with shape {tuple(sensitivity_maps.shape)}"
            )
        mask, self.folds, self.folding = binary_mask(mask), folds, None
        if folds and sensitivity_maps.ndim == 4:
            image_shape = sensitivity_maps.shape[-2:]
            fov = [size if side == 1 else side for side, size in zip(mask.shape[-2:], image_shape, strict=True)]
            self.folding = Folding(image_shape, fov) if fov != list(image_shape) else None
        if self.folding is not None:
            sensitivity_maps = self.folding.split(sensitivity_maps).movedim(-3, 1)
        self.mask = _full_size(mask, sensitivity_maps)
        self.tolerance = positive("tolerance", tolerance)
        self.max_iterations = int(positive("max_iterations", max_iterations))
        self.solver = solver
        if sensitivity_maps.ndim == 4:
            sensitivity_maps = sensitivity_maps.unsqueeze(1)
        self.sensitivity_maps = sensitivity_maps
        # Shifted once, so that no stack of coil images ever is: zero frequency and center of the image come first.
        shifted_maps = torch.fft.ifftshift(sensitivity_maps, dim=(-2, -1))
        self._maps = {shifted_maps.dtype: shifted_maps}
        self._conjugate_maps = {shifted_maps.dtype: shifted_maps.conj().resolve_conj()}
        self._unmeasured = ~torch.fft.ifftshift(self.mask, dim=(-2, -1))
        self._mask_axes = _varying_axes(self.mask)

    @property
    def acceleration(self) -> Tensor:
        """Number of k-space samples over the number measured, for each mask (B or 1,), float64."""
        return 1 / self.mask.double().mean(dim=(-3, -2, -1))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``mask * F(sum over sets of sensitivity_maps * x)``."""
        self._check_image(x)
        kspace: Tensor = torch.fft.fftshift(self._measured(x), dim=(-2, -1))
        return kspace

    def adjoint(self, y: Tensor) -> Tensor:
        """Return ``sum over coils of conj(sensitivity_maps) * F^H(mask * y)`` for every set."""
        self._check_kspace(y)
        return self._back_projected(self._masked(torch.fft.ifftshift(y, dim=(-2, -1))))

    def normal(self, x: Tensor) -> Tensor:
        """Return ``A^H A x``."""
        self._check_image(x)
        return torch.cat([self._normal(part) for part in self._portions(x)]).reshape(x.shape)

    def reduced(self, y: Tensor) -> tuple[LinearOperator, Tensor]:
        """Return a `ReducedMRI` and its measurement if the mask has lines; otherwise this operator and `y`."""
        if not self.has_spectrum:
            return self, y
        operator = self._reduced_operator()
        return operator, operator.reduce(self.adjoint(y.to(torch.complex128))).to(y.dtype)

    def measurement_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return (..., B, coils, H, W) for an image `shape` (..., B, sets, H, W)."""
        return (*shape[:-3], *self.sensitivity_maps.shape[2:])

    def spectral_filter(self, x: Tensor, response: Callable[[Tensor], Tensor]) -> Tensor:
        """Return ``f(A^H A) x`` for a real function f of the eigenvalues of ``A^H A``, given as `response`.

        Raises
        ------
        ValueError
            If ``A^H A`` is not decomposed into blocks: the mask varies along both axes, or the solver is "cg".
        """
        self._check_image(x)
        if not self.has_spectrum:
            return super().spectral_filter(x, response)
        return self._reduced_operator().spectral_filter(x, response)

    @property
    def has_spectrum(self) -> bool:
        """Whether ``A^H A`` is decomposed into blocks."""
        return self.solver == "auto" and len(self._mask_axes) == 1

    @property
    def _iterates(self) -> bool:
        return not self.has_spectrum

    def _reduced_operator(self) -> ReducedMRI:
        return ReducedMRI(self._blocks, self._to_rows, self._to_image, self.noise_std)

    def _solve(self, b: Tensor, shift: float | Tensor) -> Tensor:
        self._check_image(b)
        if self._iterates:
            return super()._solve(b, shift)
        return self.spectral_filter(b, lambda values: 1 / (values + shift))

    @cached_property
    def _blocks(self) -> LineBlocks:
        axis = self._mask_axes[0]
        lines = ~self._unmeasured.movedim(axis, -1)[:, :, 0, :]
        return line_blocks(lines, self.sensitivity_maps.movedim(axis, -1))

    def _to_rows(self, x: Tensor) -> Tensor:
        """Return the rows (..., B, N, sets * L) of an image along the undersampled axis."""
        return self._parts(x).movedim(self._mask_axes[0], -1).movedim(-3, -2).flatten(-2)

    def _to_image(self, rows: Tensor) -> Tensor:
        sets = self.sensitivity_maps.shape[1]
        return self._whole(rows.unflatten(-1, (sets, -1)).movedim(-2, -3).movedim(-1, self._mask_axes[0]))

    def _posterior_noise(self, z: Tensor, shift: float | Tensor) -> Tensor:
        # As in the public code of ALPS, the coil sensitivities are ignored: A^H A is replaced by F^H mask F.
        self._check_image(z)
        if self.folding is not None:
            return super()._posterior_noise(z, shift)
        gain = (~self._unmeasured).to(z.dtype.to_real())
        noise: Tensor = torch.fft.ifft2(torch.fft.fft2(z) * (self.noise_std * (gain + shift).rsqrt()))
        return noise

    def _normal(self, x: Tensor) -> Tensor:
        # Along a fully sampled axis the transforms cancel.
        kspace = torch.fft.fftn(self._coil_images(x), dim=self._mask_axes)
        return self._combine(torch.fft.ifftn(self._masked(kspace), dim=self._mask_axes))

    def _residual_image(self, x: Tensor, y: Tensor) -> Tensor:
        self._check_image(x)
        self._check_kspace(y)
        check_fits("measurement", y.shape, self.measurement_shape(x.shape))
        shifted = torch.fft.ifftshift(y, dim=(-2, -1))
        expanded = shifted.expand(*x.shape[:-3], *y.shape[-3:])
        portions = zip(self._portions(x), self._portions(expanded), strict=True)
        images = [self._back_projected(self._masked(part - self._measured(chain))) for chain, part in portions]
        return torch.cat(images).reshape(x.shape)

    def _portions(self, x: Tensor) -> Sequence[Tensor]:
        """Split tensors (..., B, C, H, W) by chains, so that stacks of coil images stay below `STACK_BYTES` on a CPU.

        Larger ones cost more than twice the time per chain, because the system hands out their memory anew every time.
        """
        chains = x.reshape(-1, *x.shape[-4:])
        stack = x.shape[-4] * self.sensitivity_maps.shape[2:].numel() * x.element_size()
        at_once = STACK_BYTES // stack if x.device.type == "cpu" else len(chains)
        portions: Sequence[Tensor] = chains.split(max(1, at_once))
        return portions

    def _measured(self, x: Tensor) -> Tensor:
        """Return ``A x`` with the zero frequency first."""
        return self._masked(torch.fft.fft2(self._coil_images(x), norm="ortho"))

    def _back_projected(self, y: Tensor) -> Tensor:
        """Return ``A^H y`` for a masked `y` with the zero frequency first."""
        return self._combine(torch.fft.ifft2(y, norm="ortho"))

    def _coil_images(self, x: Tensor) -> Tensor:
        """Return what the coils see (..., B, coils, H, W), with the center of the image first."""
        parts: Tensor = torch.fft.ifftshift(self._parts(x), dim=(-2, -1))
        maps = in_dtype(self._maps, x.dtype)
        return maps.squeeze(1) * parts if maps.shape[1] == 1 else (maps * parts.unsqueeze(-3)).sum(-4)

    def _combine(self, coil_images: Tensor) -> Tensor:
        """Return the image that coil images add up to, the adjoint of `_coil_images`."""
        maps = in_dtype(self._conjugate_maps, coil_images.dtype)
        if maps.shape[1] == 1:
            parts = (maps.squeeze(1) * coil_images).sum(-3, keepdim=True)
        else:
            parts = (maps * coil_images.unsqueeze(-4)).sum(-3)
        parts = torch.fft.fftshift(parts, dim=(-2, -1))
        return self._whole(parts)

    def _masked(self, kspace: Tensor) -> Tensor:
        """Set what is not measured to zero, in k-space with the zero frequency first; in place."""
        kspace.masked_fill_(self._unmeasured, 0)
        return kspace

    def _restrict(self, y: Tensor) -> Tensor:
        return torch.where(self.mask, y, 0)

    def _parts(self, x: Tensor) -> Tensor:
        """Return an image as what each set of maps weighs: its sets, or its parts within the field of view."""
        return x if self.folding is None else self.folding.split(x.squeeze(-3))

    def _whole(self, parts: Tensor) -> Tensor:
        if self.folding is not None:
            parts = self.folding.merge(parts).unsqueeze(-3)
        return parts

    def _check_image(self, x: Tensor) -> None:
        batch, sets, _, *size = self.sensitivity_maps.shape
        if self.folding is not None:
            sets, size = 1, list(self.folding.image_shape)
        if not x.is_complex() or x.ndim < 4 or x.shape[-3] != sets:
            raise ValueError(
                f"image must be complex with shape (..., B, {sets}, H, W), got {x.dtype} with shape {tuple(x.shape)}"
            )
        check_fits("mask", (len(self.mask), 1, *size), x.shape)
        check_fits("sensitivity_maps", (batch, 1, *size), x.shape)

    def _check_kspace(self, y: Tensor) -> None:
        batch, _, *expected = self.sensitivity_maps.shape
        if not y.is_complex() or y.ndim < 4 or list(y.shape[-3:]) != expected:
            raise ValueError(
                f"k-space must be complex with shape (..., B, {', '.join(map(str, expected))}), "
                f"got {y.dtype} with shape {tuple(y.shape)}"
            )
        check_fits("mask", self.mask.shape, y.shape)
        check_fits("sensitivity_maps", (batch, *expected), y.shape)


def _full_size(mask: Tensor, sensitivity_maps: Tensor) -> Tensor:
    """Expand a mask (B or 1, 1, H or 1, W or 1) to the size of the sensitivity maps."""
    sizes = zip(mask.shape[-2:], sensitivity_maps.shape[-2:], strict=True)
    batches = {mask.shape[0], sensitivity_maps.shape[0]} - {1}
    if mask.shape[1] != 1 or len(batches) > 1 or any(size not in (1, expected) for size, expected in sizes):
        raise ValueError(
            f"mask of shape {tuple(mask.shape)} does not fit sensitivity_maps of shape "
            f"{tuple(sensitivity_maps.shape)}: expected (batch or 1, 1, H or 1, W or 1)"
        )
    return mask.expand(-1, 1, *sensitivity_maps.shape[-2:])


def _varying_axes(mask: Tensor) -> tuple[int, ...]:
    """Return the image axes along which any mask of the batch varies; only the last axis if none does."""
    rows_differ = not torch.equal(mask, mask[..., :1, :].expand_as(mask))
    columns_differ = not torch.equal(mask, mask[..., :1].expand_as(mask))
    if rows_differ and columns_differ:
        return (-2, -1)
    return (-2,) if rows_differ else (-1,)
