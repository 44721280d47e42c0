"""Networks of OpenAI's guided diffusion (ADM), recognized by the names and shapes of their weights."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from alps_exp.checkpoints.other_files import what_network
from alps_exp.checkpoints.unsaid import assumed, completed
from alps_exp.errors import one_line
from alps_exp.networks.preconditioning import Architecture

FIRST = "time_embed.0.weight"
RESOLUTIONS = {
    (1.0, 2.0, 3.0, 4.0): 64,
    (1.0, 1.0, 2.0, 3.0, 4.0): 128,
    (1.0, 1.0, 2.0, 2.0, 4.0, 4.0): 256,
    (0.5, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0): 512,
}
"""Sides of images by the factors of the widths, where OpenAI's code chooses these by the side."""
ASSUMED = {"head_channels": 64, "new_attention_order": False}
"""What shapes do not say, as in most published networks."""


def adm_architecture(tensors: Mapping[str, Tensor], given: Mapping[str, object]) -> Architecture | None:
    """Return the architecture of an ADM network, or None if the names are not those of one.

    Parameters
    ----------
    tensors
        The weights by name, which may have a prefix.
    given
        What the shapes do not say: ``schedule`` and ``M`` of the noise, and in ``model`` arguments of `ADMUNet`.

    Raises
    ------
    ValueError
        If it is a network of the kind for something else than images, or what is given contradicts the shapes.
    """
    prefix = next((name.removesuffix(FIRST) for name in tensors if name.endswith(FIRST)), None)
    if prefix is None or f"{prefix}input_blocks.0.0.weight" not in tensors:
        return None
    names = {
        name.removeprefix(prefix): tuple(value.shape) for name, value in tensors.items() if name.startswith(prefix)
    }
    for odd in names:
        if odd != "input_blocks.0.0.weight" and (told := what_network([odd])):
            raise ValueError(f"{one_line(odd)} belongs to {told}")
    if len(names["input_blocks.0.0.weight"]) != 4:
        raise ValueError("the network is for signals or volumes, expected one for images")
    if not any(name.startswith("output_blocks.") for name in names):
        raise ValueError("the network has no output_blocks, as a classifier: take one that denoises images")
    model = _model(names)
    if (side := RESOLUTIONS.get(tuple(model["channel_mult"]))) is not None:
        model["img_resolution"] = side
    model = completed(model, given, (*ASSUMED, "img_resolution"))
    own = {name: value for name, value in given.items() if name != "model"}
    return {"preconditioning": "DiscretePrecond", "network": "ADMUNet", "schedule": "linear", **own, "model": model}


def unsaid(architecture: Architecture, given: Mapping[str, object]) -> str:
    """Return the settings of an architecture that neither shapes nor what is given say, for readers; empty if none."""
    chosen = {"schedule": architecture["schedule"], **{name: architecture["model"][name] for name in ASSUMED}}
    return assumed(chosen, given)


def _model(names: Mapping[str, tuple[int, ...]]) -> Architecture:
    """Return the arguments of `ADMUNet` that shapes determine."""
    width = names[FIRST][1]
    decoder = _count(names, "output_blocks")
    resampling, each = _levels(names, decoder)
    encoders = [f"input_blocks.{level * each + 1}" for level in range(decoder // each)]
    outputs = [names[f"{block}.0.out_layers.3.weight"][0] for block in encoders]
    return {
        "in_channels": names["input_blocks.0.0.weight"][1],
        "out_channels": names["out.2.weight"][0],
        "model_channels": width,
        "channel_mult": [channels / width for channels in outputs],
        "num_blocks": each - 1,
        "attention_levels": [level for level, block in enumerate(encoders) if f"{block}.1.qkv.weight" in names],
        "scale_shift": names["input_blocks.1.0.emb_layers.1.weight"][0] == 2 * outputs[0],
        "resampling": resampling,
        "label_dim": names.get("label_emb.weight", (0,))[0],
        **ASSUMED,
    }


def _levels(names: Mapping[str, tuple[int, ...]], decoder: int) -> tuple[str, int]:
    """Return how levels change the resolution, and the blocks of a level of the decoder."""
    kinds = {
        "conv": r"output_blocks\.(\d+)\.[12]\.conv\.weight",
        "block": r"output_blocks\.(\d+)\.[12]\.in_layers\.0\.weight",
    }
    for kind, pattern in kinds.items():
        if found := [int(match[1]) for name in names if (match := re.fullmatch(pattern, name))]:
            return kind, min(found) + 1
    filled = {name.split(".")[1] for name in names if name.startswith("input_blocks.")}
    gaps = [number for number in range(1, decoder) if str(number) not in filled]
    return "pool", gaps[0] if gaps else decoder


def _count(names: Mapping[str, tuple[int, ...]], blocks: str) -> int:
    return 1 + max(int(name.split(".")[1]) for name in names if re.match(rf"{blocks}\.\d+\.", name))
