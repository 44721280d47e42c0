"""``hydra/sweeper=optuna`` with defaults of this package, which ``--cfg hydra`` shows and a request may replace."""

from __future__ import annotations

import logging

from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from alps_exp.runs.objective import direction_of

GROUP = "hydra/sweeper"
DEFAULTS = {
    "direction": "${direction_of:${oc.select:objective,null}}",
    "n_jobs": 1,  # trials that are chosen at a time: more know less of one another, and nothing runs them side by side
    "max_failure_rate": 1.0,  # a failed job ends no sweep
}
CHATTER = ("alembic", "optuna.storages._in_memory")
"""Loggers that tell of their own plugins, and of a study without a name."""


def set_defaults() -> None:
    """Store the defaults over those of Hydra's plugin for Optuna, if it is installed.

    A search looks in the direction that its objective is meant in, one trial after another, and goes on after a trial
    that failed. Its samplers have a seed, so that the same command repeats the same trials, of which those that are
    done answer at once.
    """
    OmegaConf.register_new_resolver("direction_of", lambda name: direction_of(str(name)), replace=True)
    for chatter in CHATTER:
        logging.getLogger(chatter).setLevel(logging.WARNING)
    Plugins.instance()  # registers the configs of all plugins
    _update(GROUP, "optuna", DEFAULTS)
    store = ConfigStore.instance()
    if store.get_type(f"{GROUP}/sampler") is ObjectType.GROUP:
        for name in store.list(f"{GROUP}/sampler"):
            _update(f"{GROUP}/sampler", name, {"seed": 0})


def _update(group: str, name: str, values: dict[str, object]) -> None:
    """Set values in a stored config, as far as there is one and it has such keys."""
    store, path = ConfigStore.instance(), f"{group}/{name.removesuffix('.yaml')}.yaml"
    if store.get_type(path) is ObjectType.CONFIG:
        stored = store.load(path)
        stored.node.update({key: value for key, value in values.items() if key in stored.node})
        store.store(name, stored.node, group, stored.package, stored.provider)
