"""Gives a network the weights of a file, once their names, shapes and types are found to be its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from alps_exp.errors import listed, one_line

COMPUTED = ("resample_filter", "u")
"""Buffers that an architecture determines; others, as random frequencies, are part of the weights."""


class Misfit(ValueError):
    """Weights are those of another architecture."""


def needed_names(network: nn.Module) -> list[str]:
    """Return the names of the tensors that a file of weights must have: all but buffers that can be computed."""
    return [name for name in network.state_dict() if name.rpartition(".")[2] not in COMPUTED]


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], prefix: str = "") -> None:
    """Load the weights of a network; buffers that can be computed may be missing.

    Parameters
    ----------
    network
        The network.
    tensors
        Its weights by name.
    prefix
        What stands before these names in the file, for the message of an error.

    Raises
    ------
    Misfit
        If a tensor is missing, or has another name or shape than the architecture says.
    ValueError
        If its numbers are not real, or whole.
    """
    state = network.state_dict()
    if missing := [name for name in needed_names(network) if name not in tensors]:
        raise Misfit(missing_text([prefix + name for name in missing], len(state)))
    for name, value in tensors.items():
        shown = one_line(prefix + name, 200)
        if name not in state and _is_counter(value):
            continue
        if name not in state:
            raise Misfit(f"{shown} is no tensor of the architecture")
        if value.shape != state[name].shape:
            raise Misfit(
                f"{shown} has the shape {shape_text(value.shape)}, the architecture has {shape_text(state[name].shape)}"
            )
        if not value.is_floating_point():
            kind = str(value.dtype).removeprefix("torch.")
            raise ValueError(f"{shown} holds numbers of type {kind}, expected float32, float16 or bfloat16")
    network.load_state_dict(state | {name: value for name, value in tensors.items() if name in state})


def _is_counter(value: Tensor) -> bool:
    """Return whether a tensor counts steps or averaged states, as optimizers and averages do beside weights."""
    return value.ndim == 0 and not value.is_floating_point()


def missing_text(names: Sequence[str], among: int) -> str:
    """Return what to say of tensors that a file lacks, of so many that the architecture has."""
    if len(names) == 1:
        return f"{names[0]} of the architecture is missing"
    return f"{len(names)} of the {among} tensors of the architecture are missing: {listed(names)}"


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape as 64 x 3 x 3 x 3."""
    return " x ".join(map(str, shape)) or "of a single number"
