"""Networks of Song's score_sde (NCSN++ and DDPM++), recognized by the names and shapes of their weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from alps_exp.checkpoints.unsaid import assumed, completed
from alps_exp.checkpoints.wrappings import Found
from alps_exp.networks.preconditioning import Architecture, build
from alps_exp.networks.song_unet import SongUNet, UNetBlock, check_choice

MODULE = re.compile(r"(.*?)all_modules\.(\d+)\.(.+)")
BLOCK = {
    "norm0": "GroupNorm_0",
    "conv0": "Conv_0",
    "affine": "Dense_0",
    "norm1": "GroupNorm_1",
    "conv1": "Conv_1",
    "skip": "Conv_2",
}
"""Parts of our residual blocks, and their names in score_sde."""
AUXILIARY = {"aux_skip": "Conv_0.", "aux_residual": "Conv2d_0."}
"""Convolutions of the pyramid of inputs, which score_sde has in modules of their own."""
KINDS = ("weight", "bias")
Module = dict[str, Tensor]


def score_sde_network(
    found: Mapping[str, Found], given: Mapping[str, object]
) -> tuple[Architecture, dict[str, Found]] | None:
    """Return the architecture of a network of score_sde and its weights under the names of `SongUNet`, or None.

    Parameters
    ----------
    found
        What may be weights, by its key. A list holds averages of the trained parameters, in the order of the names
        under another key.
    given
        What weights do not say: ``sde`` (``ve``, ``vp``, ``subvp``), ``continuous``, ``centered``, ``skip_rescale``
        (true alone), the further arguments of its preconditioning, and in ``model`` ``img_resolution`` and
        ``resample_filter``.

    Raises
    ------
    ValueError
        If it is a network of score_sde that `SongUNet` is not, a setting is missing, or what is given contradicts the
        weights.
    """
    if given.get("skip_rescale", True) is not True:
        raise ValueError("skip_rescale is false: only networks with skip_rescale=true are supported")
    given = {name: value for name, value in given.items() if name != "skip_rescale"}
    named = {key: tensors for key, tensors in found.items() if isinstance(tensors, dict)}
    tensors = next((tensors for tensors in named.values() if any(map(MODULE.match, tensors))), None)
    if tensors is None:
        return None
    trained = [name for name in tensors if MODULE.match(name) and not name.endswith(".0.W")]
    fixed = {name: value for name, value in tensors.items() if name.endswith(".0.W")}
    for key, value in found.items():
        if isinstance(value, list) and len(value) == len(trained):
            named[key] = fixed | dict(zip(trained, value, strict=True))
    modules = {key: _modules(each) for key, each in named.items() if any(map(MODULE.match, each))}
    architecture = _architecture(next(iter(modules.values())), given, _sigmas(tensors))
    with torch.device("meta"):
        model = build(architecture).model
    assert isinstance(model, SongUNet)
    return architecture, {key: _converted(model, each) for key, each in modules.items()}


def unsaid(architecture: Architecture, given: Mapping[str, object]) -> str:
    """Return the settings of an architecture that neither weights nor what is given say, for readers."""
    kind = architecture["preconditioning"]
    words = {"ScoreVEPrecond": "ve", "ScoreVPPrecond": "subvp" if architecture.get("sub") else "vp"}
    chosen: dict[str, object] = {"sde": words.get(kind, "vp"), "continuous": kind != "DiscretePrecond"}
    if kind == "ScoreVEPrecond":
        chosen |= {"continuous": architecture["continuous"], "centered": False, "scale_by_sigma": True}
    if kind == "ScoreVPPrecond":
        chosen |= {"beta_min": 0.1, "beta_max": 20}
    chosen |= {"resample_filter": architecture["model"]["resample_filter"], "skip_rescale": True}
    return assumed(chosen, given)


def _sigmas(tensors: Module) -> Tensor | None:
    """Return the noise scales that networks of score_sde carry along, from the largest to the smallest."""
    found = [value for name, value in tensors.items() if name.split(".")[-1] == "sigmas" and value.numel() > 1]
    return found[0] if found else None


def _modules(tensors: Mapping[str, Tensor]) -> list[Module]:
    """Return the parameters of each module in its order."""
    modules: dict[int, Module] = {}
    for name, value in tensors.items():
        if match := MODULE.match(name):
            modules.setdefault(int(match[2]), {})[match[3]] = value
    if sorted(modules) != list(range(len(modules))):
        missing = next(number for number in range(len(modules)) if number not in modules)
        raise ValueError(f"all_modules.{missing} is missing, or resampling has no parameters, which is not supported")
    return [modules[number] for number in range(len(modules))]


def _architecture(modules: list[Module], given: Mapping[str, object], sigmas: Tensor | None) -> Architecture:
    """Return the architecture from shapes and settings."""
    fourier = "W" in modules[0]
    model = completed(_model(modules[fourier:], fourier), given, ["resample_filter"])
    side = model["img_resolution"]
    model["attn_resolutions"] = [side >> level for level in model["attn_resolutions"]]
    settings = {name: value for name, value in given.items() if name not in ("model", "sde")}
    sde = given.get("sde", "ve" if fourier else "vp")
    check_choice("architecture.sde", str(sde), ("ve", "vp", "subvp"))
    if sde == "ve":
        scales = {} if sigmas is None else {"sigma_max": float(sigmas[0]), "sigma_min": float(sigmas[-1])}
        scales |= {} if sigmas is None else {"M": len(sigmas)}
        kind = {"preconditioning": "ScoreVEPrecond", "continuous": fourier} | scales
    else:
        if settings.pop("centered", True) is not True:
            raise ValueError("a variance-preserving network is supported for images in [-1, 1] alone: centered=true")
        if settings.pop("scale_by_sigma", False) is not False:
            raise ValueError("a variance-preserving network predicts noise of unit variance: scale_by_sigma=false")
        if settings.pop("continuous", True) or sde == "subvp":
            kind = {"preconditioning": "ScoreVPPrecond", "sub": sde == "subvp"}
        else:
            kind = {"preconditioning": "DiscretePrecond", "schedule": "linear"}
    return {**kind, "network": "SongUNet", **settings, "model": model}


def _model(modules: list[Module], fourier: bool) -> Architecture:
    """Return the arguments of `SongUNet`, with attention by level, from the modules after a Fourier embedding."""
    odd = next((each for each in modules if "NIN_0.W" in each and "NIN_3.W" not in each or _is_plain_conv(each)), None)
    if odd is not None:
        raise ValueError(
            "its blocks are those of DDPM (resblock_type=ddpm or model.name=ddpm, or a pyramid without filters), "
            "expected resblock_type=biggan"
        )
    if len(modules) < 4 or "weight" not in modules[2] or modules[2]["weight"].ndim != 4:
        raise ValueError("all_modules does not begin as that of NCSN++ or DDPM++ for images, conditional on noise")
    width, channels = modules[2]["weight"].shape[:2]
    resampling = [number for number, each in enumerate(modules) if _resamples(each)]
    levels = len(resampling) // 2 + 1
    if levels < 2:
        raise ValueError("a network of a single level, or one without blocks that resample, is not supported")
    starts = [3, *(number + 1 for number in resampling[: levels - 1])]
    aux = [modules[start] for start in starts[1:]]
    residual, skip = "Conv2d_0.weight" in aux[0], _is_combination(aux[0])
    starts = [starts[0], *(start + (residual or skip) for start in starts[1:])]
    if skip and modules[starts[1]]["Conv_0.weight"].shape[1] != aux[0]["Conv_0.weight"].shape[0]:
        raise ValueError("the pyramid of the input is concatenated (progressive_combine=cat), expected sum")
    first = modules[starts[0] : resampling[0]]
    norms = sum(set(each) == {"weight", "bias"} and each["weight"].ndim == 1 for each in modules)
    return {
        "in_channels": channels,
        "out_channels": modules[-1]["weight"].shape[0] if _ends_plainly(modules) else channels,
        "model_channels": width,
        "channel_mult": [modules[start]["Conv_0.weight"].shape[0] // width for start in starts],
        "num_blocks": sum("Conv_1.weight" in each for each in first),
        "attn_resolutions": [level for level, start in enumerate(starts) if "NIN_3.W" in modules[start + 1]],
        "embedding_type": "fourier" if fourier else "positional",
        "channel_mult_noise": 1 + fourier,
        "encoder_type": "residual" if residual else "skip" if skip else "standard",
        "decoder_type": "skip" if norms > 1 else "standard",
        "resample_filter": [1, 3, 3, 1] if fourier or residual or skip else [1, 1],
    }


def _ends_plainly(modules: list[Module]) -> bool:
    return "weight" in modules[-1] and modules[-1]["weight"].ndim == 4


def _resamples(module: Module) -> bool:
    """Return whether a residual block changes the resolution: it has a shortcut without changing the width."""
    shortcut = module.get("Conv_2.weight")
    return shortcut is not None and shortcut.shape[0] == shortcut.shape[1]


def _is_combination(module: Module) -> bool:
    return set(module) == {"Conv_0.weight", "Conv_0.bias"} and module["Conv_0.weight"].shape[-1] == 1


def _is_plain_conv(module: Module) -> bool:
    """Return whether a module is a strided convolution, or one after nearest-neighbor upsampling."""
    return set(module) == {"Conv_0.weight", "Conv_0.bias"} and module["Conv_0.weight"].shape[-1] == 3


def _converted(model: SongUNet, modules: list[Module]) -> dict[str, Tensor]:
    """Return the tensors of all modules under the names of `SongUNet`."""
    rest = enumerate(modules)
    tensors = {"map_noise.freqs": next(rest)[1]["W"]} if model.arguments["embedding_type"] == "fourier" else {}
    for layer in ("map_layer0", "map_layer1"):
        tensors |= {f"{layer}.{name}": value for name, value in _taken(rest, KINDS).items()}
    for part, blocks in (("enc", model.enc), ("dec", model.dec)):
        for name, block in blocks.items():
            if next(block.parameters(), None) is not None:
                tensors |= {f"{part}.{name}.{own}": value for own, value in _block(name, block, rest)}
    if (more := next(rest, None)) is not None:
        raise ValueError(f"all_modules.{more[0]} is not of its architecture: progressive=residual is not supported")
    return tensors


def _taken(rest: Iterator[tuple[int, Module]], names: Sequence[str]) -> Module:
    """Return the tensors of these names of the next module."""
    number, module = next(rest, (-1, {}))
    if number < 0:
        raise ValueError("all_modules ends before its architecture does")
    if missing := next((name for name in names if name not in module), None):
        raise ValueError(f"all_modules.{number}.{missing} is missing: the file is incomplete, or img_resolution wrong")
    return {name: module[name] for name in names}


def _block(name: str, block: nn.Module, rest: Iterator[tuple[int, Module]]) -> Iterator[tuple[str, Tensor]]:
    """Yield the parameters of a block, and of attention after it."""
    if not isinstance(block, UNetBlock):
        start = AUXILIARY.get(name.split("_", 1)[1], "")
        taken = _taken(rest, [start + kind for kind in KINDS])
        yield from ((kind, taken[start + kind]) for kind in KINDS)
        return
    theirs = {
        f"{own}.{kind}": f"{BLOCK[own]}.{kind}" for own in BLOCK if getattr(block, own) is not None for kind in KINDS
    }
    taken = _taken(rest, list(theirs.values()))
    yield from ((own, taken[name]) for own, name in theirs.items())
    if block.attention:
        norm = {f"norm2.{kind}": f"GroupNorm_0.{kind}" for kind in KINDS}
        layers = [f"NIN_{number}" for number in range(4)]
        taken = _taken(rest, [*norm.values(), *(f"{layer}.{kind}" for layer in layers for kind in "Wb")])
        yield from ((own, taken[name]) for own, name in norm.items())
        weights, biases = ([taken[f"{layer}.{kind}"] for layer in layers] for kind in "Wb")
        yield "qkv.weight", torch.stack([each.T for each in weights[:3]], 1).flatten(0, 1)[..., None, None]
        yield "qkv.bias", torch.stack(biases[:3], 1).flatten()
        yield "proj.weight", weights[3].T[..., None, None]
        yield "proj.bias", biases[3]
