"""Networks of diffusers (`UNet2DModel`), from a folder of weights and JSON, under the names of `ADMUNet`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alps_exp.checkpoints.unsaid import assumed, completed
from alps_exp.checkpoints.wrappings import Found
from alps_exp.errors import listed, one_line
from alps_exp.networks.preconditioning import Architecture, Network, build

CONFIG, SCHEDULER, INDEX = "config.json", "scheduler_config.json", "model_index.json"
STEM = "diffusion_pytorch_model."
WEIGHTS = (f"{STEM}safetensors", f"{STEM}bin")
"""Names of the weights of a network, the one to prefer first."""
NETWORKS = ("unet", "unet_ema")
"""Folders of a pipeline, or of a training, in which a network can be."""
LARGEST_JSON = 1_000_000
"""Bytes of a description; larger ones, which no network has, are refused."""
FIRST = "time_embedding.linear_1.weight"
ENCODERS = {"DownBlock2D": False, "AttnDownBlock2D": True, "ResnetDownsampleBlock2D": False}
DECODERS = {"UpBlock2D": False, "AttnUpBlock2D": True, "ResnetUpsampleBlock2D": False}
"""Blocks that are supported, and whether they have self-attention."""
LATENT = ("vae", "vqvae", "movq", "image_encoder", "text_encoder", "bert")
"""Parts of pipelines whose network works on codes, or on a description of the image."""
NEEDED = ("block_out_channels", "in_channels", "out_channels", "down_block_types", "up_block_types")
ONLY: dict[str, tuple[object, ...]] = {
    "center_input_sample": (False,),
    "time_embedding_type": ("positional",),
    "time_embedding_dim": (None,),
    "mid_block_type": ("UNetMidBlock2D",),
    "mid_block_scale_factor": (1,),
    "act_fn": ("silu", "swish"),
    "resnet_time_scale_shift": ("default", "scale_shift"),
    "class_embed_type": (None,),
    "downsample_padding": (0, 1),
    "dual_cross_attention": (False,),
}
"""Settings of `UNet2DModel`, and the values with which it is `ADMUNet`, the default first."""
SCHEDULES = {
    "linear": "linear",
    "scaled_linear": "scaled_linear",
    "sigmoid": "sigmoid",
    "squaredcos_cap_v2": "cosine",
}
"""Names of schedules in diffusers, and ours."""
RATES = ("beta_start", "beta_end")
ASSUMED = {"schedule": "linear", "M": 1000, "beta_start": 1e-4, "beta_end": 0.02, "prediction": "epsilon"}
"""What a folder without a scheduler does not say, as in most published networks."""
OUTSIDE = {
    "input_blocks.0.0": "conv_in",
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb": "class_embedding",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
BLOCK = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
    "op": "conv",
    "conv": "conv",
}
ATTENTION = {"norm": ["group_norm"], "qkv": ["to_q", "to_k", "to_v"], "proj_out": ["to_out.0"]}
"""Our layers, and their names in diffusers."""
FORMER = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Names of layers of attention before version 0.17 of diffusers, and since then."""
PLACE = re.compile(r"(input|middle|output)_blocks?\.(\d+)\.(?:(\d+)\.)?(.+)")


def diffusers_weights(folder: Path) -> Path:
    """Return the file of the weights of a pipeline, or of a network, that diffusers saved as a folder.

    Raises
    ------
    ValueError
        If there is none, or more than one network.
    """
    places = [place for place in (folder, *(folder / name for name in NETWORKS)) if (place / CONFIG).is_file()]
    if not places:
        there = listed(sorted(one_line(path.name, 100) for path in folder.iterdir())) or "nothing"
        raise ValueError(
            f"{folder} is a folder of {there}, without {CONFIG} or unet/{CONFIG}, by which diffusers says what a "
            "network is: give the folder of a pipeline or of its unet, or a file"
        )
    if len(places) > 1:
        raise ValueError(f"{folder} holds {len(places)} networks: give {' or '.join(map(str, reversed(places)))}")
    _checked_class(places[0])
    for name in WEIGHTS:
        if (path := places[0] / name).is_file():
            return path
    there = ", ".join(sorted(path.name for path in places[0].iterdir()))
    raise ValueError(f"{places[0]} has no {WEIGHTS[0]}, but {one_line(there, 200)}: give the file of the weights")


def description_files(path: Path) -> list[Path]:
    """Return the files beside weights of diffusers that say what the network is; none if these are not of diffusers."""
    if not path.name.startswith(STEM):
        return []
    return [file for file in (path.with_name(CONFIG), _scheduler(path.parent)) if file is not None and file.is_file()]


