"""Hydra composes each config once: by itself it does so twice for a single job, and three times for one of a sweep."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra.types import RunMode
from omegaconf import DictConfig

OWN_MODE = ("hydra.mode", "hydra.searchpath", "--config-dir", "-cd")
"""Words by which a request may set Hydra's mode; the configs of this package never do."""
MOST_KEPT = 1_000  # configs, of some 140 KiB each


@contextmanager
def composed_once(words: Sequence[str]) -> Iterator[None]:
    """Let Hydra keep the configs of a sweep's jobs, and not compose that of a single job to look for its mode."""
    load, find_mode = ConfigLoaderImpl.load_sweep_config, Hydra.get_mode
    kept: dict[tuple[str, ...], DictConfig] = {}
    may_set_mode = any(part in word for word in words for part in OWN_MODE)

    def load_sweep_config(
        loader: ConfigLoaderImpl, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        key = tuple(sweep_overrides)
        if key not in kept:
            config = load(loader, master_config, sweep_overrides)
            if len(kept) >= MOST_KEPT:
                return config
            kept[key] = config
        return copy.deepcopy(kept[key])  # who asks writes the job's number and folder into it

    def get_mode(hydra: Hydra, config_name: str | None, overrides: list[str]) -> RunMode | None:
        mode: RunMode | None = find_mode(hydra, config_name, overrides) if may_set_mode else None
        return mode

    own = ((ConfigLoaderImpl, "load_sweep_config", load_sweep_config), (Hydra, "get_mode", get_mode))
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in own]
    try:
        for owner, name, method in own:
            setattr(owner, name, method)
        yield
    finally:
        for owner, name, method in before:
            setattr(owner, name, method)
