"""EDM2UNet: the magnitude-preserving U-Net of EDM2, with the parameter names of NVlabs' release."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alps_exp.networks.adm_unet import resampled
from alps_exp.networks.dhariwal_unet import decoder
from alps_exp.networks.song_unet import BUFFERS, attend, encoder, multiple_of

SILU_MAGNITUDE = 0.596
"""Root mean square of SiLU of standard normal numbers."""
EPSILON = 1e-4


class EDM2UNet(nn.Module):
    """U-Net of Karras et al. (2024), whose layers keep the magnitude of activations, without biases and group norms.

    `forward` is as in `SongUNet`. The weights of every layer are normalized when they are used. NVlabs' code also
    overwrites them by their normalized values in each training step, which only changes the step size; here it is not
    done.

    Parameters
    ----------
    img_resolution, in_channels, out_channels, model_channels, channel_mult, num_blocks
        As in `SongUNet`.
    channel_mult_noise, channel_mult_emb
        Lengths of the embedding of the noise and of the one that all blocks receive, in units of `model_channels`; 0:
        as wide as the finest and as the widest level.
    attn_resolutions
        Sides in pixels of the levels with self-attention, in every block that does not resample. The first block of the
        decoder always has it.
    label_dim
        Number of classes; 0: unconditional.
    channels_per_head
        Channels of an attention head; blocks with fewer channels have no attention.
    label_balance, concat_balance, res_balance, attn_balance
        Weights, from 0 to 1, of the class beside the noise, of skip connections beside the main path, of residual
        branches, and of attention.
    clip_act
        Bound of the absolute values that blocks give.
    dropout
        Rate of dropout in trainings.
    logvar_channels
        Number of Fourier features that give the uncertainty, see `logvar`; 0: it is not known. Our trainings do not
        learn it.

    Raises
    ------
    ValueError
        If the resolution is not divisible as the number of levels requires.

    References
    ----------
    Karras et al. 2024 (arXiv 2312.02696), config G and Figure 21; https://github.com/NVlabs/edm2.
    """

    __call__: Callable[..., Tensor]
    map_augment = None  # none is told of augmentation

    def __init__(
        self,
        img_resolution: int,
        in_channels: int,
        out_channels: int,
        model_channels: int = 192,
        channel_mult: Sequence[float] = (1, 2, 3, 4),
        num_blocks: int = 3,
        *,
        channel_mult_noise: float = 0,
        channel_mult_emb: float = 0,
        attn_resolutions: Sequence[int] = (16, 8),
        label_dim: int = 0,
        channels_per_head: int = 64,
        label_balance: float = 0.5,
        concat_balance: float = 0.5,
        res_balance: float = 0.3,
        attn_balance: float = 0.3,
        clip_act: float = 256,
        dropout: float = 0.0,
        logvar_channels: int = 128,
    ) -> None:
        channel_mult, attn_resolutions = tuple(channel_mult), tuple(attn_resolutions)
        arguments = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        super().__init__()
        self.arguments = arguments
        self.multiple = multiple_of(img_resolution, 1, len(channel_mult))
        self.in_channels, self.label_dim = in_channels, label_dim
        self.label_balance, self.concat_balance = label_balance, concat_balance
        widths = [round(model_channels * mult) for mult in channel_mult]
        noise_channels = round(model_channels * channel_mult_noise) or widths[0]
        emb_channels = round(model_channels * channel_mult_emb) or max(widths)
        self.emb_fourier = MPFourier(noise_channels)
        self.emb_noise = MPConv(noise_channels, emb_channels)
        self.emb_label = MPConv(label_dim, emb_channels) if label_dim else None
        levels = [(img_resolution >> level, width) for level, width in enumerate(widths)]
        block = partial(
            Block,
            emb_channels=emb_channels,
            channels_per_head=channels_per_head,
            res_balance=res_balance,
            attn_balance=attn_balance,
            clip_act=clip_act,
            dropout=dropout,
        )
        self.enc, skips = encoder(
            levels, in_channels + 1, widths[0], num_blocks, attn_resolutions, "standard", block, MPConv
        )
        self.dec = decoder(levels, skips, num_blocks, attn_resolutions, partial(block, decodes=True))
        self.out_conv = MPConv(widths[0], out_channels, 3)
        self.out_gain = nn.Parameter(torch.zeros([]))
        self.logvar_fourier = MPFourier(logvar_channels) if logvar_channels else None
        self.logvar_linear = MPConv(logvar_channels, 1, trained=False) if logvar_channels else None

    def forward(
        self,
        x: Tensor,
        noise_labels: Tensor,
        class_labels: Tensor | None = None,
        augment_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the output (N, out_channels, H, W) for scaled images x and noise and class labels."""
        emb = self.emb_noise(self.emb_fourier(noise_labels))
        if self.emb_label is not None:
            assert class_labels is not None
            emb = _sum(emb, self.emb_label(class_labels * math.sqrt(self.label_dim)), self.label_balance)
        emb = _silu(emb)
        x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)  # in place of biases
        skips: list[Tensor] = []
        for block in self.enc.values():
            x = block(x, emb) if isinstance(block, Block) else block(x)
            skips.append(x)
        for block in self.dec.values():
            if x.shape[1] != block.in_channels:
                x = _concatenated(x, skips.pop(), self.concat_balance)
            x = block(x, emb)
        return self.out_conv(x, self.out_gain)

    def logvar(self, noise_labels: Tensor) -> Tensor:
        """Return u (N,) of equation 21 for noise labels (N,): the loss divides the squared error by its exponential.

        Raises
        ------
        ValueError
            If the network was saved without it.
        """
        if self.logvar_fourier is None or self.logvar_linear is None:
            raise ValueError("the network was saved without its uncertainty: logvar_channels is 0")
        return self.logvar_linear(self.logvar_fourier(noise_labels)).squeeze(1)