def diffusers_network(
    path: Path, found: Mapping[str, Found], given: Mapping[str, object]
) -> tuple[Architecture, dict[str, Found]] | None:
    """Return the architecture of a network of diffusers and its weights under the names of `ADMUNet`, or None.

    Parameters
    ----------
    path
        The file of the weights, beside which there is their description.
    found
        What may be weights, by its key.
    given
        What the folder does not say: ``schedule``, ``M``, ``beta_start``, ``beta_end``, ``prediction``
        (``epsilon``, ``sample`` or ``v_prediction``), and in ``model`` ``img_resolution``.

    Raises
    ------
    ValueError
        If there is no description, `ADMUNet` is not what it describes, or what is given contradicts it.
    """
    named = {key: tensors for key, tensors in found.items() if isinstance(tensors, dict) and FIRST in tensors}
    if not named:
        return None
    config = _checked_class(path.parent)
    model = completed(_model(config), given, ["dropout"])
    noise = {**ASSUMED, **_noise(path.parent), **{name: value for name, value in given.items() if name != "model"}}
    if noise["schedule"] == "cosine":  # which has no rates of its own
        noise = {name: value for name, value in noise.items() if name not in RATES or name in given}
    architecture = {"preconditioning": "DiscretePrecond", "network": "ADMUNet", **noise, "model": model}
    with torch.device("meta"):
        network = build(architecture).model
    return architecture, {key: _converted(network, tensors) for key, tensors in named.items()}


def unsaid(path: Path, architecture: Architecture, given: Mapping[str, object]) -> str:
    """Return the settings that neither the folder nor what is given says, for readers; empty if there are none."""
    said = _noise(path.parent)
    return assumed({name: architecture[name] for name in ASSUMED if name in architecture and name not in said}, given)


def _checked_class(folder: Path) -> dict[str, Any]:
    """Return the description of a network, if it is one for images."""
    if not (folder / CONFIG).is_file():
        raise ValueError(f"these are weights of diffusers without {CONFIG}: keep it beside them, as in their folder")
    config = _read(folder / CONFIG)
    if (kind := config.get("_class_name")) != "UNet2DModel":
        told = ", which is told of texts or other conditions by cross attention" if "Condition" in str(kind) else ""
        raise ValueError(f"{folder / CONFIG} describes a {_shown(kind)}{told}; expected an unconditional UNet2DModel")
    pipeline = _pipeline(folder)
    parts = _read(pipeline / INDEX) if (pipeline / INDEX).is_file() else {}
    if found := [name for name in LATENT if parts.get(name) or (pipeline / name / CONFIG).is_file()]:
        raise ValueError(
            f"{pipeline} is a pipeline with {found[0]}, so its network works on codes and not on images: give one that "
            "works on pixels, as google/ddpm-celebahq-256 does"
        )
    return config


def _pipeline(folder: Path) -> Path:
    """Return the folder of the pipeline to which a network in a folder belongs."""
    return folder.parent if folder.name in NETWORKS else folder


def _model(config: Mapping[str, Any]) -> Architecture:
    """Return the arguments of `ADMUNet` that a description says."""
    if config.get("time_embedding_type") == "fourier":
        raise ValueError(
            "its time_embedding_type is fourier, as of NCSN++: take the .pth of score_sde instead, see "
            "teacher=score_sde_ffhq256_ve"
        )
    for name, known in ONLY.items():
        if config.get(name, known[0]) not in known:
            expected = " or ".join(map(str, known))
            raise ValueError(f"its {name} is {_shown(config[name])}, supported is {expected}")
    if missing := next((name for name in NEEDED if name not in config), None):
        raise ValueError(f"its {CONFIG} does not say {missing}")
    widths, inputs, outputs = config["block_out_channels"], config["in_channels"], config["out_channels"]
    if outputs not in (inputs, 2 * inputs):
        raise ValueError(
            f"it has {_shown(inputs)} channels in and {_shown(outputs)} out: expected one for images alone"
        )
    encoder = _attends(config["down_block_types"], ENCODERS)
    if _attends(config["up_block_types"], DECODERS)[::-1] != encoder:
        raise ValueError("its down_block_types have attention on other levels than its up_block_types")
    head_channels, size = config.get("attention_head_dim", 8), config.get("sample_size")
    model = {
        "in_channels": inputs,
        "out_channels": outputs,
        "model_channels": widths[0],
        "channel_mult": [width / widths[0] for width in widths],
        "num_blocks": config.get("layers_per_block", 2),
        "attention_levels": [level for level, attends in enumerate(encoder) if attends],
        "head_channels": head_channels or 0,
        "new_attention_order": True,
        "scale_shift": config.get("resnet_time_scale_shift", "default") == "scale_shift",
        "resampling": _resampling(config),
        "dropout": config.get("dropout", 0.0),
        "label_dim": config.get("num_class_embeds") or 0,
        "norm_groups": config.get("norm_num_groups", 32),
        "norm_eps": config.get("norm_eps", 1e-5),
        "sine_first": not config.get("flip_sin_to_cos", True),
        "frequency_shift": config.get("freq_shift", 0),
        "middle_attention": config.get("add_attention", True),
    }
    sides = set(size) if isinstance(size, list) else {size}
    return model | ({"img_resolution": sides.pop()} if len(sides) == 1 and None not in sides else {})


def _attends(names: Sequence[object], known: Mapping[str, bool]) -> list[bool]:
    """Return whether each of the blocks of a description has attention."""
    if odd := next((name for name in map(_block, names) if name not in known), None):
        raise ValueError(f"one of its blocks is {_shown(odd)}, supported are {', '.join(known)}")
    return [known[_block(name)] for name in names]


