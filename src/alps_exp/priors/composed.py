"""Composed energies: weighted sums of energies."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from alps_exp.priors.base import VJP, Calls, EnergyPrior, Scale


class ComposedEnergy(EnergyPrior):
    """The weighted sum E(x, t) = sum_i a_i E_i(x, t), the energy of the product of the densities raised to powers a_i.

    At large t the Hessian of each energy tends to the identity, and the Hessian of the sum to `curvature` = sum_i a_i
    times the identity. Therefore d = x - grad E / curvature is the average of the parts' estimates with weights a_i,
    and the preconditioner of a posterior step uses t / sqrt(curvature) instead of t.

    Parameters
    ----------
    energies
        The E_i, with the same number of channels; they may themselves be composed.
    weights
        The a_i, one positive number per energy.

    Raises
    ------
    ValueError
        If there are no energies, `weights` does not hold one positive number per energy, or the numbers of channels
        differ.

    Examples
    --------
    >>> from alps_exp.priors import smooth_gaussian
    >>> ComposedEnergy([smooth_gaussian(), smooth_gaussian(length=4.0)], weights=[1.0, 0.5]).curvature
    1.5
    """

    curvature: float

    def __init__(self, energies: Sequence[EnergyPrior], weights: Sequence[float]) -> None:
        super().__init__()
        if not energies or len(weights) != len(energies) or not all(0 < a < math.inf for a in weights):
            raise ValueError(f"expected a positive weight for each of {len(energies)} energies, got {list(weights)}")
        channels = sorted({energy.channels for energy in energies})
        if len(channels) > 1:
            raise ValueError(f"a composition needs energies of one number of channels, got {channels}")
        self.parts, self.weights = nn.ModuleList(energies), list(weights)
        self.curvature = sum(a * energy.curvature for a, energy in zip(weights, energies, strict=True))

    @property
    def channels(self) -> int:
        """Number of real channels of the images; a complex channel counts as 2."""
        return self._terms[0][1].channels

    @property
    def calls(self) -> Calls:
        """Network evaluations of all parts so far."""
        # dict.fromkeys: an energy that occurs in several terms keeps one counter for all of them.
        calls = [energy.calls for energy in dict.fromkeys(energy for _, energy in self._terms)]
        return Calls(sum(c.forward for c in calls), sum(c.vjp for c in calls))

    def energy_and_gradient(self, x: Tensor, t: Scale) -> tuple[Tensor, Tensor]:
        """Return E of each image, of shape x.shape[:-3], and grad E, of the shape of x (complex: d/dRe + i d/dIm)."""
        values, gradients = zip(*[energy.energy_and_gradient(x, t) for _, energy in self._terms], strict=True)
        return self._sum(values), self._sum(gradients)

    def energy(self, x: Tensor, t: Scale) -> Tensor:
        """Return E of each image, shape x.shape[:-3]."""
        return self._sum([energy.energy(x, t) for _, energy in self._terms])

    def denoise_with_vjp(self, x: Tensor, t: Scale) -> tuple[Tensor, VJP]:
        """Return d = x - grad E / curvature and the map v -> J^T v: averages over the parts with weights a_i c_i.

        c_i is the curvature of part i.
        """
        estimates, vjps = zip(*[energy.denoise_with_vjp(x, t) for _, energy in self._terms], strict=True)
        return self._mean(estimates), lambda v: self._mean([vjp(v) for vjp in vjps])

    @property
    def _terms(self) -> list[tuple[float, EnergyPrior]]:
        return list(zip(self.weights, self.parts, strict=True))  # type: ignore[arg-type]

    def _mean(self, parts: Sequence[Tensor]) -> Tensor:
        """Return the average of the parts with weights a_i curvature_i."""
        weighted = [energy.curvature * part for (_, energy), part in zip(self._terms, parts, strict=True)]
        return self._sum(weighted) / self.curvature

    def _sum(self, parts: Sequence[Tensor]) -> Tensor:
        """Return the sum of the parts with weights a_i."""
        return torch.stack([a * part for a, part in zip(self.weights, parts, strict=True)]).sum(0)
