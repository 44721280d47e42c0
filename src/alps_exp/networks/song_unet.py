"""SongUNet: the DDPM++ and NCSN++ architectures, with the parameter names of NVlabs' EDM release."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SKIP_SCALE = math.sqrt(0.5)  # keeps the variance when two branches are added
BUFFERS = "cpu"  # also where `build` counts weights on the device `meta`, on which arithmetic needs seconds of imports


def _xavier_uniform(shape: Sequence[int], fan_in: int, fan_out: int, gain: float = 1.0) -> nn.Parameter:
    bound = gain * math.sqrt(6 / (fan_in + fan_out))
    return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))


class Linear(nn.Module):
    """Affine map (N, in) -> (N, out), initialized with Xavier-uniform weights and zero bias."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = _xavier_uniform((out_features, in_features), in_features, out_features)
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class Conv2d(nn.Module):
    """Convolution with optional resampling by two with a separable filter; `kernel=0` only resamples.

    With `filter_last` the filter is applied after the convolution (the NCSN++ residual branch).
    """

    __call__: Callable[..., Tensor]
    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        up: bool = False,
        down: bool = False,
        resample_filter: Sequence[int] = (1, 1),
        filter_last: bool = False,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.up, self.down, self.filter_last = up, down, filter_last
        self.in_channels, self.out_channels = in_channels, out_channels
        self.weight = self.bias = None
        if kernel:
            area = kernel * kernel
            shape = (out_channels, in_channels, kernel, kernel)
            self.weight = _xavier_uniform(shape, in_channels * area, out_channels * area, gain)
            self.bias = nn.Parameter(torch.zeros(out_channels))
        if up or down:
            taps = torch.as_tensor(resample_filter, dtype=torch.float32, device=BUFFERS)
            self.register_buffer("resample_filter", torch.outer(taps, taps)[None, None] / taps.sum().square())

    def _resample(self, x: Tensor, padding: int) -> Tensor:
        channels = x.shape[1]
        taps = self.resample_filter.to(x.dtype).tile(channels, 1, 1, 1)
        if self.up:
            return F.conv_transpose2d(x, taps * 4, groups=channels, stride=2, padding=padding)
        return F.conv2d(x, taps, groups=channels, stride=2, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        filter_pad = (self.resample_filter.shape[-1] - 1) // 2 if self.up or self.down else 0
        if self.filter_last:
            assert self.weight is not None
            x = F.conv2d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2 + filter_pad)
            return self._resample(x, padding=0)
        if self.up or self.down:
            x = self._resample(x, filter_pad)
        if self.weight is not None:
            x = F.conv2d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2)
        return x


class GroupNorm(nn.Module):
    """Group normalization with min(32, channels // 4) groups, as in EDM."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.groups, self.eps = min(32, channels // 4), eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, self.groups, self.weight, self.bias, self.eps)


class UNetBlock(nn.Module):
    """Residual block with noise embedding, and optional resampling and single-head self-attention."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        emb_channels: int,
        attention: bool = False,
        dropout: float = 0.0,
        up: bool = False,
        down: bool = False,
        resample_filter: Sequence[int] = (1, 1),
    ) -> None:
        super().__init__()
        self.in_channels, self.dropout = in_channels, dropout
        conv = partial(Conv2d, up=up, down=down, resample_filter=resample_filter)
        self.norm0 = GroupNorm(in_channels)
        self.conv0 = conv(in_channels, out_channels, 3)
        self.affine = Linear(emb_channels, out_channels)
        self.norm1 = GroupNorm(out_channels)
        self.conv1 = Conv2d(out_channels, out_channels, 3, gain=1e-5)
        self.skip = None
        if in_channels != out_channels or up or down:
            self.skip = conv(in_channels, out_channels, 1)
        self.attention = attention
        if attention:
            self.norm2 = GroupNorm(out_channels)
            self.qkv = Conv2d(out_channels, 3 * out_channels, 1, gain=math.sqrt(0.2))
            self.proj = Conv2d(out_channels, out_channels, 1, gain=1e-5)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.conv0(F.silu(self.norm0(x))) + self.affine(emb)[:, :, None, None]
        h = F.dropout(F.silu(self.norm1(h)), self.dropout, self.training)
        x = (self.conv1(h) + (x if self.skip is None else self.skip(x))) * SKIP_SCALE
        if self.attention:
            x = (x + self.proj(attend(self.qkv(self.norm2(x)), heads=1))) * SKIP_SCALE
        return x


