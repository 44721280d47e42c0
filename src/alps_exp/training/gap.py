"""The distance of an energy from its teacher, as one number."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def mean_gap(gap: Sequence[Tensor], reference: Sequence[Tensor], sigmas: Sequence[float]) -> Tensor:
    """Return ||(x - grad E) - D|| / ||x - D||, averaged over log-uniform sigma from the first to the last scale.

    Parameters
    ----------
    gap, reference
        Mean squares of (x - grad E) - D and of x - D over the validation images, per scale.
    sigmas
        Increasing noise scales. Between them the ratio is interpolated linearly in log(sigma).
    """
    ratio = (torch.stack([*gap]) / torch.stack([*reference])).sqrt()
    place = torch.tensor(sigmas, dtype=ratio.dtype, device=ratio.device).log()
    return torch.trapezoid(ratio, place) / (place[-1] - place[0])
