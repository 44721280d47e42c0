"""Closed-form priors of smooth random images: test problems with a known exact posterior and no training."""

from __future__ import annotations

import torch
from torch import Tensor

from alps_exp.priors.gaussian import GaussianPrior
from alps_exp.priors.mixture import GaussianMixturePrior


def smooth_gaussian(
    size: int = 16,
    channels: int = 1,
    complex_valued: bool = False,
    length: float = 2.0,
    std: float = 0.2,
    floor: float = 0.05,
) -> GaussianPrior:
    """Return a zero-mean Gaussian prior with squared-exponential covariance.

    Two pixels of a channel at distance r have covariance std^2 exp(-r^2 / (2 length^2)); floor^2 is added to the
    variance of every pixel. Channels are independent. With the defaults the eigenvalues range from floor^2 = 0.0025 to
    about 1.

    Parameters
    ----------
    size
        Height and width of the images.
    channels
        Number of channels.
    complex_valued
        Whether the images are complex; the real and the imaginary part then each have this covariance.
    length
        Correlation length, in pixels.
    std
        Standard deviation of the smooth component.
    floor
        Standard deviation of the white component.

    Returns
    -------
    The prior, in float32 or complex64.

    Raises
    ------
    ValueError
        If a length or standard deviation is not positive.

    Examples
    --------
    >>> import torch
    >>> prior = smooth_gaussian(size=8)
    >>> prior.sample(3, torch.Generator().manual_seed(0)).shape
    torch.Size([3, 1, 8, 8])
    >>> prior.denoise(torch.zeros(1, 1, 8, 8), t=0.5).abs().max().item()
    0.0
    """
    dtype = torch.complex64 if complex_valued else torch.float32
    covariance = _covariance(size, channels, length, std, floor).to(dtype)
    return GaussianPrior(torch.zeros(channels, size, size, dtype=dtype), covariance)


def two_mode_mixture(
    size: int = 16,
    channels: int = 1,
    complex_valued: bool = False,
    weight: float = 0.3,
    height: float = 0.5,
    width: float = 2.0,
    *,
    length: float = 2.0,
    std: float = 0.2,
    floor: float = 0.05,
) -> GaussianMixturePrior:
    """Return a mixture of two Gaussians with the same covariance, whose means are plus and minus a smooth spot.

    The spot is height * exp(-r^2 / (2 width^2)) at distance r from the image center; it is real and the same in all
    channels. A measurement of the center therefore determines the mode; without one the mode stays ambiguous.

    Parameters
    ----------
    size, channels, complex_valued, length, std, floor
        As in `smooth_gaussian`.
    weight
        Probability of the bright spot, in [0, 1].
    height
        Value of the bright spot at its center.
    width
        Standard deviation of the spot, in pixels.

    Returns
    -------
    The prior, in float32 or complex64; its first component is the bright spot.

    Raises
    ------
    ValueError
        If a length or standard deviation is not positive, or the weight is not in [0, 1].
    """
    if not (width > 0 and 0 <= weight <= 1):
        raise ValueError(f"width must be positive and weight in [0, 1], got {width} and {weight}")
    dtype = torch.complex64 if complex_valued else torch.float32
    covariance = _covariance(size, channels, length, std, floor).to(dtype)
    distances = (_pixels(size) - (size - 1) / 2).square().sum(-1).reshape(size, size)
    spot = (height * torch.exp(-distances / (2 * width**2))).to(dtype).expand(channels, size, size)
    return GaussianMixturePrior(
        torch.tensor([weight, 1 - weight]), torch.stack([spot, -spot]), torch.stack([covariance, covariance])
    )


def _covariance(size: int, channels: int, length: float, std: float, floor: float) -> Tensor:
    if not min(length, std, floor) > 0:
        raise ValueError(f"length, std and floor must be positive, got {length}, {std} and {floor}")
    pixels = _pixels(size)
    smooth = std**2 * torch.exp(-torch.cdist(pixels, pixels).square() / (2 * length**2))
    covariance: Tensor = torch.block_diag(*[smooth + floor**2 * torch.eye(size**2, dtype=torch.float64)] * channels)
    return covariance


def _pixels(size: int) -> Tensor:
    """Return the pixel coordinates, (size^2, 2), float64."""
    return torch.cartesian_prod(*[torch.arange(size, dtype=torch.float64)] * 2)