def attend(qkv: Tensor, heads: int) -> Tensor:
    """Return self-attention over the pixels (N, C, H, W), given stacked queries, keys and values (N, 3C, H, W)."""
    batch, stacked, height, width = qkv.shape
    channels = stacked // (3 * heads)
    q, k, v = qkv.reshape(batch * heads, channels, 3, height * width).unbind(2)
    weights = torch.softmax(q.transpose(1, 2) @ (k / math.sqrt(channels)), dim=2)
    return (v @ weights.transpose(1, 2)).reshape(batch, heads * channels, height, width)


class PositionalEmbedding(nn.Module):
    """Sines and cosines of the noise label at geometric frequencies (DDPM++)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.frequencies = channels // 2

    def forward(self, x: Tensor) -> Tensor:
        exponents = torch.arange(self.frequencies, dtype=x.dtype, device=x.device) / (self.frequencies - 1)
        angles = torch.outer(x, (1 / 10000) ** exponents)
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class FourierEmbedding(nn.Module):
    """Sines and cosines of the noise label at random frequencies (NCSN++)."""

    freqs: Tensor

    def __init__(self, channels: int, scale: float = 16.0) -> None:
        super().__init__()
        self.register_buffer("freqs", torch.randn(channels // 2, device=BUFFERS) * scale)

    def forward(self, x: Tensor) -> Tensor:
        angles = torch.outer(x, 2 * math.pi * self.freqs)
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class SongUNet(nn.Module):
    """U-Net of Song et al. (2021) as used by EDM: DDPM++ (positional, standard) and NCSN++ (fourier, residual).

    `forward(x, noise_labels, class_labels, augment_labels)` maps (N, in_channels, H, W) and (N,) to (N, out_channels,
    H, W). Class labels (N, label_dim) are required if `label_dim` is positive. Augmentation labels (N, augment_dim)
    describe how a training image was transformed; None means that it was not.

    Parameters
    ----------
    img_resolution
        Side of the training images in pixels. It only names the levels and places the attention; the network is fully
        convolutional.
    in_channels, out_channels
        Channels of the input and of the output.
    model_channels
        Base width, in channels.
    channel_mult
        Width of each level in units of `model_channels`, from the finest to the coarsest; each halves the resolution
        of the one before.
    channel_mult_emb
        Length of the embedding that all blocks receive, in units of `model_channels`.
    num_blocks
        Residual blocks of a level in the encoder, besides the one that resamples; the decoder has one more.
    attn_resolutions
        Sides of the levels with self-attention, in pixels or, with `patch_size`, in patches. There, every block of the
        encoder that does not resample has it, and the last one of the decoder. The first block of the decoder always
        has it.
    dropout
        Probability of dropout in the residual blocks, in training mode.
    embedding_type
        Embedding of the noise label: ``positional`` (DDPM++) or ``fourier``, with random frequencies (NCSN++).
    channel_mult_noise
        Length of that embedding in units of `model_channels`: 1 for DDPM++, 2 for NCSN++.
    encoder_type
        What a level of the encoder receives besides the features of the finer one: nothing if ``standard`` (DDPM++),
        the downsampled input if ``skip``, the downsampled input with learned filters if ``residual`` (NCSN++).
    decoder_type
        ``standard``: the finest level gives the output (DDPM++ and NCSN++); ``skip``: the output is the sum of those of
        all levels, upsampled.
    resample_filter
        Weights of the separable filter that resamples, of any sum: (1, 1) for DDPM++, (1, 3, 3, 1) for NCSN++.
    patch_size
        With p > 1 the U-Net works on p x p patches stacked as channels, which makes it about p^2 times cheaper at full
        resolution.
    label_dim
        Number of classes; 0: unconditional.
    augment_dim
        Length of the augmentation labels; 0: none.

    Raises
    ------
    ValueError
        If the embedding, encoder or decoder type is unknown, or the resolution is not divisible as `patch_size` and the
        number of levels require.

    References
    ----------
    Karras et al. 2022 (arXiv 2206.00364), Table 7; Song et al. 2021 (arXiv 2011.13456).
    """

    __call__: Callable[..., Tensor]

    def __init__(
        self,
        img_resolution: int,
        in_channels: int,
        out_channels: int,
        model_channels: int = 128,
        channel_mult: Sequence[int] = (1, 2, 2, 2),
        channel_mult_emb: int = 4,
        num_blocks: int = 4,
        attn_resolutions: Sequence[int] = (16,),
        dropout: float = 0.0,
        embedding_type: str = "positional",
        channel_mult_noise: int = 1,
        encoder_type: str = "standard",
        decoder_type: str = "standard",
        resample_filter: Sequence[int] = (1, 1),
        patch_size: int = 1,
        label_dim: int = 0,
        augment_dim: int = 0,
    ) -> None:
        channel_mult, attn_resolutions = tuple(channel_mult), tuple(attn_resolutions)
        resample_filter = tuple(resample_filter)
        arguments = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        super().__init__()
        self.arguments = arguments
        check_choice("embedding_type", embedding_type, ("positional", "fourier"))
        check_choice("encoder_type", encoder_type, ("standard", "skip", "residual"))
        check_choice("decoder_type", decoder_type, ("standard", "skip"))
        self.multiple = multiple_of(img_resolution, patch_size, len(channel_mult))
        self.patch_size, self.in_channels, self.label_dim = patch_size, in_channels, label_dim
        emb_channels = model_channels * channel_mult_emb
        noise_channels = model_channels * channel_mult_noise
        embedding = PositionalEmbedding if embedding_type == "positional" else FourierEmbedding
        self.map_noise = embedding(noise_channels)
        self.map_label = Linear(label_dim, noise_channels) if label_dim else None
        self.map_augment = Linear(augment_dim, noise_channels, bias=False) if augment_dim else None
        self.map_layer0 = Linear(noise_channels, emb_channels)
        self.map_layer1 = Linear(emb_channels, emb_channels)

        side = img_resolution // patch_size
        levels = [(side >> level, model_channels * mult) for level, mult in enumerate(channel_mult)]
        inputs, outputs = in_channels * patch_size**2, out_channels * patch_size**2
        block = partial(UNetBlock, emb_channels=emb_channels, dropout=dropout, resample_filter=resample_filter)
        conv = partial(Conv2d, resample_filter=resample_filter)
        self.enc, skips = encoder(
            levels, inputs, model_channels, num_blocks, attn_resolutions, encoder_type, block, conv
        )
        self.dec = _decoder(levels, outputs, skips, num_blocks, attn_resolutions, decoder_type, block, conv)

    def forward(
        self,
        x: Tensor,
        noise_labels: Tensor,
        class_labels: Tensor | None = None,
        augment_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the output (N, out_channels, H, W) for scaled images x and noise, class and augmentation labels."""
        emb = self.map_noise(noise_labels)
        if self.map_label is not None:
            assert class_labels is not None
            emb = emb + self.map_label(class_labels * math.sqrt(self.label_dim))
        if self.map_augment is not None and augment_labels is not None:
            emb = emb + self.map_augment(augment_labels)
        emb = F.silu(self.map_layer0(emb))
        emb = F.silu(self.map_layer1(emb))
        x = F.pixel_unshuffle(x, self.patch_size)
        return F.pixel_shuffle(self._decode(*self._encode(x, emb), emb), self.patch_size)

    def _encode(self, x: Tensor, emb: Tensor) -> tuple[Tensor, list[Tensor]]:
        skips: list[Tensor] = []
        aux = x
        for name, block in self.enc.items():
            if name.endswith("aux_down"):
                aux = block(aux)
            elif name.endswith("aux_skip"):
                x = skips[-1] = x + block(aux)
            elif name.endswith("aux_residual"):
                x = skips[-1] = aux = (x + block(aux)) * SKIP_SCALE
            else:
                x = block(x, emb) if isinstance(block, UNetBlock) else block(x)
                skips.append(x)
        return x, skips

    def _decode(self, x: Tensor, skips: list[Tensor], emb: Tensor) -> Tensor:
        output: Tensor | None = None
        for name, block in self.dec.items():
            if name.endswith("aux_up"):
                output = block(output)
            elif name.endswith("aux_norm"):
                normed = block(x)
            elif name.endswith("aux_conv"):
                branch = block(F.silu(normed))
                output = branch if output is None else output + branch
            else:
                if x.shape[1] != block.in_channels:
                    x = torch.cat([x, skips.pop()], dim=1)
                x = block(x, emb)
        assert output is not None
        return output


