"""Which targets a config from a run folder may name. Such a config is untrusted data and must not run foreign code."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Sequence

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
    "report",
    "restoration",
    "samplers",
    "training",
)
"""Rooms whose public classes may be named: creating an instance reads files at most, and writes or starts nothing.

The other rooms have functions that write files or start programs.
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
"""Functions of these rooms that may be named: they create or load a prior, or inspect a batch."""
LIBRARY = frozenset(
    {
        "pytorch_lightning.callbacks.DeviceStatsMonitor",  # writes to the logger alone, as the next
        "pytorch_lightning.callbacks.LearningRateMonitor",
        "pytorch_lightning.Trainer",  # takes numbers and names; folder, logger and plugins come from the verb
        "pytorch_lightning.callbacks.EMAWeightAveraging",  # a running mean of the weights
    }
)
"""Targets of the shipped configs in other packages; loggers are not needed, since a repeated run does not log."""


def check_trust(config: object, trusted: Sequence[str], source: str) -> None:
    """Check every `_target_` in `config`, without importing from packages that are not trusted.

    Parameters
    ----------
    config
        Nested dictionaries and lists.
    trusted
        Packages or modules whose own targets are all allowed.
    source
        Origin of the config, for the message.

    Raises
    ------
    ValueError
        With the first target that is not one of `ROOMS`, `FUNCTIONS` or `LIBRARY`, nor trusted.
    """
    for key, target in _targets(config):
        if not (_is_ours(target) or target in LIBRARY or _is_trusted(target, trusted, key)):
            raise ValueError(
                f"{source} names {key}={target}, which is neither a public class of alps_exp nor in a trusted package:"
                " if you know what it does, give --trust PACKAGE"
            )


def _targets(node: object, path: str = "") -> Iterator[tuple[str, str]]:
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
    """Return whether the target is defined in a trusted package, not merely reachable through it."""
    if not all(part.isidentifier() for part in target.split(".")) or not _is_in(target, trusted):
        return False
    return _is_in(getattr(resolve_target(target, key), "__module__", None), trusted)


def _is_in(name: object, packages: Sequence[str]) -> bool:
    return any(f"{name}.".startswith(f"{package}.") for package in packages)
