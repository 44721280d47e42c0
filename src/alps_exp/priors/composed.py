"""Several energies as one: their weighted sum."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from alps_exp.priors.base import VJP, Calls, EnergyPrior, Scale


class ComposedEnergy(EnergyPrior):
    """E(x, t) = sum_i a_i E_i(x, t), the energy of the product of the priors' densities to the powers a_i.

    At large t the Hessian of an energy tends to the identity, and that of the sum to `curvature` = sum_i a_i times it.
    So d = x - grad E / curvature is the mean of the parts' estimates, weighted by a_i, and the preconditioner of a
    posterior step takes t / sqrt(curvature) for t.

    Parameters
    ----------
    energies
        E_i, for images of one number of channels; they may be compositions themselves.
    weights
        a_i, a positive number for each energy.

    Raises
    ------
    ValueError
        If there is no energy, the weights are not a positive number for each, or the numbers of channels differ.
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
        """Number of real channels of the images: 2 for complex ones of one channel."""
        return self._terms[0][1].channels

    @property
    def calls(self) -> Calls:
        """What the parts have cost so far, together."""
        calls = [energy.calls for energy in dict.fromkeys(energy for _, energy in self._terms)]
        return Calls(sum(c.forward for c in calls), sum(c.vjp for c in calls))

    def energy_and_gradient(self, x: Tensor, t: Scale) -> tuple[Tensor, Tensor]:
        """Return E of each image, shape x.shape[:-3], and grad E, shape of x (complex: d/dRe + i d/dIm)."""
        values, gradients = zip(*[energy.energy_and_gradient(x, t) for _, energy in self._terms], strict=True)
        return self._sum(values), self._sum(gradients)

    def energy(self, x: Tensor, t: Scale) -> Tensor:
        """Return E of each image, shape x.shape[:-3]."""
        return self._sum([energy.energy(x, t) for _, energy in self._terms])

    def denoise_with_vjp(self, x: Tensor, t: Scale) -> tuple[Tensor, VJP]:
        """Return d = x - grad E / curvature and the map v -> J^T v: the parts' means, weighted by a_i curvature_i."""
        estimates, vjps = zip(*[energy.denoise_with_vjp(x, t) for _, energy in self._terms], strict=True)
        return self._mean(estimates), lambda v: self._mean([vjp(v) for vjp in vjps])

    @property
    def _terms(self) -> list[tuple[float, EnergyPrior]]:
        return list(zip(self.weights, self.parts, strict=True))  # type: ignore[arg-type]

    def _mean(self, parts: Sequence[Tensor]) -> Tensor:
        """Return sum_i a_i curvature_i times part i over the curvature."""
        curved = [energy.curvature * part for (_, energy), part in zip(self._terms, parts, strict=True)]
        return self._sum(curved) / self.curvature

    def _sum(self, parts: Sequence[Tensor]) -> Tensor:
        """Return sum_i a_i times part i."""
        return torch.stack([a * part for a, part in zip(self.weights, parts, strict=True)]).sum(0)
