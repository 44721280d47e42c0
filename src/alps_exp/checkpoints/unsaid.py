"""What the weights of another code do not say of their network, and a request gives as its ``architecture``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alps_exp.networks.preconditioning import Architecture


def model_given(given: Mapping[str, object]) -> Architecture:
    """Return what is given of the network itself, as plain values, since configs have types of their own.

    Raises
    ------
    ValueError
        If ``model`` is not a table.
    """
    model = given.get("model", {})
    if not isinstance(model, Mapping):
        raise ValueError(f"architecture.model is {model!r}, expected settings {{key: value}}")
    plain = (str, int, float)
    return {name: value if isinstance(value, plain) else list(value) for name, value in model.items()}


def completed(model: Architecture, given: Mapping[str, object], free: Sequence[str]) -> Architecture:
    """Return the arguments of a network from its weights with those that are given.

    Parameters
    ----------
    model
        The arguments that the weights say, and defaults of the `free` ones.
    given
        The architecture of the request.
    free
        Arguments that the weights do not determine.

    Raises
    ------
    ValueError
        If what is given contradicts the weights, or neither says the size of the images.
    """
    for name, value in model_given(given).items():
        if name in model and model[name] != value and name not in free:
            raise ValueError(f"architecture.model.{name} is {value}, the shapes of the weights say {model[name]}")
    model = model | model_given(given)
    if "img_resolution" not in model:
        raise ValueError(
            "the weights do not say the size of the images: add its side in pixels, as "
            "+teacher.architecture.model.img_resolution=256"
        )
    return model


def assumed(chosen: Mapping[str, object], given: Mapping[str, object]) -> str:
    """Return those of the chosen settings that are not given, for readers; empty if there are none."""
    return ", ".join(f"{name} ({value})" for name, value in chosen.items() if name not in {*given, *model_given(given)})
