"""Preconditionings, which turn a raw network into a denoiser for any noise scale."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alps_exp.checks import positive
from alps_exp.networks.adm_unet import ADMUNet
from alps_exp.networks.dhariwal_unet import DhariwalUNet
from alps_exp.networks.discrete_schedules import noise_scales
from alps_exp.networks.edm2_unet import EDM2UNet
from alps_exp.networks.song_unet import SongUNet, check_choice

Coefficient = Tensor | float
Network = SongUNet | DhariwalUNet | ADMUNet | EDM2UNet
Precision = Literal["float32", "bf16"]
"""Of the convolutions and matrix products of F: that of its input, or bfloat16."""
Architecture = dict[str, Any]
"""Names of preconditioning and network with their arguments, as plain values."""
WORDS = (
    "preconditioning",
    "network",
    "embedding_type",
    "encoder_type",
    "decoder_type",
    "schedule",
    "resampling",
    "prediction",
)
"""Arguments that are words; all others are numbers."""
LARGEST, MOST_PARTS, MOST_BLOCKS = 100_000, 100, 1_000
"""The largest number, the most numbers of an argument, and the most blocks of an encoder."""


class Preconditioned(nn.Module, ABC):
    """Denoiser D(x, sigma) = c_skip x + c_out F(c_in x, c_noise) around a network F (`model`).

    `forward(x, sigma)` maps real images (N, channels, H, W) and sigma (N,) to denoised images of the shape of x. If H
    or W is not a multiple of `model.multiple`, as the levels of F require, x is padded by reflection and the output is
    cropped. A class-conditional network takes labels (N, label_dim); without them it uses `class_label`, or no class
    (zeros) if that is None. With the `precision` ``bf16``, F alone is evaluated under autocast, and so is its VJP.

    Parameters
    ----------
    model
        The network F.
    **arguments
        Numbers of the preconditioning by name, positive and finite, for `architecture_of`.

    Raises
    ------
    ValueError
        If an argument is not a positive finite number; in `forward`, if x has the wrong number of channels or is too
        small to be padded.
    """

    __call__: Callable[..., Tensor]
    image_size: tuple[int, int] | None
    """(H, W) of the images that the network was trained on; None: not known."""
    sigma_data = 0.5
    """Standard deviation of the images that the weights of training losses assume."""

    def __init__(self, model: Network, **arguments: float) -> None:
        super().__init__()
        for name, value in arguments.items():
            positive(name, value)
        self.model: Network = model
        self.arguments: dict[str, float | str] = {**arguments}
        self.class_label: int | None = None
        self.image_size: tuple[int, int] | None = None
        self.precision: Precision = "float32"
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def channels(self) -> int:
        """Number of real channels of the images."""
        return self.model.in_channels

    @abstractmethod
    def coefficients(self, sigma: Tensor) -> tuple[Coefficient, Coefficient, Coefficient, Tensor]:
        """Return c_skip, c_out and c_in, each (N, 1, 1, 1) or a number, and c_noise (N,), for sigma (N,)."""

    def forward(
        self, x: Tensor, sigma: Tensor, class_labels: Tensor | None = None, augment_labels: Tensor | None = None
    ) -> Tensor:
        self._check(x)
        c_skip, c_out, c_in, c_noise = self.coefficients(sigma.to(x.dtype))
        scaled = (c_in * x).contiguous(memory_format=torch.channels_last)
        with self._autocast(x):
            raw = self._apply_padded(scaled, c_noise, self._labels(x, class_labels), augment_labels)
        if raw.shape[1] > x.shape[1]:  # iDDPM networks also predict a variance, in the last channels
            raw = raw[:, : x.shape[1]]
        return c_skip * x + c_out * raw

    def _autocast(self, x: Tensor) -> AbstractContextManager[object]:
        if self.precision == "float32":
            return nullcontext()  # a training's own autocast goes on
        return torch.autocast(x.device.type, torch.bfloat16)

    def _apply_padded(self, x: Tensor, *conditions: Tensor | None) -> Tensor:
        height, width = x.shape[-2:]
        rows, columns = -height % self.model.multiple, -width % self.model.multiple
        if not (rows or columns):
            return self.model(x, *conditions)
        top, left = rows // 2, columns // 2
        padded = F.pad(x, (left, columns - left, top, rows - top), mode="reflect")
        return self.model(padded, *conditions)[..., top : top + height, left : left + width]

    def _labels(self, x: Tensor, class_labels: Tensor | None) -> Tensor | None:
        if self.model.label_dim == 0 or class_labels is not None:
            return class_labels
        if self.class_label is None:
            return x.new_zeros(len(x), self.model.label_dim)
        label = torch.full((len(x),), self.class_label, device=x.device)
        return F.one_hot(label, self.model.label_dim).to(x.dtype)

    def _check(self, x: Tensor) -> None:
        channels, height, width = x.shape[1:]
        if channels != self.channels:
            raise ValueError(f"the model was trained on {self.channels} channels, the images have {channels}")
        if 2 * min(height, width) <= self.model.multiple:
            raise ValueError(
                f"images are {height} x {width}, the model needs more than {self.model.multiple // 2} a side"
            )


class EDMPrecond(Preconditioned):
    """EDM preconditioning.

    Parameters
    ----------
    model
        The network F.
    sigma_data
        Standard deviation of the images, above 0.

    References
    ----------
    Karras et al. 2022 (arXiv 2206.00364), equation 7 and Table 1.
    """

    def __init__(self, model: Network, sigma_data: float = 0.5) -> None:
        super().__init__(model, sigma_data=sigma_data)
        self.sigma_data = sigma_data

    def coefficients(self, sigma: Tensor) -> tuple[Coefficient, Coefficient, Coefficient, Tensor]:
        s = sigma[:, None, None, None]
        total = s.square() + self.sigma_data**2
        return self.sigma_data**2 / total, s * self.sigma_data / total.sqrt(), total.rsqrt(), sigma.log() / 4


class VEPrecond(Preconditioned):
    """Preconditioning of variance-exploding (VE) diffusion models.

    Parameters
    ----------
    model
        The network F.

    References
    ----------
    Karras et al. 2022 (arXiv 2206.00364), Table 1; Song et al. 2021 (arXiv 2011.13456).
    """

    def __init__(self, model: Network) -> None:
        super().__init__(model)

    def coefficients(self, sigma: Tensor) -> tuple[Coefficient, Coefficient, Coefficient, Tensor]:
        return 1.0, sigma[:, None, None, None], 1.0, (sigma / 2).log()


class VPPrecond(Preconditioned):
    """Preconditioning of variance-preserving (VP) diffusion models with beta(t) = beta_min + beta_d t.

    Parameters
    ----------
    model
        The network F.
    beta_d, beta_min
        Slope of the noise rate beta over time t from 0 to 1, and its value at 0; above 0.
    M
        Number of steps of the discrete model: the noise label is (M - 1) t.

    References
    ----------
    Karras et al. 2022 (arXiv 2206.00364), Table 1; Song et al. 2021 (arXiv 2011.13456).
    """

    def __init__(self, model: Network, beta_d: float = 19.9, beta_min: float = 0.1, M: int = 1000) -> None:
        super().__init__(model, beta_d=beta_d, beta_min=beta_min, M=M)
        self.beta_d, self.beta_min, self.M = beta_d, beta_min, M

    def coefficients(self, sigma: Tensor) -> tuple[Coefficient, Coefficient, Coefficient, Tensor]:
        s = sigma[:, None, None, None]
        # Not log1p: the published networks were trained on times computed with this rounding.
        root = (self.beta_min**2 + 2 * self.beta_d * (1 + sigma.square()).log()).sqrt()
        time = (root - self.beta_min) / self.beta_d
        return 1.0, -s, (s.square() + 1).rsqrt(), (self.M - 1) * time


class iDDPMPrecond(Preconditioned):
    """Preconditioning of improved DDPM: the noise label is the nearest step of a cosine schedule.

    Parameters
    ----------
    model
        The network F.
    C_1
        Lower bound of the ratio of alpha_bar at consecutive steps, which limits the largest noise scales; above 0.
    C_2
        Offset s of the cosine schedule, which keeps the steps at low noise from becoming too small; above 0.
    M
        Number of steps.

    References
    ----------
    Karras et al. 2022 (arXiv 2206.00364), Table 1; Nichol & Dhariwal 2021 (arXiv 2102.09672).
    """

    u: Tensor

    def __init__(self, model: Network, C_1: float = 0.001, C_2: float = 0.008, M: int = 1000) -> None:
        super().__init__(model, C_1=C_1, C_2=C_2, M=M)
        self.M = M
        self.register_buffer("u", _cosine_schedule(C_1, C_2, M))

    def coefficients(self, sigma: Tensor) -> tuple[Coefficient, Coefficient, Coefficient, Tensor]:
        s = sigma[:, None, None, None]
        # cdist, because its rounding, as in the published code, decides between two equally near steps.
        index = torch.cdist(sigma.to(self.u.dtype)[None, :, None], self.u[None, :, None])[0].argmin(1)
        return 1.0, -s, (s.square() + 1).rsqrt(), self.M - 1 - index.to(sigma.dtype)


class DiscretePrecond(Preconditioned):
    """Preconditioning of DDPM networks, which see the discrete steps of a schedule.

    Between two steps the label of the noise is interpolated over log sigma, since such networks take fractional steps;
    below the first and above the last it is that step.

    Parameters
    ----------
    model
        The network F.
    schedule
        Schedule of the steps, see `alps_exp.networks.discrete_schedules.noise_scales`.
    M
        Number of steps.
    beta_start, beta_end
        Rates of the noise in the first and the last step, see `noise_scales`.
    prediction
        What the network predicts: ``epsilon``, the noise; ``sample``, the image; ``v_prediction``, the velocity.

    References
    ----------
    Ho et al. 2020 (arXiv 2006.11239), equation 15; Karras et al. 2022 (arXiv 2206.00364), appendix C.3; Salimans & Ho
    2022 (arXiv 2202.00512), appendix D.
    """

    log_scales: Tensor

    def __init__(
        self,
        model: Network,
        schedule: str = "linear",
        M: int = 1000,
        beta_start: float | None = None,
        beta_end: float | None = None,
        prediction: str = "epsilon",
    ) -> None:
        rates = {"beta_start": beta_start, "beta_end": beta_end}
        super().__init__(model, M=M, **{name: rate for name, rate in rates.items() if rate is not None})
        check_choice("prediction", prediction, ("epsilon", "sample", "v_prediction"))
        self.arguments |= {"schedule": schedule, "prediction": prediction}
        self.prediction = prediction
        self.register_buffer("log_scales", noise_scales(schedule, M, **rates).log(), persistent=False)

    def coefficients(self, sigma: Tensor) -> tuple[Coefficient, Coefficient, Coefficient, Tensor]:
        s = sigma[:, None, None, None]
        scales, wanted = self.log_scales.double(), sigma.double().log()
        above = torch.searchsorted(scales, wanted).clamp(1, len(scales) - 1)
        low, high = scales[above - 1], scales[above]
        step = (above - 1 + ((wanted - low) / (high - low)).clamp(0, 1)).to(sigma.dtype)
        alpha = (s.square() + 1).rsqrt()
        if self.prediction == "sample":
            return 0.0, 1.0, alpha, step
        if self.prediction == "v_prediction":
            return alpha.square(), -s * alpha, alpha, step
        return 1.0, -s, alpha, step


class ScoreVEPrecond(Preconditioned):
    """Preconditioning of variance-exploding networks of score_sde, whose score is F / sigma.

    Parameters
    ----------
    model
        The network F.
    continuous
        Whether the label of the noise is log sigma; otherwise it is the step of a geometric sequence from `sigma_max`
        down to `sigma_min`, interpolated over log sigma and held at both ends.
    centered
        Whether the network was trained on images in [-1, 1]; otherwise on images in [0, 1], in whose units sigma is
        half of what it is here.
    scale_by_sigma
        Whether the output is divided by sigma; otherwise it is the score.
    sigma_min, sigma_max, M
        Scales of the first and the last step in the units of the training images, above 0, and number of steps.

    References
    ----------
    Song et al. 2021 (arXiv 2011.13456); https://github.com/yang-song/score_sde_pytorch.
    """

    def __init__(
        self,
        model: Network,
        *,
        continuous: bool = True,
        centered: bool = False,
        scale_by_sigma: bool = True,
        sigma_min: float = 0.01,
        sigma_max: float = 50.0,
        M: int = 1000,
    ) -> None:
        super().__init__(model, sigma_min=sigma_min, sigma_max=sigma_max, M=M)
        self.arguments |= {"continuous": continuous, "centered": centered, "scale_by_sigma": scale_by_sigma}
        self.continuous, self.scale_by_sigma = continuous, scale_by_sigma
        self.unit = 1.0 if centered else 2.0
        self.sigma_max, self.M = sigma_max, M
        self.step = math.log(sigma_max / sigma_min) / (M - 1)

    def coefficients(self, sigma: Tensor) -> tuple[Coefficient, Coefficient, Coefficient, Tensor]:
        s, label = sigma[:, None, None, None], (sigma / self.unit).log()
        if not self.continuous:
            label = ((math.log(self.sigma_max) - label.double()) / self.step).clamp(0, self.M - 1).to(sigma.dtype)
        return 1.0, s if self.scale_by_sigma else s.square() / self.unit, 1.0, label


class ScoreVPPrecond(Preconditioned):
    """Preconditioning of continuous variance-preserving networks of score_sde; the label of the noise is 999 t.

    It differs from `VPPrecond` in the rounding of small times, and knows sub-VP.

    Parameters
    ----------
    model
        The network F.
    sub
        Whether the noise has the standard deviation 1 - alpha^2 of sub-VP, of images scaled by alpha; otherwise
        (1 - alpha^2)^(1/2).
    beta_min, beta_max
        Rate of the noise at time 0 and at time 1, above 0.

    References
    ----------
    Song et al. 2021 (arXiv 2011.13456), appendix B; https://github.com/yang-song/score_sde_pytorch.
    """

    def __init__(self, model: Network, *, sub: bool = False, beta_min: float = 0.1, beta_max: float = 20.0) -> None:
        super().__init__(model, beta_min=beta_min, beta_max=beta_max)
        self.arguments["sub"] = sub
        self.sub, self.beta_min, self.beta_d = sub, beta_min, beta_max - beta_min

    def coefficients(self, sigma: Tensor) -> tuple[Coefficient, Coefficient, Coefficient, Tensor]:
        s = sigma.double()
        # 1 / alpha^2 - 1, where sigma = (1 - alpha^2) / alpha of sub-VP gives alpha = 2 / (sigma + (sigma^2 + 4)^(1/2))
        excess = s * (s + (s.square() + 4).sqrt()) / 2 if self.sub else s.square()
        rate = 2 * self.beta_d * excess.log1p()
        time = rate / self.beta_d / ((self.beta_min**2 + rate).sqrt() + self.beta_min)
        alpha = (1 + excess).rsqrt().to(sigma.dtype)
        return 1.0, -sigma[:, None, None, None], alpha[:, None, None, None], (999 * time).to(sigma.dtype)


def _cosine_schedule(C_1: float, C_2: float, M: int) -> Tensor:
    """Return the noise scales u_0 > ... > u_M = 0 of the cosine schedule."""

    def alpha_bar(j: int) -> float:
        return math.sin(math.pi / 2 * j / (M * (C_2 + 1))) ** 2

    u = [0.0]
    for j in range(M, 0, -1):
        ratio = max(alpha_bar(j - 1) / alpha_bar(j), C_1)
        u.append(math.sqrt((u[-1] ** 2 + 1) / ratio - 1))
    return torch.tensor(u[::-1], dtype=torch.float32)


NETWORKS: dict[str, type[Network]] = {
    network.__name__: network for network in (SongUNet, DhariwalUNet, ADMUNet, EDM2UNet)
}
PRECONDITIONINGS: dict[str, Callable[..., Preconditioned]] = {
    kind.__name__: kind
    for kind in (EDMPrecond, VEPrecond, VPPrecond, iDDPMPrecond, DiscretePrecond, ScoreVEPrecond, ScoreVPPrecond)
}


def architecture_of(network: Preconditioned) -> Architecture:
    """Return the architecture of a network as plain values, from which `build` makes one like it."""
    names = {"preconditioning": type(network).__name__, "network": type(network.model).__name__}
    return names | network.arguments | {"model": network.model.arguments}


def build(architecture: Architecture, file_size: float = math.inf) -> Preconditioned:
    """Build a network with random weights from the values of `architecture_of`.

    Parameters
    ----------
    architecture
        The values.
    file_size
        Bytes of the file from which the weights come: they are at least as many as the weights.

    Raises
    ------
    KeyError, TypeError, ValueError
        If the preconditioning or network is unknown, an argument is unknown or invalid, or the network is larger than
        the file.
    """
    if not isinstance(architecture, Mapping) or not isinstance(architecture.get("model"), Mapping):
        raise TypeError("an architecture is a table, with the arguments of the network in a table `model`")
    arguments: Architecture = {"preconditioning": "EDMPrecond", "network": "SongUNet", **architecture}
    model = arguments.pop("model")
    _check_values(arguments)
    _check_values(model)
    check_choice("preconditioning", arguments["preconditioning"], list(PRECONDITIONINGS))
    check_choice("network", arguments["network"], list(NETWORKS))
    preconditioning, network = PRECONDITIONINGS[arguments.pop("preconditioning")], NETWORKS[arguments.pop("network")]
    bound = inspect.signature(network).bind(**model)
    bound.apply_defaults()
    levels, blocks = len(bound.arguments["channel_mult"]), bound.arguments["num_blocks"]
    if levels * blocks > MOST_BLOCKS:
        raise ValueError(f"num_blocks is {blocks:,} on {levels} levels, expected at most {MOST_BLOCKS:,} blocks in all")
    channels = bound.arguments["model_channels"] * bound.arguments.get("channel_mult_noise", 1)
    if channels > LARGEST:
        raise ValueError(f"the embedding of the noise has {channels:,} channels, expected at most {LARGEST:,}")
    with torch.random.fork_rng([]), torch.device("meta"):  # without memory
        weights = sum(parameter.numel() for parameter in network(**model).parameters())
    if weights > file_size:
        raise ValueError(f"the network has {weights:,} weights, more than the {file_size:,} bytes of the file can hold")
    return preconditioning(network(**model), **arguments)


def _check_values(arguments: Mapping[str, object]) -> None:
    """Check that arguments are words and numbers, and none larger than those of a network that computes."""
    for name, value in arguments.items():
        parts = value if isinstance(value, list | tuple) else [value]
        if len(parts) > MOST_PARTS:
            raise ValueError(f"{name} has {len(parts):,} parts, expected at most {MOST_PARTS}")
        for part in parts:
            if not isinstance(part, str if name in WORDS else int | float):
                other = f"; settings that are words are {', '.join(WORDS)}" if isinstance(part, str) else ""
                kind = "word" if name in WORDS else f"number{other}"
                raise ValueError(f"{name} is or holds a {type(part).__name__}, expected a {kind}")
            if isinstance(part, int | float) and not abs(part) <= LARGEST:
                shown = f"{part:,}" if isinstance(part, float) or abs(part) < 2**63 else "too large"
                raise ValueError(f"{name} is {shown}, expected at most {LARGEST:,}")
