"""DhariwalUNet: the ADM architecture, with the parameter names of NVlabs' EDM release."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alps_exp.networks.song_unet import Conv2d, GroupNorm, Linear, attend, encoder, multiple_of

CHANNELS_PER_HEAD = 64


class ADMBlock(nn.Module):
    """Residual block with scale and shift from the noise embedding, and optional resampling and self-attention."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        emb_channels: int,
        attention: bool = False,
        dropout: float = 0.0,
        up: bool = False,
        down: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels, self.dropout = in_channels, dropout
        self.norm0 = GroupNorm(in_channels, eps=1e-5)
        self.conv0 = Conv2d(in_channels, out_channels, 3, up=up, down=down)
        self.affine = Linear(emb_channels, 2 * out_channels)
        self.norm1 = GroupNorm(out_channels, eps=1e-5)
        self.conv1 = Conv2d(out_channels, out_channels, 3)
        self.skip = None
        if in_channels != out_channels or up or down:
            self.skip = Conv2d(in_channels, out_channels, int(in_channels != out_channels), up=up, down=down)
        self.heads = out_channels // CHANNELS_PER_HEAD if attention else 0
        if self.heads:
            self.norm2 = GroupNorm(out_channels, eps=1e-5)
            self.qkv = Conv2d(out_channels, 3 * out_channels, 1)
            self.proj = Conv2d(out_channels, out_channels, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        scale, shift = self.affine(emb)[:, :, None, None].chunk(2, dim=1)
        h = self.norm1(self.conv0(F.silu(self.norm0(x))))
        h = F.dropout(F.silu(shift + h * (scale + 1)), self.dropout, self.training)
        x = self.conv1(h) + (x if self.skip is None else self.skip(x))
        if self.heads:
            x = x + self.proj(attend(self.qkv(self.norm2(x)), self.heads))
        return x


class TimestepEmbedding(nn.Module):
    """Cosines and sines of the noise label at geometric frequencies."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.frequencies = channels // 2

    def forward(self, x: Tensor) -> Tensor:
        exponents = torch.arange(self.frequencies, dtype=x.dtype, device=x.device) / self.frequencies
        angles = torch.outer(x, (1 / 10000) ** exponents)
        return torch.cat([angles.cos(), angles.sin()], dim=1)


class DhariwalUNet(nn.Module):
    """U-Net of Dhariwal & Nichol (2021) as used by EDM: adaptive group normalization and multi-head attention.

    `forward` is as in `SongUNet`. As published, attention has one head per 64 channels; blocks with fewer channels have
    no attention.

    Parameters
    ----------
    img_resolution, in_channels, out_channels, model_channels, channel_mult, channel_mult_emb, num_blocks
        As in `SongUNet`.
    attn_resolutions
        Sides in pixels of the levels with self-attention, in every block that does not resample. The first block of the
        decoder always has it.
    dropout, label_dim, augment_dim
        As in `SongUNet`.

    Raises
    ------
    ValueError
        If the resolution is not divisible as the number of levels requires.

    References
    ----------
    Dhariwal & Nichol 2021 (arXiv 2105.05233); Karras et al. 2022 (arXiv 2206.00364), Table 7.
    """

    __call__: Callable[..., Tensor]

    def __init__(
        self,
        img_resolution: int,
        in_channels: int,
        out_channels: int,
        model_channels: int = 192,
        channel_mult: Sequence[int] = (1, 2, 3, 4),
        channel_mult_emb: int = 4,
        num_blocks: int = 3,
        attn_resolutions: Sequence[int] = (32, 16, 8),
        dropout: float = 0.0,
        label_dim: int = 0,
        augment_dim: int = 0,
    ) -> None:
        channel_mult, attn_resolutions = tuple(channel_mult), tuple(attn_resolutions)
        arguments = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        super().__init__()
        self.arguments = arguments
        self.multiple = multiple_of(img_resolution, 1, len(channel_mult))
        self.in_channels, self.label_dim = in_channels, label_dim
        emb_channels = model_channels * channel_mult_emb
        self.map_noise = TimestepEmbedding(model_channels)
        self.map_augment = Linear(augment_dim, model_channels, bias=False) if augment_dim else None
        self.map_layer0 = Linear(model_channels, emb_channels)
        self.map_layer1 = Linear(emb_channels, emb_channels)
        self.map_label = Linear(label_dim, emb_channels, bias=False) if label_dim else None

        widths = [model_channels * mult for mult in channel_mult]
        levels = [(img_resolution >> level, width) for level, width in enumerate(widths)]
        block = partial(ADMBlock, emb_channels=emb_channels, dropout=dropout)
        self.enc, skips = encoder(
            levels, in_channels, widths[0], num_blocks, attn_resolutions, "standard", block, Conv2d
        )
        self.dec = decoder(levels, skips, num_blocks, attn_resolutions, block)
        self.out_norm = GroupNorm(widths[0], eps=1e-5)
        self.out_conv = Conv2d(widths[0], out_channels, 3)
        if not self.out_norm.weight.is_meta:  # where `build` only counts weights
            self._initialize()

    def forward(
        self,
        x: Tensor,
        noise_labels: Tensor,
        class_labels: Tensor | None = None,
        augment_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the output (N, out_channels, H, W) for scaled images x and noise, class and augmentation labels."""
        emb = self.map_noise(noise_labels)
        if self.map_augment is not None and augment_labels is not None:
            emb = emb + self.map_augment(augment_labels)
        emb = self.map_layer1(F.silu(self.map_layer0(emb)))
        if self.map_label is not None:
            assert class_labels is not None
            emb = emb + self.map_label(class_labels)
        emb = F.silu(emb)
        skips: list[Tensor] = []
        for block in self.enc.values():
            x = block(x, emb) if isinstance(block, ADMBlock) else block(x)
            skips.append(x)
        for block in self.dec.values():
            if x.shape[1] != block.in_channels:
                x = torch.cat([x, skips.pop()], dim=1)
            x = block(x, emb)
        return self.out_conv(F.silu(self.out_norm(x)))

    @torch.no_grad()
    def _initialize(self) -> None:
        """Draw parameters uniformly within 1 / sqrt(fan_in); the last layer of every residual branch is zero."""
        for name, parameter in self.named_parameters():
            layer = name.rpartition(".")[0]
            if layer.endswith(("conv1", "proj", "out_conv", "map_augment")):
                parameter.zero_()
            elif layer == "map_label":
                parameter.normal_()
            elif "norm" not in layer:
                bound = self.get_parameter(f"{layer}.weight")[0].numel() ** -0.5
                parameter.uniform_(-bound, bound)


def decoder(
    levels: Sequence[tuple[int, int]],
    skips: list[int],
    num_blocks: int,
    attn_resolutions: Sequence[int],
    block: Callable[..., nn.Module],
) -> nn.ModuleDict:
    """Return the decoder blocks from the coarsest to the finest of the levels (side, width)."""
    blocks = nn.ModuleDict()
    channels = skips[-1]
    for level in reversed(range(len(levels))):
        side, width = levels[level]
        prefix = f"{side}x{side}"
        if level == len(levels) - 1:
            blocks[f"{prefix}_in0"] = block(channels, channels, attention=True)
            blocks[f"{prefix}_in1"] = block(channels, channels)
        else:
            blocks[f"{prefix}_up"] = block(channels, channels, up=True)
        for index in range(num_blocks + 1):
            attention = side in attn_resolutions
            blocks[f"{prefix}_block{index}"] = block(channels + skips.pop(), width, attention=attention)
            channels = width
    return blocks
