"""The step of an ancestral diffusion sampler, which guided samplers share."""

from __future__ import annotations

import math

from torch import Tensor


def ddim_step(x: Tensor, d: Tensor, t: float, s: float, eta: float, e: Tensor) -> Tensor:
    """Return x at scale s < t from x at scale t and the estimate d of the clean image.

    It is d + sqrt(s^2 - c^2) (x - d) / t + c e with c = eta s sqrt(1 - s^2 / t^2): deterministic for eta = 0, the
    ancestral sampler of DDPM for eta = 1.

    Parameters
    ----------
    x, d, e
        Noisy image, clean estimate and standard normal noise, all (S, B, C, H, W).
    t, s
        Scales, 0 <= s < t.
    eta
        Share of fresh noise, from 0 to 1.

    References
    ----------
    Song, Meng, Ermon, "Denoising diffusion implicit models", ICLR 2021, equations 12 and 16, for x = clean + t noise.
    """
    fresh = eta * s * math.sqrt(1 - (s / t) ** 2)
    return d + math.sqrt(s**2 - fresh**2) / t * (x - d) + fresh * e
