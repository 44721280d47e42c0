"""Networks of NVlabs' EDM2, recognized by the names and shapes of their weights."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from alps_exp.checkpoints.unsaid import assumed, completed
from alps_exp.checkpoints.wrappings import Found
from alps_exp.networks.preconditioning import Architecture

BLOCK = re.compile(r"(.*?)enc\.(\d+)x\2_block\d+\.emb_gain")
NETWORK = re.compile(r"(?<![^.])unet\.")
"""The part of a name that says that a tensor is not of the preconditioning."""
GAINS = {"emb_gain": "emb_linear.weight", "out_gain": "out_conv.weight"}
"""The gains, and the weights that they scale."""
LATENT_CHANNELS = 4
ASSUMED = {
    "channels_per_head": 64,
    "label_balance": 0.5,
    "concat_balance": 0.5,
    "res_balance": 0.3,
    "attn_balance": 0.3,
    "clip_act": 256,
}
"""What shapes do not say, as in all published networks."""


def edm2_network(
    found: Mapping[str, Found], given: Mapping[str, object]
) -> tuple[Architecture, dict[str, Found]] | None:
    """Return the architecture of a network of EDM2 and its weights under the names of `EDM2UNet`, or None.

    Parameters
    ----------
    found
        What may be weights, by its key.
    given
        What weights do not say: ``sigma_data``, and in ``model`` arguments of `EDM2UNet`.

    Raises
    ------
    ValueError
        If the network works on latent codes, a tensor is missing, or what is given contradicts the shapes.
    """
    named = {key: own_names(tensors) for key, tensors in found.items() if isinstance(tensors, dict)}
    for tensors in named.values():
        if (match := next(filter(None, map(BLOCK.fullmatch, tensors)), None)) is not None:
            shapes = {
                name.removeprefix(match[1]): tuple(value.shape)
                for name, value in tensors.items()
                if name.startswith(match[1])
            }
            model = completed(_model(shapes), given, list(ASSUMED))
            check_pixels(model["in_channels"])
            own = {name: value for name, value in given.items() if name != "model"}
            return {"preconditioning": "EDMPrecond", "network": "EDM2UNet", **own, "model": model}, {**named}
    return None


def unsaid(given: Mapping[str, object]) -> str:
    """Return the settings that neither shapes nor what is given say, for readers; empty if there are none."""
    return assumed({"sigma_data": 0.5, **ASSUMED}, given)


def own_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a network and its preconditioning under the names of `EDM2UNet`."""
    return {NETWORK.sub("", name): value for name, value in tensors.items()}


def with_rounded_gains(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors under the names of `EDM2UNet` with the gains that NVlabs' code computes with.

    It divides a gain by the square root of the inputs of its layer before it leaves half precision, in which
    published networks are stored, and so rounds it by up to 0.05%.
    """
    gains = {}
    for name, value in tensors.items():
        start, _, own = name.rpartition(".")
        if own in GAINS and value.dtype == torch.float16:
            root = math.sqrt(tensors[f"{start}.{GAINS[own]}".removeprefix(".")][0].numel())
            gains[name] = (value / root).float() * root
    return {**tensors, **gains}


def check_pixels(channels: int, encoder: str | None = None) -> None:
    """Check that a network works on images.

    Parameters
    ----------
    channels
        Its channels.
    encoder
        Class of what encodes its images; None: not known.

    Raises
    ------
    ValueError
        If channels or encoder are those of latent codes.
    """
    if channels == LATENT_CHANNELS or encoder not in (None, "StandardRGBEncoder"):
        raise ValueError(
            f"the network works on latent codes of {channels} channels, not on images, as all of EDM2 for 512 x 512 "
            "pixels do: take one for 64 x 64 pixels, edm2-img64-*.pkl"
        )


def _model(shapes: Mapping[str, tuple[int, ...]]) -> Architecture:
    """Return the arguments of `EDM2UNet` that names and shapes determine."""
    sides = sorted({int(match[2]) for match in filter(None, map(BLOCK.fullmatch, shapes))}, reverse=True)
    blocks = [f"enc.{side}x{side}_block0" for side in sides]
    side = sides[0]

    def shape(name: str) -> tuple[int, ...]:
        if name not in shapes:
            raise ValueError(f"{name} of a network of EDM2 is missing")
        return shapes[name]

    width, inputs, *_ = shape(f"enc.{side}x{side}_conv.weight")  # one input is constant
    if (outputs := shape("out_conv.weight")[0]) != inputs - 1:
        raise ValueError(f"out_conv.weight gives {outputs} channels, expected {inputs - 1}, as the network takes")
    emb_channels, noise_channels = shape("emb_noise.weight")
    return {
        "img_resolution": side,
        "in_channels": inputs - 1,
        "out_channels": outputs,
        "model_channels": width,
        "channel_mult": [shape(f"{block}.conv_res1.weight")[0] / width for block in blocks],
        "channel_mult_noise": noise_channels / width,
        "channel_mult_emb": emb_channels / width,
        "num_blocks": sum(name.startswith(f"enc.{side}x{side}_block") and name.endswith("emb_gain") for name in shapes),
        "attn_resolutions": [
            side for side, block in zip(sides, blocks, strict=True) if f"{block}.attn_qkv.weight" in shapes
        ],
        "label_dim": shapes.get("emb_label.weight", (0, 0))[1],
        "logvar_channels": shapes.get("logvar_fourier.freqs", (0,))[0],
        **ASSUMED,
    }
