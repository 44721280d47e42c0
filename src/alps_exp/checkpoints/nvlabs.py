"""NVlabs' EDM and EDM2 networks, from their pickles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor

from alps_exp.checkpoints.checkpoint import fitting
from alps_exp.checkpoints.edm2 import check_pixels, own_names, with_rounded_gains
from alps_exp.checkpoints.loading import load_weights
from alps_exp.checkpoints.unpickling import KNOWN, StoredObject
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


def is_nvlabs_network(content: object) -> bool:
    """Return whether something in a file is a network that NVlabs' EDM or EDM2 code pickled."""
    return isinstance(content, StoredObject) and content.class_name in OWN


def nvlabs_network(path: Path, content: Mapping[str, object], key: str) -> tuple[Preconditioned, dict[str, str]]:
    """Return the network of a file of NVlabs' EDM code, and further facts by name.

    Parameters
    ----------
    path
        The file.
    content
        What it holds.
    key
        The name of the network in it: ``ema`` in a pickle, ``net`` in the state of a training.

    Raises
    ------
    ValueError
        If its weights do not fit its architecture.
    """
    network = content[key]
    assert isinstance(network, StoredObject)
    with fitting(path):
        built, tensors = build(_architecture(network), path.stat().st_size), dict(_tensors(network, set()))
        if network.class_name == EDM2:
            check_pixels(built.channels, getattr(content.get("encoder"), "class_name", None))
            load_weights(built.model, with_rounded_gains(own_names(tensors)))
            notes = {}
        else:
            load_weights(built, tensors)
            notes = {"noise scales": f"{network.state['sigma_min']:.4g} to {network.state['sigma_max']:.4g}"}
    return built, notes | {"beside the network": one_line(", ".join(str(name) for name in content if name != key))}


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
    if isinstance(hidden, StoredObject):  # the set of a torch file
        hidden = KNOWN["builtins.set"](*hidden.arguments)
    if not isinstance(hidden, set):
        raise TypeError(f"a set of buffers of {prefix or 'the network'} is a {type(hidden).__name__}")
    for name, value in (module.state["_parameters"] | module.state["_buffers"]).items():
        if value is not None and name not in hidden:
            yield prefix + name, value
    for name, child in module.state["_modules"].items():
        if child is not None:
            yield from _tensors(child, seen, f"{prefix}{name}.")
