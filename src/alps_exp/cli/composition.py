"""Hydra composes each config once, and reads each file once.

By itself it composes twice for a single job, and three times for one of a sweep, and reads all files each time.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.hydra import Hydra
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig

OWN_MODE = ("hydra.mode", "hydra.searchpath", "--config-dir", "-cd")
"""Words by which a request may set Hydra's mode; the configs of this package never do."""
MOST_KEPT = 1_000  # configs, of some 20 KiB each


@contextmanager
def composed_once(words: Sequence[str]) -> Iterator[None]:
    """Let Hydra keep files and the configs of a sweep's jobs, and not compose that of a single job to find its mode."""
    load, read, find_mode = ConfigLoaderImpl.load_sweep_config, ConfigRepository.load_config, Hydra.get_mode
    kept: dict[tuple[str, ...], bytes] = {}  # pickled: a copy of them costs an eighth of a deep copy
    files: dict[tuple[tuple[str, ...], str], bytes] = {}
    may_set_mode = any(part in word for word in words for part in OWN_MODE)

    def load_sweep_config(
        loader: ConfigLoaderImpl, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        key = tuple(sweep_overrides)
        if key not in kept:
            config: DictConfig = load(loader, master_config, sweep_overrides)
            if len(kept) >= MOST_KEPT:
                return config
            kept[key] = pickle.dumps(config)
        config = pickle.loads(kept[key])  # a copy, since who asks writes the job's number and folder into it
        return config

    def load_config(repository: ConfigRepository, config_path: str) -> ConfigResult | None:
        key = tuple(source.path for source in repository.get_sources()), config_path
        if key not in files:
            files[key] = pickle.dumps(read(repository, config_path))
        result: ConfigResult | None = pickle.loads(files[key])  # a copy, since composition writes into it
        return result

    def get_mode(hydra: Hydra, config_name: str | None, overrides: list[str]) -> RunMode | None:
        mode: RunMode | None = find_mode(hydra, config_name, overrides) if may_set_mode else None
        return mode

    own = (
        (ConfigLoaderImpl, "load_sweep_config", load_sweep_config),
        (ConfigRepository, "load_config", load_config),
        (Hydra, "get_mode", get_mode),
    )
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in own]
    try:
        for owner, name, method in own:
            setattr(owner, name, method)
        yield
    finally:
        for owner, name, method in before:
            setattr(owner, name, method)
