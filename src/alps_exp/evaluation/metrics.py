"""Metrics of single images of shape (..., C, H, W); nothing is averaged over images.

Real images (faces) have the range [-1, 1]; estimates are clipped to it, and the peak-to-peak value is 2. Complex images
(MRI) are compared as in fastMRI (Zbontar et al., arXiv 1811.08839), slice by slice: magnitudes without clipping,
relative to the maximum of the reference volume, inside the reconstruction crop. All computations are in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d
from torchmetrics.functional.image import peak_signal_noise_ratio

from alps_exp.crops import center_crop
from alps_exp.estimates import Weights, has_std, sample_mean, sample_std, std_of_mean

_PIXELS = (-3, -2, -1)
_HALF_WINDOW, _WINDOW_STD = 5, 1.5  # SSIM's Gaussian window has 11 x 11 pixels
_FASTMRI_WINDOW = 7  # fastMRI's is uniform
_K1, _K2 = 0.01, 0.03


def image_metrics(
    estimate: Tensor, truth: Tensor, maximum: float = 1.0, crop: tuple[int, int] | None = None
) -> dict[str, Tensor]:
    """Compute PSNR, SSIM and NMSE of every image.

    Parameters
    ----------
    estimate
        One image ``(C, H, W)``, or any number of them ``(..., C, H, W)``; real in [-1, 1], or complex.
    truth
        Ground truth; broadcasts against `estimate`.
    maximum
        Maximum magnitude of the reference volume of a complex image; ignored for real images.
    crop
        Rows and columns of the central region to evaluate; None: the whole image.

    Returns
    -------
    dict[str, Tensor]
        ``psnr`` (dB), ``ssim`` and ``nmse``, each of shape ``estimate.shape[:-3]`` and float64.

    Raises
    ------
    ValueError
        If the shapes do not fit, if only one of the two is complex, if a crop is larger than the image, or if an
        image is below 11 x 11 pixels (complex: 7 x 7).
    """
    if crop is not None:
        estimate, truth = center_crop(estimate, crop), center_crop(truth, crop)
    return {
        "psnr": psnr(estimate, truth, maximum),
        "ssim": ssim(estimate, truth, maximum),
        "nmse": nmse(estimate, truth),
    }


def psnr(estimate: Tensor, truth: Tensor, maximum: float = 1.0) -> Tensor:
    """Compute the peak signal-to-noise ratio in dB; shapes and errors as in `image_metrics`.

    Parameters
    ----------
    estimate, truth, maximum
        As in `image_metrics`.
    """
    estimate, truth = _matched(estimate, truth)
    values = peak_signal_noise_ratio(
        _comparable(estimate),
        _comparable(truth),
        data_range=_data_range(truth, maximum),
        reduction="none",
        dim=(1, 2, 3),
    )
    return values.reshape(estimate.shape[:-3])


def ssim(estimate: Tensor, truth: Tensor, maximum: float = 1.0) -> Tensor:
    """Compute the structural similarity; shapes and errors as in `image_metrics`.

    The mean is over the pixels whose whole window lies inside the image (Z. Wang et al., "Image quality
    assessment: from error visibility to structural similarity", 2004; scikit-image does the same). The window is
    Gaussian for real images; for complex ones it is fastMRI's, uniform and with the sample covariance.

    Parameters
    ----------
    estimate, truth, maximum
        As in `image_metrics`.
    """
    estimate, truth = _matched(estimate, truth)
    if truth.is_complex():
        return uniform_ssim(_comparable(estimate), _comparable(truth), maximum).reshape(estimate.shape[:-3])
    if min(truth.shape[-2:]) <= 2 * _HALF_WINDOW:
        raise ValueError(f"SSIM needs images of at least 11 x 11 pixels, got {_size(truth)}")
    similarity = _ssim(_comparable(estimate), _comparable(truth), _data_range(truth, maximum), _gaussian_mean)
    return similarity.reshape(estimate.shape[:-3])


def nmse(estimate: Tensor, truth: Tensor) -> Tensor:
    """Compute ``||estimate - truth||^2 / ||truth||^2``; shapes and errors as in `image_metrics`.

    Real estimates are clipped to [-1, 1] first; complex images are compared by magnitude, see `complex_nmse`.

    Parameters
    ----------
    estimate, truth
        As in `image_metrics`.
    """
    estimate, truth = _matched(estimate, truth)
    if estimate.is_complex():
        return _relative_error(estimate.abs(), truth.abs())
    return _relative_error(estimate.clamp(-1, 1), truth)


def complex_nmse(estimate: Tensor, truth: Tensor) -> Tensor:
    """Compute ``||estimate - truth||^2 / ||truth||^2`` with the phase; shapes and errors as in `image_metrics`.

    Parameters
    ----------
    estimate, truth
        As in `image_metrics`.
    """
    return _relative_error(*_matched(estimate, truth))


def spread_and_error(
    samples: Tensor, truth: Tensor, antithetic: bool = False, weights: Weights | None = None
) -> tuple[Tensor | None, Tensor]:
    """Compute the spread of samples and the error of their mean.

    The spread is the root of the mean over pixels of the variance of a sample plus that of the mean (of S independent
    samples, ``1 + 1/S`` times the variance); the error is the RMSE of the mean. For calibrated samples,
    sqrt(sum spread^2) / sqrt(sum error^2) over many images (the spread-skill ratio) tends to 1 for every S. Both are
    per real degree of freedom: a complex pixel has two.

    Parameters
    ----------
    samples
        Samples ``(S, ..., C, H, W)``, not clipped.
    truth
        Ground truth; broadcasts against a sample.
    antithetic
        Whether the samples are antithetic pairs, see `alps_exp.estimates.Estimates`.
    weights
        Weights of the samples; None: they are equal.

    Returns
    -------
    tuple[Tensor | None, Tensor]
        Spread (None if the samples are too few, see `alps_exp.estimates.has_std`) and error, each of the shape of the
        samples without ``S`` and ``C, H, W``.

    Raises
    ------
    ValueError
        If the shapes do not fit, or only one of the two is complex.
    """
    mean, truth = _matched(sample_mean(samples, weights), truth)
    parts = 2 if mean.is_complex() else 1
    error = ((mean - truth).abs().square().mean(_PIXELS) / parts).sqrt()
    if not has_std(len(samples), antithetic):
        return None, error
    of_sample, of_mean = (std(samples, antithetic, weights).double() for std in (sample_std, std_of_mean))
    return ((of_sample.square() + of_mean.square()).mean(_PIXELS) / parts).sqrt(), error


def _relative_error(estimate: Tensor, truth: Tensor) -> Tensor:
    return (estimate - truth).abs().square().sum(_PIXELS) / truth.abs().square().sum(_PIXELS)


def uniform_ssim(a: Tensor, b: Tensor, data_range: float) -> Tensor:
    """Return the SSIM (N,) of real images (N, C, H, W) with a uniform window and the sample covariance."""
    if min(a.shape[-2:]) < _FASTMRI_WINDOW:
        raise ValueError(f"SSIM needs images of at least 7 x 7 pixels, got {_size(a)}")
    count = _FASTMRI_WINDOW**2
    return _ssim(a, b, data_range, _uniform_mean, count / (count - 1))  # fastMRI uses the sample covariance


def _ssim(a: Tensor, b: Tensor, data_range: float, mean: Callable[[Tensor], Tensor], correction: float = 1.0) -> Tensor:
    """Return the SSIM (N,) over the windows inside real images (N, C, H, W).

    `mean` is the weighted mean over each window, and `correction` a factor of variances and covariances.
    """
    mean_a, mean_b = mean(a), mean(b)
    squares, product = mean_a.square() + mean_b.square(), mean_a * mean_b
    covariance = correction * (mean(a * b) - product)
    variances = correction * (mean(a.square() + b.square()) - squares)
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    similarity = (2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))
    return similarity.mean(_PIXELS)


def _uniform_mean(image: Tensor) -> Tensor:
    return avg_pool2d(image, _FASTMRI_WINDOW, stride=1)


def _gaussian_mean(image: Tensor) -> Tensor:
    """Return the mean (N, C, H - 10, W - 10) under Gaussian windows, one axis after the other."""
    offsets = torch.arange(-_HALF_WINDOW, _HALF_WINDOW + 1, dtype=image.dtype, device=image.device)
    window = (-0.5 * (offsets / _WINDOW_STD).square()).exp()
    window /= window.sum()
    single = image.reshape(-1, 1, *image.shape[-2:])
    smooth = conv2d(conv2d(single, window.reshape(1, 1, -1, 1)), window.reshape(1, 1, 1, -1))
    return smooth.reshape(*image.shape[:2], *smooth.shape[-2:])


def _matched(estimate: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Return both images in double precision and with the shape of the estimate."""
    if estimate.is_complex() != truth.is_complex():
        kinds = f"{estimate.dtype} and {truth.dtype}"
        raise ValueError(f"expected estimate and truth both real or both complex, got {kinds}")
    if estimate.ndim < 3 or estimate.shape[-3:] != truth.shape[-3:]:
        raise ValueError(f"expected an estimate of the truth's size {_size(truth)}, got {_size(estimate)}")
    dtype = torch.complex128 if truth.is_complex() else torch.float64
    return estimate.to(dtype), truth.to(dtype).expand_as(estimate)


def _comparable(image: Tensor) -> Tensor:
    """Return the images that PSNR and SSIM compare, magnitudes or clipped, as one batch (N, C, H, W)."""
    image = image.abs() if image.is_complex() else image.clamp(-1, 1)
    return image.reshape(math.prod(image.shape[:-3]), *image.shape[-3:])


def _data_range(truth: Tensor, maximum: float) -> float:
    return maximum if truth.is_complex() else 2.0


def _size(image: Tensor) -> str:
    return " x ".join(str(n) for n in image.shape[-3:])