class Block(nn.Module):
    """Residual block that the embedding scales, with optional resampling and self-attention."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        emb_channels: int,
        *,
        channels_per_head: int,
        res_balance: float,
        attn_balance: float,
        clip_act: float,
        dropout: float,
        decodes: bool = False,
        up: bool = False,
        down: bool = False,
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels, self.decodes = in_channels, decodes
        self.way = "up" if up else "down" if down else None
        self.res_balance, self.attn_balance = res_balance, attn_balance
        self.clip_act, self.dropout = clip_act, dropout
        self.emb_gain = nn.Parameter(torch.zeros([]))
        self.conv_res0 = MPConv(in_channels if decodes else out_channels, out_channels, 3)
        self.emb_linear = MPConv(emb_channels, out_channels)
        self.conv_res1 = MPConv(out_channels, out_channels, 3)
        self.conv_skip = MPConv(in_channels, out_channels, 1) if in_channels != out_channels else None
        self.heads = out_channels // channels_per_head if attention else 0
        if self.heads:
            self.attn_qkv = MPConv(out_channels, 3 * out_channels, 1)
            self.attn_proj = MPConv(out_channels, out_channels, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        x = resampled(x, self.way)
        skip = x if self.conv_skip is None else self.conv_skip(x)
        if not self.decodes:
            x = skip = _normalized(skip, 1)
        gain = self.emb_linear(emb, self.emb_gain)[:, :, None, None] + 1
        h = _silu(self.conv_res0(_silu(x)) * gain)
        h = self.conv_res1(F.dropout(h, self.dropout, self.training))
        x = _sum(skip, h, self.res_balance)
        if self.heads:
            x = _sum(x, self.attn_proj(self._attended(x)), self.attn_balance)
        return x.clamp(-self.clip_act, self.clip_act)

    def _attended(self, x: Tensor) -> Tensor:
        """Return self-attention with queries, keys and values of unit magnitude in every pixel."""
        qkv = self.attn_qkv(x)
        heads = qkv.reshape(len(x), self.heads, -1, 3, *x.shape[2:])
        return attend(_normalized(heads, 2).reshape(qkv.shape), self.heads)


class MPConv(nn.Module):
    """Convolution, or with `kernel=0` linear map, of normalized weights, which keeps the magnitude (equation 47)."""

    __call__: Callable[..., Tensor]
    weight: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 0, trained: bool = True) -> None:
        super().__init__()
        self.in_channels = in_channels
        weight = torch.randn(out_channels, in_channels, *[kernel] * 2 * bool(kernel))
        if trained:
            self.weight = nn.Parameter(weight)
        else:
            self.register_buffer("weight", weight)

    def forward(self, x: Tensor, gain: Tensor | float = 1.0) -> Tensor:
        dimensions = [*range(1, self.weight.ndim)]
        weight = _normalized(self.weight, *dimensions) * (gain / math.sqrt(self.weight[0].numel()))
        if self.weight.ndim == 2:
            return F.linear(x, weight)
        return F.conv2d(x, weight, padding=self.weight.shape[-1] // 2)


class MPFourier(nn.Module):
    """Cosines of the noise label at random frequencies and phases (equation 75)."""

    freqs: Tensor
    phases: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("freqs", 2 * math.pi * torch.randn(channels, device=BUFFERS))
        self.register_buffer("phases", 2 * math.pi * torch.rand(channels, device=BUFFERS))

    def forward(self, x: Tensor) -> Tensor:
        return (torch.outer(x, self.freqs) + self.phases).cos() * math.sqrt(2)


def _normalized(x: Tensor, *dimensions: int) -> Tensor:
    """Return a tensor divided by its root mean square over some dimensions, which is bounded from below."""
    whole = torch.promote_types(x.dtype, torch.float32)  # squares overflow in half precision
    norm: Tensor = torch.linalg.vector_norm(x, dim=dimensions, keepdim=True, dtype=whole)
    return x / (EPSILON + norm * math.sqrt(norm.numel() / x.numel())).to(x.dtype)


def _silu(x: Tensor) -> Tensor:
    return F.silu(x) / SILU_MAGNITUDE


def _sum(a: Tensor, b: Tensor, weight: float) -> Tensor:
    """Return a weighted mean of two tensors of unit magnitude, scaled to unit magnitude (equation 88)."""
    return ((1 - weight) * a + weight * b) / math.hypot(1 - weight, weight)


def _concatenated(a: Tensor, b: Tensor, weight: float) -> Tensor:
    """Return two tensors side by side, to whose magnitude each contributes by its weight (equation 103)."""
    scale = math.sqrt(a.shape[1] + b.shape[1]) / math.hypot(1 - weight, weight)
    parts = ((1 - weight) / math.sqrt(a.shape[1]), weight / math.sqrt(b.shape[1]))
    return torch.cat([scale * parts[0] * a, scale * parts[1] * b], dim=1)