def _block(name: object) -> str:
    return str(name).removeprefix("UNetRes")


def _resampling(config: Mapping[str, Any]) -> str:
    """Return how levels change the resolution, which has to be the same in all."""
    kinds = set()
    for way in ("down", "up"):
        for name in map(_block, config[f"{way}_block_types"][:-1]):
            by_block = name.startswith("Resnet") or (
                name.startswith("Attn") and config.get(f"{way}sample_type", "conv") == "resnet"
            )
            kinds.add("block" if by_block else "conv")
    if len(kinds) > 1:
        raise ValueError("some of its levels change the resolution by a convolution, some by a residual block")
    if kinds == {"block"}:
        return "block"
    return "conv" if config.get("downsample_padding", 1) else "conv_same"


def _scheduler(folder: Path) -> Path | None:
    """Return the description of the noise of a network in a folder, if there is one."""
    places = (folder / SCHEDULER, _pipeline(folder) / "scheduler" / SCHEDULER)
    return next((path for path in places if path.is_file()), None)


def _noise(folder: Path) -> dict[str, Any]:
    """Return what the scheduler beside a network says of the noise and of what is predicted."""
    if (path := _scheduler(folder)) is None:
        return {}
    config = _read(path)
    if "beta_schedule" not in config:
        raise ValueError(
            f"{path} is of a {_shown(config.get('_class_name'))}, expected one of a model with discrete steps, as "
            "DDPMScheduler"
        )
    for name in ("trained_betas", "rescale_betas_zero_snr"):
        if config.get(name):
            raise ValueError(f"{path} sets {name}, which is not supported: expected a schedule with its rates")
    if (schedule := config["beta_schedule"]) not in SCHEDULES:
        raise ValueError(f"{path} has the beta_schedule {_shown(schedule)}, supported are {', '.join(SCHEDULES)}")
    return {
        "schedule": SCHEDULES[schedule],
        "M": config.get("num_train_timesteps", 1000),
        "prediction": config.get("prediction_type", "epsilon"),
        **{name: config[name] for name in RATES if name in config},
    }


def _converted(network: Network, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of diffusers under the names of a network of ours.

    Raises
    ------
    ValueError
        If one is missing, has another shape than the network, or belongs to another.
    """
    rest = {_present_name(name): value for name, value in tensors.items()}
    own = {}
    for name, like in network.state_dict().items():
        theirs = diffusers_names(name, network.arguments["num_blocks"] + 1)
        shape = (len(like) // len(theirs), *like.shape[1:])
        own[name] = torch.cat([_taken(rest, part, shape) for part in theirs])
    if odd := next(iter(rest), None):
        raise ValueError(f"{one_line(odd, 200)} is not of the network that its {CONFIG} describes")
    return own


def _present_name(name: str) -> str:
    """Return the name that a tensor has in present versions of diffusers."""
    layer, _, kind = name.rpartition(".")
    start, _, last = layer.rpartition(".")
    return f"{start}.{FORMER[last]}.{kind}" if last in FORMER else name


def diffusers_names(own: str, each: int) -> list[str]:
    """Return the names in diffusers of a tensor of ours, where a level has so many blocks in the decoder."""
    layer, _, kind = own.rpartition(".")
    if layer in OUTSIDE:
        return [f"{OUTSIDE[layer]}.{kind}"]
    place = PLACE.fullmatch(layer)
    assert place is not None
    half, index, part, layer = place[1], int(place[2]), place[3], place[4]
    level, number = divmod(index - (half == "input"), each)
    way = {"input": "down", "output": "up"}.get(half, "mid")
    start = "mid_block" if half == "middle" else f"{way}_blocks.{level}"
    if layer in ATTENTION:
        return [f"{start}.attentions.{0 if half == 'middle' else number}.{name}.{kind}" for name in ATTENTION[layer]]
    if half == "middle":
        return [f"{start}.resnets.{index // 2}.{BLOCK[layer]}.{kind}"]
    resamples = number == each - 1 if half == "input" else part != "0"
    module = f"{way}samplers.0" if resamples else f"resnets.{number}"
    return [f"{start}.{module}.{BLOCK[layer]}.{kind}"]


def _taken(rest: dict[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    """Remove a tensor from the rest, and return it in the shape of ours, where layers of attention are convolutions."""
    if name not in rest:
        raise ValueError(f"{name} is missing, which its {CONFIG} describes")
    tensor = rest.pop(name)
    if tuple(tensor.shape[:2]) != shape[:2] or tensor.numel() != math.prod(shape):
        theirs, ours = (" x ".join(map(str, each)) for each in (tensor.shape, shape))
        raise ValueError(f"{name} has the shape {theirs}, its {CONFIG} describes {ours}")
    return tensor.reshape(shape)


def _read(path: Path) -> dict[str, Any]:
    """Return the settings in a file of JSON."""
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise ValueError(f"it has more than {LARGEST_JSON:,} bytes")
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: expected a table of settings")
    return content


def _shown(value: object) -> str:
    return one_line(str(value), 100)
