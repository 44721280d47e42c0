"""ADMUNet: the U-Net of guided diffusion (ADM), with the parameter names of OpenAI's release."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Layers = Callable[[int, int], list[nn.Module]]
"""Makes the layers of a block from its input channels and its level."""
Resampling = Callable[[int, str], nn.Module]
"""Makes what changes the resolution of so many channels, ``up`` or ``down``."""
Norm = Callable[[int], nn.Module]
"""Makes the normalization of so many channels."""
RESAMPLING = ("block", "conv", "conv_same", "pool")


class ADMUNet(nn.Module):
    """U-Net of Dhariwal & Nichol (2021) as OpenAI's code makes it, in all its variants for images; also that of DDPM.

    `forward(x, noise_labels, class_labels)` maps images (N, in_channels, H, W), labels of the noise (N,), which may be
    fractional steps, and one-hot classes (N, label_dim) to outputs (N, out_channels, H, W). `DhariwalUNet` is the same
    architecture with other names, another order of queries, keys and values, and fewer variants.

    Parameters
    ----------
    img_resolution
        Side in pixels of the images that the network was trained on.
    in_channels, out_channels
        Channels of images and outputs. A network that also predicts a variance has twice as many outputs.
    model_channels, channel_mult
        Width, and its factor on each level, from the finest.
    num_blocks
        Residual blocks on each level of the encoder; the decoder has one more.
    attention_levels
        Levels with self-attention, from 0 for the finest; the middle always has it.
    head_channels
        Channels of an attention head; 0: `heads` decides.
    heads
        Number of attention heads where `head_channels` is 0.
    new_attention_order
        Whether the channels are split into queries, keys and values before they are split into heads.
    scale_shift
        Whether the embedding of the noise scales and shifts normalized features; otherwise it is added.
    resampling
        How levels change the resolution: ``block``, a residual block; ``conv``, a convolution; ``conv_same``, one that
        is padded after the image alone when it halves, as in DDPM; ``pool``, neither.
    dropout
        Rate of dropout in trainings.
    label_dim
        Number of classes; 0 for an unconditional network.
    norm_groups, norm_eps
        Groups of all normalizations, and what they add to a variance.
    sine_first, frequency_shift
        Whether the embedding of the noise has its sines before its cosines, and how many frequencies fewer than all
        span the whole range: 1 in DDPM.
    middle_attention
        Whether the middle has self-attention.

    Raises
    ------
    ValueError
        If `resampling` is unknown, or a width has no whole number of groups or heads; in `forward`, if a
        class-conditional network gets no class.

    References
    ----------
    Dhariwal & Nichol 2021 (arXiv 2105.05233); https://github.com/openai/guided-diffusion; Ho et al. 2020
    (arXiv 2006.11239).
    """

    __call__: Callable[..., Tensor]
    map_augment = None  # none is told of augmentation

    def __init__(
        self,
        img_resolution: int,
        in_channels: int = 3,
        out_channels: int = 6,
        model_channels: int = 256,
        channel_mult: Sequence[float] = (1, 1, 2, 2, 4, 4),
        num_blocks: int = 2,
        attention_levels: Sequence[int] = (3, 4, 5),
        *,
        head_channels: int = 64,
        heads: int = 1,
        new_attention_order: bool = False,
        scale_shift: bool = True,
        resampling: str = "block",
        dropout: float = 0.0,
        label_dim: int = 0,
        norm_groups: int = 32,
        norm_eps: float = 1e-5,
        sine_first: bool = False,
        frequency_shift: int = 0,
        middle_attention: bool = True,
    ) -> None:
        channel_mult, attention_levels = tuple(channel_mult), tuple(attention_levels)
        arguments = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        super().__init__()
        if resampling not in RESAMPLING:
            raise ValueError(f"resampling is {resampling!r}, expected one of {', '.join(RESAMPLING)}")
        self.arguments = arguments
        self.multiple = 2 ** (len(channel_mult) - 1)
        self.in_channels, self.model_channels, self.label_dim = in_channels, model_channels, label_dim
        self.sine_first, self.frequency_shift = sine_first, frequency_shift
        widths = [round(mult * model_channels) for mult in channel_mult]
        emb_channels = 4 * model_channels
        norm = partial(_norm, groups=norm_groups, eps=norm_eps)
        block = partial(ResidualBlock, norm=norm, emb_channels=emb_channels, scale_shift=scale_shift, dropout=dropout)
        attention = partial(
            Attention, norm=norm, head_channels=head_channels, heads=heads, new_order=new_attention_order
        )

        def resample(channels: int, way: str) -> nn.Module:
            return block(channels, channels, way=way) if resampling == "block" else Resample(channels, way, resampling)

        def residual(inputs: int, level: int) -> list[nn.Module]:
            attends = [attention(widths[level])] if level in attention_levels else []
            return [block(inputs, widths[level]), *attends]

        self.time_embed = nn.Sequential(
            nn.Linear(model_channels, emb_channels), nn.SiLU(), nn.Linear(emb_channels, emb_channels)
        )
        if label_dim:
            self.label_emb = nn.Embedding(label_dim, emb_channels)
        first, deepest = widths[0], widths[-1]
        encoder, skips = _encoder(widths, num_blocks, nn.Conv2d(in_channels, first, 3, padding=1), residual, resample)
        self.input_blocks = nn.ModuleList(map(nn.ModuleList, encoder))
        middle = attention(deepest) if middle_attention else nn.Identity()
        self.middle_block = nn.ModuleList([block(deepest, deepest), middle, block(deepest, deepest)])
        decoder = _decoder(widths, num_blocks, skips, residual, resample)
        self.output_blocks = nn.ModuleList(map(nn.ModuleList, decoder))
        self.out = nn.Sequential(norm(first), nn.SiLU(), nn.Conv2d(first, out_channels, 3, padding=1))

    def forward(
        self,
        x: Tensor,
        noise_labels: Tensor,
        class_labels: Tensor | None = None,
        augment_labels: Tensor | None = None,
    ) -> Tensor:
        emb = self.time_embed(self._timestep_embedding(noise_labels))
        if self.label_dim:
            if class_labels is None:
                raise ValueError(f"the network has {self.label_dim} classes, and no image without one")
            emb = emb + class_labels.to(emb.dtype) @ self.label_emb.weight
        skips: list[Tensor] = []
        for layers in self.input_blocks:
            x = _through(layers, x, emb)
            skips.append(x)
        x = _through(self.middle_block, x, emb)
        for layers in self.output_blocks:
            x = _through(layers, torch.cat([x, skips.pop()], dim=1), emb)
        outputs: Tensor = self.out(x)
        return outputs

    def _timestep_embedding(self, steps: Tensor) -> Tensor:
        """Return cosines and sines (N, C) of steps at geometric frequencies, rounded as in OpenAI's code."""
        half = self.model_channels // 2
        exponents = torch.arange(half, dtype=torch.float32, device=steps.device)
        angles = steps[:, None] * torch.exp(-math.log(10000) * exponents / (half - self.frequency_shift))
        parts = [angles.sin(), angles.cos()] if self.sine_first else [angles.cos(), angles.sin()]
        return F.pad(torch.cat(parts, dim=1), (0, self.model_channels % 2))


