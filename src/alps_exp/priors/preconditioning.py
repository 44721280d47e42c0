"""EDM preconditioning: a raw network becomes a denoiser of images at any noise scale."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alps_exp.priors.networks import SongUNet


class EDMPrecond(nn.Module):
    """Denoiser D(x, sigma) = c_skip x + c_out F(c_in x, c_noise) around a network F (`model`).

    `forward(x, sigma)` takes real images (N, channels, H, W) and sigma (N,), and returns the shape of x. Where H or W
    is not a multiple of `model.multiple`, which the levels of the network need, F sees the image continued by
    reflection and its output is cut back. `sigma_data` is the standard deviation of the images.

    Raises
    ------
    ValueError
        If x has another number of channels, or is too small to be continued.

    Source: Karras et al. 2022 (arXiv 2206.00364), equation 7 and Table 1.
    """

    def __init__(self, model: SongUNet, sigma_data: float = 0.5) -> None:
        super().__init__()
        self.model, self.sigma_data = model, sigma_data
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def channels(self) -> int:
        """Number of real channels of the images."""
        return self.model.in_channels

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        self._check(x)
        sigma = sigma.to(x.dtype)
        s = sigma[:, None, None, None]
        total = s.square() + self.sigma_data**2
        c_skip = self.sigma_data**2 / total
        c_out = s * self.sigma_data / total.sqrt()
        c_in = total.rsqrt()
        scaled = (c_in * x).contiguous(memory_format=torch.channels_last)
        return c_skip * x + c_out * self._model(scaled, sigma.log() / 4)

    def _model(self, x: Tensor, noise_labels: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        rows, columns = -height % self.model.multiple, -width % self.model.multiple
        if not (rows or columns):
            return self.model(x, noise_labels)
        top, left = rows // 2, columns // 2
        padded = F.pad(x, (left, columns - left, top, rows - top), mode="reflect")
        return self.model(padded, noise_labels)[..., top : top + height, left : left + width]

    def _check(self, x: Tensor) -> None:
        channels, height, width = x.shape[1:]
        if channels != self.channels:
            raise ValueError(f"the model was trained on {self.channels} channels, the images have {channels}")
        if 2 * min(height, width) <= self.model.multiple:
            raise ValueError(f"images are {height} x {width}, the model needs more than {self.model.multiple // 2} a side")
