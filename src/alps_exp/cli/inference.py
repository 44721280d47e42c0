"""The prior that a request's sampler uses, and the files of its weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from alps_exp.checkpoints import model_path
from alps_exp.checkpoints.diffusers_folder import description_files
from alps_exp.priors import Precision, Prior, set_execution
from alps_exp.reconstruction import Reconstruction
from alps_exp.samplers import Sampler

LOADERS = (".load_energy", ".load_teacher")
SHARED = tuple(f"alps_exp.priors{loader}" for loader in LOADERS)
"""Loaders of which it is known what they read."""
_LOADED: dict[tuple[object, ...], Prior] = {}
"""The prior of the last job: the next of a sweep has often the same, and large ones take seconds to load."""


@dataclass
class ChosenPrior:
    """The prior of a request that its sampler uses."""

    kind: str
    config: DictConfig

    def load(self, precision: Precision, compile: bool) -> Prior:
        """Return the prior, whose networks are evaluated as `set_execution` says.

        It is that of the job before in this process, if it came from the same config and files.
        """
        prior = self._shared(compile) if self.config._target_ in SHARED else instantiate(self.config)
        set_execution(prior, precision, compile)
        return prior

    def _shared(self, compile: bool) -> Prior:
        # The weights, and the file of their architecture.
        named = [Path(text) for text in self.config.values() if isinstance(text, str)]
        named += weight_files(self.kind, self.config).values() if any(map(Path.is_dir, named)) else []
        states = [_state(path) for file in named for path in (file, file.with_suffix(".md"))]  # cards say image sizes
        key = OmegaConf.to_yaml(self.config, resolve=True), *states, compile
        if key not in _LOADED:
            _LOADED.clear()
            _LOADED[key] = instantiate(self.config)
        return _LOADED[key]

    @property
    def checkpoints(self) -> dict[str, Path]:
        """Weight files named in the config, by role: none for a closed form, several for a composition."""
        return weight_files(self.kind, self.config)


def choose_prior(
    sampler: Sampler | Reconstruction, teacher: DictConfig | None, energy: DictConfig | None
) -> ChosenPrior:
    """Return the prior that the sampler needs; raises ValueError if the request lacks it."""
    kind = sampler.prior_kind
    if kind is None:
        return ChosenPrior("prior", OmegaConf.create({"_target_": "alps_exp.priors.NullPrior"}))
    config = {"teacher": teacher, "energy": energy}[kind]
    if config is None:
        raise ValueError(f"this sampler needs {'an' if kind == 'energy' else 'a'} {kind}, got {kind}=null")
    return ChosenPrior(kind, config)


def weight_files(role: str, config: DictConfig | None) -> dict[str, Path]:
    """Return the weight files named in the config of a prior, by role, and those that describe their networks.

    Of a prior of a user's own, whose arguments nothing is known of, they are all files that its config names.
    """
    return dict(_files_in(config, role))


def _state(path: Path) -> tuple[int, int, int] | None:
    """Return what changes with a file; None for the name of a shipped model."""
    if not path.is_file():
        return None
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _files_in(config: object, key: str) -> Iterator[tuple[str, Path]]:
    """Yield the weight files in a config, each with its full key."""
    if isinstance(config, DictConfig) and str(config.get("_target_")).endswith(LOADERS):
        weights = model_path(config.name, config._target_.rpartition("_")[2])
        yield key, weights
        yield from ((f"{key}.{file.stem}", file) for file in description_files(weights))
    elif isinstance(config, DictConfig):
        for name, part in config.items():
            yield from _files_in(part, f"{key}.{name!s}")
    elif isinstance(config, ListConfig):
        for position, part in enumerate(config):
            yield from _files_in(part, f"{key}.{position}")
    elif isinstance(config, str) and os.path.isfile(config):
        yield key, Path(config)