def _encoder(
    widths: Sequence[int], num_blocks: int, first: nn.Module, residual: Layers, resample: Resampling
) -> tuple[list[list[nn.Module]], list[int]]:
    """Return the layers of each block from the finest level down, and the channels that they leave for the decoder."""
    blocks, skips = [[first]], [widths[0]]
    for level, width in enumerate(widths):
        for _ in range(num_blocks):
            blocks.append(residual(skips[-1], level))
            skips.append(width)
        if level + 1 < len(widths):
            blocks.append([resample(width, "down")])
            skips.append(width)
    return blocks, skips


def _decoder(
    widths: Sequence[int], num_blocks: int, skips: Sequence[int], residual: Layers, resample: Resampling
) -> list[list[nn.Module]]:
    """Return the layers of each block from the coarsest level up, each of which takes what the encoder left last."""
    blocks, left, channels = [], [*skips], widths[-1]
    for level, width in reversed([*enumerate(widths)]):
        for number in range(num_blocks + 1):
            layers = residual(channels + left.pop(), level)
            channels = width
            blocks.append(layers + ([resample(width, "up")] if level and number == num_blocks else []))
    return blocks


class ResidualBlock(nn.Module):
    """Residual block that the embedding of the noise modulates, and that may halve or double the resolution (`way`)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        norm: Norm,
        emb_channels: int,
        scale_shift: bool,
        dropout: float,
        way: str | None = None,
    ) -> None:
        super().__init__()
        self.scale_shift, self.way = scale_shift, way
        self.in_layers = nn.Sequential(norm(in_channels), nn.SiLU(), nn.Conv2d(in_channels, out_channels, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb_channels, (1 + scale_shift) * out_channels))
        last = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.out_layers = nn.Sequential(norm(out_channels), nn.SiLU(), nn.Dropout(dropout), last)
        same = in_channels == out_channels
        self.skip_connection = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        norm, activation, convolution = self.in_layers
        h = convolution(resampled(activation(norm(x)), self.way))
        modulation = self.emb_layers(emb)[:, :, None, None]
        if self.scale_shift:
            scale, shift = modulation.chunk(2, dim=1)
            h = self.out_layers[1:](self.out_layers[0](h) * (1 + scale) + shift)
        else:
            h = self.out_layers(h + modulation)
        outputs: Tensor = self.skip_connection(resampled(x, self.way)) + h
        return outputs


class Resample(nn.Module):
    """Halves or doubles the resolution, by a convolution or without parameters."""

    def __init__(self, channels: int, way: str, kind: str) -> None:
        super().__init__()
        self.way, self.kind = way, kind
        if kind != "pool" and way == "down":
            self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=int(kind == "conv"))
        elif kind != "pool":
            self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "pool":
            return resampled(x, self.way)
        if self.way == "down" and self.kind == "conv_same":
            x = F.pad(x, (0, 1, 0, 1))
        changed: Tensor = self.op(x) if self.way == "down" else self.conv(resampled(x, self.way))
        return changed


class Attention(nn.Module):
    """Self-attention over the pixels, with a residual."""

    def __init__(self, channels: int, *, norm: Norm, head_channels: int, heads: int, new_order: bool) -> None:
        super().__init__()
        self.heads, self.new_order = channels // head_channels if head_channels else heads, new_order
        if self.heads < 1 or channels % self.heads or (head_channels and channels % head_channels):
            raise ValueError(
                f"{channels} channels cannot be split into heads: head_channels {head_channels}, {heads} heads"
            )
        self.norm = norm(channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        batch, channels, pixels = flat.shape
        qkv, width = self.qkv(self.norm(flat)), channels // self.heads
        if self.new_order:
            q, k, v = (part.reshape(batch * self.heads, width, pixels) for part in qkv.chunk(3, dim=1))
        else:
            q, k, v = qkv.reshape(batch * self.heads, 3 * width, pixels).chunk(3, dim=1)
        scale = width**-0.25  # of both, so that neither product overflows in half precision
        weights = torch.softmax((q * scale).transpose(1, 2) @ (k * scale), dim=2)
        attended = (v @ weights.transpose(1, 2)).reshape(batch, channels, pixels)
        projected: Tensor = self.proj_out(attended)
        return x + projected.reshape(x.shape)


def _norm(channels: int, groups: int, eps: float) -> nn.GroupNorm:
    if channels % groups:
        raise ValueError(f"{channels} channels cannot be split into {groups} groups")
    return nn.GroupNorm(groups, channels, eps)


def resampled(x: Tensor, way: str | None) -> Tensor:
    """Return images at half or twice the resolution, or as they are."""
    if way == "up":
        return F.interpolate(x, scale_factor=2, mode="nearest")
    return F.avg_pool2d(x, 2) if way == "down" else x


def _through(layers: nn.Module, x: Tensor, emb: Tensor) -> Tensor:
    """Apply a list of layers, to which residual blocks are told the noise."""
    for layer in layers.children():
        x = layer(x, emb) if isinstance(layer, ResidualBlock) else layer(x)
    return x
