"""A sweeper that checks every job and leaves a trace of it before the first one starts, whatever launches them.

Hydra accepts sweepers from the namespace package `hydra_plugins` alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import chain
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Glob, Override
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, flag_override, open_dict

from alps_exp.config.arguments import nearest
from alps_exp.runs import RunFolder


class Sweep(BasicSweeper):
    """Hydra's own sweeper, which in addition checks every job, and writes the `config.yaml` of those that have none.

    A folder with a config and no provenance is thus a run that was asked for and never begun. Verbs whose runs have
    no folders of their own leave no such trace.
    """

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what the sweep needs, and the task, which knows what a request of its verb may hold."""
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.task: Any = task_function

    @staticmethod
    def split_arguments(overrides: list[Override], max_batch_size: int | None) -> list[list[list[str]]]:
        """Return the overrides of every job, in batches.

        Raises
        ------
        ValueError
            If there is no job, since an override gives no value, or no batch can be filled.
        """
        if max_batch_size is not None and max_batch_size < 1:
            raise ValueError(f"hydra.sweeper.max_batch_size is {max_batch_size}, expected at least 1, or null")
        for override in overrides:
            _refuse_empty(override)
        return BasicSweeper.split_arguments(overrides, max_batch_size)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Check all jobs, then leave their configs in their folders, when the first batch is to start.

        Raises
        ------
        hydra.errors.HydraException, omegaconf.errors.OmegaConfBaseException
            If a config cannot be composed or resolved.
        ValueError
            If one is no request of this verb.
        OSError
            If one cannot be written.
        """
        if self.batch_index > 1:
            return
        assert self.overrides is not None and self.config is not None
        jobs = [self._checked(overrides, number) for number, overrides in enumerate(chain(*self.overrides))]
        HydraConfig.instance().set_config(self.config)
        for folder, config in jobs:
            if "output_root" in config and not (folder.path / "config.yaml").exists():
                folder.save_config(config)

    def _checked(self, overrides: Sequence[str], number: int) -> tuple[RunFolder, dict[str, Any]]:
        """Return the folder and the resolved config of a job."""
        assert self.hydra_context is not None and self.config is not None
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        config.hydra.job.id = config.hydra.job.num = number
        HydraConfig.instance().set_config(config)
        folder = RunFolder(os.path.join(config.hydra.sweep.dir, config.hydra.sweep.subdir))
        with flag_override(config.hydra, "readonly", False):
            config.hydra.runtime.output_dir = os.path.abspath(folder.path)
        HydraConfig.instance().set_config(config)
        with open_dict(config):
            del config.hydra
        resolved: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        self.task.check(resolved)
        return folder, resolved


def _refuse_empty(override: Override) -> None:
    """Raise ValueError if the override sweeps over no value at all."""
    if not override.is_discrete_sweep() or any(True for _ in override.sweep_string_iterator()):
        return
    pattern, choices = override.value(), []
    if isinstance(pattern, Glob) and override.config_loader is not None:
        choices = override.config_loader.get_group_options(override.key_or_group)
    known = nearest(",".join(pattern.include), choices) if choices else ": expected values, as KEY=1,2"
    raise ValueError(f"{override.input_line} leaves the sweep without a job{known}")
