"""NVlabs' EDM and EDM2 networks, from their pickles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from alps_exp.checkpoints.checkpoint import fitting
from alps_exp.checkpoints.edm2 import check_pixels, own_names, with_rounded_gains
from alps_exp.checkpoints.unpickling import StoredObject, read_pickle
from alps_exp.checkpoints.wrappings import LONGEST_NAME
from alps_exp.errors import one_line
from alps_exp.networks.preconditioning import Architecture, Preconditioned, build

EDM2 = "Precond"
"""Name of the only preconditioning of EDM2, which is that of EDM."""
POSITIONAL = ("img_resolution", "img_channels", "label_dim", "use_fp16")
"""Names of the leading positional arguments of all preconditionings."""
OWN = {
    "EDMPrecond": ("sigma_data",),
    "VEPrecond": (),
    "VPPrecond": ("beta_d", "beta_min", "M"),
    "iDDPMPrecond": ("C_1", "C_2", "M"),
    EDM2: ("sigma_data",),
}
"""Further arguments of the preconditionings that affect the result."""
IDLE = ("use_fp16", "sigma_min", "sigma_max", "epsilon_t", "label_dropout")
"""Arguments without effect here: they concern training, the range of samplers, or precision on a GPU."""
DEFAULT_NETWORK = {"VPPrecond": "SongUNet", "VEPrecond": "SongUNet", EDM2: "EDM2UNet"}


def read_nvlabs(path: Path) -> tuple[Preconditioned, dict[str, str]]:
    """Return the network `ema` of a pickle with its weights, and further facts from the file by name.

    Raises
    ------
    ValueError
        If the file is unsafe, damaged, or does not contain a network of NVlabs' EDM code.
    """
    content = read_pickle(path)
    ema = content.get("ema") if isinstance(content, dict) else None
    if not isinstance(ema, StoredObject) or ema.class_name not in OWN:
        found = ema.class_name if isinstance(ema, StoredObject) else "no such object"
        expected = ", ".join(OWN)
        raise ValueError(
            f"{path} has {one_line(found)} as its network `ema`, expected one of NVlabs' EDM or EDM2 code: {expected}"
        )
    with fitting(path):
        network = build(_architecture(ema), path.stat().st_size)
        tensors = dict(_tensors(ema, set()))
        if ema.class_name == EDM2:
            check_pixels(network.channels, getattr(content.get("encoder"), "class_name", None))
            network.model.load_state_dict(with_rounded_gains(own_names(tensors)))
            notes = {}
        else:
            network.load_state_dict(tensors)
            notes = {"noise scales": f"{ema.state['sigma_min']:.4g} to {ema.state['sigma_max']:.4g}"}
    return network, notes | {"beside the network": one_line(", ".join(str(name) for name in content if name != "ema"))}


def _architecture(ema: StoredObject) -> Architecture:
    """Return the architecture from the constructor arguments in the file."""
    kind, state = ema.class_name, ema.state
    arguments = dict(zip(POSITIONAL, state["_init_args"], strict=False)) | dict(state["_init_kwargs"])
    if len(state["_init_args"]) > len(POSITIONAL):
        raise ValueError(f"{len(state['_init_args'])} arguments without a name")
    channels = arguments.pop("img_channels")
    network = arguments.pop("model_type", DEFAULT_NETWORK.get(kind, "DhariwalUNet"))
    own = {name: arguments.pop(name) for name in OWN[kind] if name in arguments}
    model = {name: value for name, value in arguments.items() if name not in IDLE}
    outputs = channels * 2 if kind == "iDDPMPrecond" else channels
    dropout = model.get("dropout", 0.0 if kind == EDM2 else 0.1)
    model |= {"in_channels": channels, "out_channels": outputs, "dropout": dropout}
    return {"preconditioning": "EDMPrecond" if kind == EDM2 else kind, "network": network, **own, "model": model}


def _tensors(module: StoredObject, seen: set[int], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield parameters and buffers by full name. Refuses repeated modules: a forged file could be cyclic."""
    if id(module) in seen or len(prefix) > LONGEST_NAME:
        raise ValueError(f"the module {one_line(prefix, LONGEST_NAME)} is there twice, or its name is too long")
    seen.add(id(module))
    hidden = module.state["_non_persistent_buffers_set"]
    if not isinstance(hidden, set):
        raise TypeError(f"a set of buffers of {prefix or 'the network'} is a {type(hidden).__name__}")
    for name, value in (module.state["_parameters"] | module.state["_buffers"]).items():
        if value is not None and name not in hidden:
            yield prefix + name, value
    for name, child in module.state["_modules"].items():
        if child is not None:
            yield from _tensors(child, seen, f"{prefix}{name}.")
