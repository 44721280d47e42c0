"""Warnings of settings that do not fit the images: results may be wrong although every step succeeded."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

START, RESOLVED = 3.0, 1 / 8
"""Least sigma_max over the standard deviation of images, and largest sigma_min over their peak.

For Gaussian priors, whose posteriors are known, spread / error of ALPS is 1.2 with sigma_min at a fifth of the standard
deviation (1/15 of the peak), 2.6 at twice, 5 at six times; and 0.85 with sigma_max at 1.5 standard deviations, 0.5 at a
quarter, 0.16 at a twentieth.
"""


def setting_warnings(
    image: Tensor,
    scales: Sequence[float],
    noise_std: float | None,
    *,
    peak: float | None = None,
    image_size: tuple[int, int] | None = None,
) -> list[str]:
    """Return a sentence for each setting that does not fit an image.

    Parameters
    ----------
    image
        The truth, or where that is not known an estimate, (C, H, W).
    scales
        Noise scales of the sampler, from the largest to the smallest.
    noise_std
        Noise level of the measurement; None if there are several.
    peak
        Largest magnitude of the volume that the image is a slice of; None: that of the image itself.
    image_size
        (H, W) of the images that the model was made for; None: not known, or any.

    Returns
    -------
    list[str]
        The size differs from the model's; sigma_max is below 3 standard deviations of the image, so that noise of that
        scale is no start; sigma_min is above an eighth of the peak, so that it hides detail; or the noise exceeds the
        range [-1, 1] of real images.
    """
    found, (height, width) = [], image.shape[-2:]
    if image_size is not None and (height, width) != image_size:
        found.append(f"images of {height} x {width} pixels, a model of {image_size[0]} x {image_size[1]}")
    parts = 2 if image.is_complex() else 1
    std = float(((image - image.mean()).abs().square().mean() / parts).sqrt())
    if scales[0] < START * std:
        found.append(f"sigma_max {scales[0]:.3g} is below {START:g} standard deviations of the image")
    peak = float(image.abs().max()) if peak is None else peak
    if scales[-1] > RESOLVED * peak:
        found.append(f"sigma_min {scales[-1]:.3g} is above an eighth of the image's peak")
    if noise_std is not None and noise_std > 1 and not image.is_complex():
        levels = f"{noise_std:g} of 255 levels is {noise_std / 127.5:.3g}"
        found.append(f"noise_std {noise_std:g} exceeds the range [-1, 1] of images: {levels}")
    return found
