"""Which targets a config from a run folder may name: it is data, perhaps a stranger's, and runs nothing of theirs."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

from alps_exp.config.arguments import resolve_target

ROOMS = (
    "datasets",
    "lightning",
    "masks",
    "mri",
    "networks",
    "operators",
    "priors",
    "reconstruction",
    "restoration",
    "samplers",
    "training",
)
"""Sub-packages whose public classes may be named: to make one reads at most files, and writes and starts nothing.

The others have functions that write files or start programs.
"""
FUNCTIONS = frozenset(
    {
        "alps_exp.datasets.image_shape",
        "alps_exp.priors.load_energy",
        "alps_exp.priors.load_teacher",
        "alps_exp.priors.smooth_gaussian",
        "alps_exp.priors.two_mode_mixture",
    }
)
"""Functions of theirs that may be: they make or read a prior, or look at a batch. `save_model` writes."""
LIBRARY = frozenset(
    {
        "pytorch_lightning.Trainer",  # of numbers and names; the verb itself gives its folder, logger and plugins
        "pytorch_lightning.callbacks.EMAWeightAveraging",  # a running mean of the weights
    }
)
"""What the shipped configs name of other packages, beside loggers, which a run that is run again does not take over."""


def check_trust(config: Any, trusted: Sequence[str], source: str) -> None:
    """Check every `_target_` in `config`, without an import from a package that is not trusted.

    Parameters
    ----------
    config
        Nested dictionaries and lists.
    trusted
        Packages or modules from which any target may be that is defined in them.
    source
        Where the config is from, for the message.

    Raises
    ------
    ValueError
        With the first target that is not one of `ROOMS`, `FUNCTIONS` or `LIBRARY`, nor trusted.
    """
    for key, target in _targets(config):
        if not (_is_ours(target) or target in LIBRARY or _is_trusted(target, trusted, key)):
            raise ValueError(
                f"{source} names {key}={target}, which is neither a public class of alps_exp's nor in a package that is"
                " trusted: if you know what it does, give --trust PACKAGE"
            )


def _targets(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        if key == "_target_":
            yield f"{path}{key}", str(value)
        yield from _targets(value, f"{path}{key}.")


def _is_ours(target: str) -> bool:
    module, _, name = target.rpartition(".")
    package, _, room = module.partition(".")
    if package != "alps_exp" or room not in ROOMS:
        return False
    found = importlib.import_module(module)
    return target in FUNCTIONS or (name in found.__all__ and inspect.isclass(getattr(found, name)))


def _is_trusted(target: str, trusted: Sequence[str], key: str) -> bool:
    """Tell whether the target is defined in a trusted package, and not only reached through it."""
    if not all(part.isidentifier() for part in target.split(".")) or not _is_in(target, trusted):
        return False
    return _is_in(getattr(resolve_target(target, key), "__module__", None), trusted)


def _is_in(name: Any, packages: Sequence[str]) -> bool:
    return any(f"{name}.".startswith(f"{package}.") for package in packages)