def encoder(
    levels: Sequence[tuple[int, int]],
    inputs: int,
    channels: int,
    num_blocks: int,
    attn_resolutions: Sequence[int],
    encoder_type: str,
    block: Callable[..., nn.Module],
    conv: Callable[..., nn.Module],
) -> tuple[nn.ModuleDict, list[int]]:
    """Return the encoder blocks from the finest to the coarsest level (side, width), and the widths of the skips."""
    blocks = nn.ModuleDict()
    skips: list[int] = []
    aux = inputs
    for level, (side, width) in enumerate(levels):
        prefix = f"{side}x{side}"
        if level == 0:
            blocks[f"{prefix}_conv"] = conv(inputs, channels, 3)
        else:
            blocks[f"{prefix}_down"] = block(channels, channels, down=True)
            if encoder_type == "skip":
                blocks[f"{prefix}_aux_down"] = conv(aux, aux, 0, down=True)
                blocks[f"{prefix}_aux_skip"] = Conv2d(aux, channels, 1)
            if encoder_type == "residual":
                blocks[f"{prefix}_aux_residual"] = conv(aux, channels, 3, down=True, filter_last=True)
                aux = channels
        skips.append(channels)
        for index in range(num_blocks):
            blocks[f"{prefix}_block{index}"] = block(channels, width, attention=side in attn_resolutions)
            channels = width
            skips.append(channels)
    return blocks, skips


