"""The DDIM step shared by guided diffusion samplers."""

from __future__ import annotations

import math

from torch import Tensor


def ddim_step(x: Tensor, d: Tensor, t: float, s: float, eta: float, e: Tensor) -> Tensor:
    """Return x at scale s, given x at scale t > s and the estimate d of the clean image.

    The step is d + sqrt(s^2 - c^2) (x - d) / t + c e with c = eta s sqrt(1 - s^2 / t^2): deterministic for eta = 0, and
    DDPM's ancestral sampler for eta = 1.

    Parameters
    ----------
    x, d, e
        Noisy image, clean estimate and standard normal noise, all (S, B, C, H, W).
    t, s
        Scales, 0 <= s < t.
    eta
        Fraction of fresh noise, in [0, 1]; not the measurement noise.

    References
    ----------
    Song, Meng, Ermon, "Denoising diffusion implicit models", ICLR 2021, equations 12 and 16, rewritten for the
    variance-exploding form x = clean + t noise.
    """
    fresh = eta * s * math.sqrt(1 - (s / t) ** 2)
    return d + math.sqrt(s**2 - fresh**2) / t * (x - d) + fresh * e
