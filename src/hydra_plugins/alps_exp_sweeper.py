"""A sweeper that leaves a trace of every job before the first one starts, whatever launches them.

Hydra accepts sweepers from the namespace package `hydra_plugins` alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from omegaconf import flag_override, open_dict
from omegaconf.errors import OmegaConfBaseException

from alps_exp.runs import RunFolder


class Sweep(BasicSweeper):
    """Hydra's own sweeper, which in addition writes the `config.yaml` of every job that has none.

    A folder with a config and no provenance is thus a run that was asked for and never begun.
    """

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Compose the configs of all jobs and leave them in their folders, when the first batch is to start.

        Raises
        ------
        hydra.errors.HydraException
            If one cannot be composed.
        OSError
            If one cannot be written.
        """
        if self.batch_index > 1:
            return
        for number, overrides in enumerate(chain(*self.overrides)):
            self._leave_config(overrides, number)
        HydraConfig.instance().set_config(self.config)

    def _leave_config(self, overrides: Sequence[str], number: int) -> None:
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        config.hydra.job.id = config.hydra.job.num = number
        HydraConfig.instance().set_config(config)
        with suppress(OmegaConfBaseException):  # the job itself will say which value is missing
            folder = RunFolder(os.path.join(config.hydra.sweep.dir, config.hydra.sweep.subdir))
            if not (folder.path / "config.yaml").exists():
                with flag_override(config.hydra, "readonly", False):
                    config.hydra.runtime.output_dir = os.path.abspath(folder.path)
                HydraConfig.instance().set_config(config)
                with open_dict(config):
                    del config.hydra
                folder.save_config(config)
