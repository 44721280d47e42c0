"""Training statistics by noise scale: progress at large noise must not hide a lack of it at small noise."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

EDGES = (0.05, 0.2, 0.5, 2.0)
NAMES = ("sigma<0.05", "sigma<0.2", "sigma<0.5", "sigma<2", "sigma>=2")


def band_losses(loss: Tensor, sigma: Tensor) -> dict[str, Tensor]:
    """Return the mean of the loss (N,) over the images in each non-empty band of sigma (N,)."""
    band = torch.bucketize(sigma, torch.tensor(EDGES, device=sigma.device), right=True)
    return {name: loss[band == i].mean() for i, name in enumerate(NAMES) if (band == i).any()}


def gradient_norm(loss: Tensor, parameters: Iterable[nn.Parameter]) -> Tensor:
    """Return the gradient norm of `loss` with respect to the trained parameters, keeping the graph."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    gradients = torch.autograd.grad(loss, trained, retain_graph=True)
    norm: Tensor = torch.stack([g.norm() for g in gradients]).norm()
    return norm