def _decoder(
    levels: Sequence[tuple[int, int]],
    outputs: int,
    skips: list[int],
    num_blocks: int,
    attn_resolutions: Sequence[int],
    decoder_type: str,
    block: Callable[..., UNetBlock],
    conv: Callable[..., Conv2d],
) -> nn.ModuleDict:
    """Return the decoder blocks from the coarsest to the finest level (side, width)."""
    blocks = nn.ModuleDict()
    channels = skips[-1]
    for level in reversed(range(len(levels))):
        side, width = levels[level]
        prefix = f"{side}x{side}"
        coarsest = level == len(levels) - 1
        if coarsest:
            blocks[f"{prefix}_in0"] = block(channels, channels, attention=True)
            blocks[f"{prefix}_in1"] = block(channels, channels)
        else:
            blocks[f"{prefix}_up"] = block(channels, channels, up=True)
        for index in range(num_blocks + 1):
            attention = index == num_blocks and side in attn_resolutions
            blocks[f"{prefix}_block{index}"] = block(channels + skips.pop(), width, attention=attention)
            channels = width
        if decoder_type == "skip" or level == 0:
            if decoder_type == "skip" and not coarsest:
                blocks[f"{prefix}_aux_up"] = conv(outputs, outputs, 0, up=True)
            blocks[f"{prefix}_aux_norm"] = GroupNorm(channels)
            blocks[f"{prefix}_aux_conv"] = Conv2d(channels, outputs, 3, gain=1e-5)
    return blocks


def multiple_of(img_resolution: int, patch_size: int, levels: int) -> int:
    """Return the number that the sides of images must be multiples of.

    Raises
    ------
    ValueError
        If `img_resolution` is not a multiple of it.
    """
    multiple: int = patch_size * 2 ** (levels - 1)
    if img_resolution % multiple:
        raise ValueError(
            f"img_resolution {img_resolution} is not a multiple of {multiple}, which "
            f"patch_size {patch_size} and {levels} levels need"
        )
    return multiple


def check_choice(name: str, given: str, choices: Sequence[str]) -> None:
    """Check that a word is one of those that are known.

    Raises
    ------
    ValueError
        If it is not.
    """
    if given not in choices:
        raise ValueError(f"{name} is {given!r:.100}, expected one of {', '.join(choices)}")
