"""What comes before a sweep: every job is checked and leaves a trace before the first one starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Protocol, cast

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override
from hydra.experimental.callback import Callback
from hydra.types import TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, flag_override, open_dict
from omegaconf.errors import MissingMandatoryValue

from alps_exp.cli.dry_run import KEYS, preview, take_dry_run
from alps_exp.cli.jobs import Jobs
from alps_exp.cli.objective import BASIC, check_objective
from alps_exp.cli.trial import partial_setting
from alps_exp.cli.verbs import verb_function
from alps_exp.cli.words import settings_of
from alps_exp.config.arguments import check_arguments, nearest
from alps_exp.runs import RunFolder


class RefusedSweep(BaseException):
    """Carries an error through Hydra, which turns an `Exception` of a callback into a warning and starts the sweep."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class DrySweep(BaseException):
    """Ends a sweep before its first job, and carries a line on each."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__(lines)
        self.lines = lines


class Task(Protocol):
    """What runs a job."""

    jobs: Jobs


class SweepCheck(Callback):
    """Checks a sweep before Hydra makes its sweeper.

    Of Hydra's own sweeper every job is checked, and those that have no `config.yaml` in their folder get one: a folder
    with a config and no provenance is a run that was asked for and never begun. Verbs whose runs have no folders of
    their own leave no such trace.

    Another sweeper, as that of Optuna, chooses values while jobs run, so its jobs are not known. Then one request is
    checked, in which each swept key has its first value, unless it lacks a value that the sweeper may give; nothing is
    written. Each job is checked again when it starts, whatever the sweeper.
    """

    def __init__(self) -> None:
        self.count: int | None = None

    def on_job_start(self, config: DictConfig, *, task_function: TaskFunction, **_: object) -> None:
        """Tell the task how many jobs there are, wherever it runs."""
        task = cast("Task", getattr(task_function, "__self__", task_function))  # launchers take a method of it
        task.jobs.count = self.count

    def on_multirun_start(self, config: DictConfig, **_: object) -> None:
        """Check the sweep.

        Raises
        ------
        RefusedSweep
            If a job cannot be composed, is no request of the verb, or cannot be written; if there is none.
        DrySweep
            If the jobs are only to be shown.
        """
        try:
            if config.hydra.sweeper._target_ == BASIC:
                self.count = _check_every_job(config)
            else:
                self.count = config.hydra.sweeper.get("n_trials")
                _check_first_values(config)
        except Exception as error:
            raise RefusedSweep(error) from error


def _check_every_job(sweep: DictConfig) -> int:
    """Check the jobs, and return how many there are."""
    if (size := sweep.hydra.sweeper.max_batch_size) is not None and size < 1:
        raise ValueError(f"hydra.sweeper.max_batch_size is {size}, expected at least 1, or null")
    jobs = chain(*BasicSweeper.split_arguments(_overrides(sweep), None))
    requests = [_checked(_loader().load_sweep_config(sweep, words), number) for number, words in enumerate(jobs)]
    if sweep.hydra.runtime.choices["hydra/launcher"] != "basic":
        instantiate(sweep.hydra.launcher)  # one that Hydra will refuse must not leave jobs that seem to wait
    if any([take_dry_run(request) for _, request in requests]):
        raise DrySweep([preview(folder, request, i, len(requests)) for i, (folder, request) in enumerate(requests)])
    for folder, request in requests:
        if "output_root" in request and not partial_setting(request) and not (folder.path / "config.yaml").exists():
            folder.save_config(request)
    return len(requests)


def _check_first_values(sweep: DictConfig) -> None:
    words = {override.get_key_element(): _first_value(override) for override in _overrides(sweep)}
    config = _loader().load_sweep_config(sweep, [f"{key}={value}" for key, value in words.items()])
    task = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    plain = cast("dict[str, object]", OmegaConf.to_container(task))
    check_objective(config.hydra.job.config_name, plain, config.hydra)
    with suppress(MissingMandatoryValue):
        OmegaConf.to_container(task, throw_on_missing=True)
        folder, request = _checked(config, 0)
        if take_dry_run(request):
            raise DrySweep([f"{preview(folder, request)} (with the first values: the sweeper chooses while jobs run)"])


def _overrides(sweep: DictConfig) -> list[Override]:
    """Return what the command line and the sweeper's config say, except for search spaces in a sweeper's own form."""
    params = sweep.hydra.sweeper.get("params") or {}
    words = [f"{key}={value}" for key, value in params.items() if not OmegaConf.is_config(value)]
    overrides = OverridesParser.create(_loader()).parse_overrides([*words, *settings_of(sweep.hydra)])
    for override in overrides:
        _refuse_empty(override)
    return overrides


def _refuse_empty(override: Override) -> None:
    """Raise ValueError if the override sweeps over no value at all."""
    if not override.is_discrete_sweep() or any(True for _ in override.sweep_string_iterator()):
        return
    known, pattern = ": expected values, as KEY=1,2", cast("object", override.value())
    if isinstance(pattern, Glob) and (choices := _loader().get_group_options(override.key_or_group)):
        known = nearest(",".join(pattern.include), choices)
    raise ValueError(f"{override.input_line} leaves the sweep without a job{known}")


def _first_value(override: Override) -> str:
    if override.is_discrete_sweep():
        return next(override.sweep_string_iterator())
    value = override.value()
    return str(value.start) if isinstance(value, IntervalSweep) else override.get_value_element_as_str()


def _checked(config: DictConfig, number: int) -> tuple[RunFolder, dict[str, object]]:
    """Return the folder and the resolved config of a job if it is a request of its verb."""
    verb, hydra = config.hydra.job.config_name, config.hydra
    config.hydra.job.id = config.hydra.job.num = number
    with _hydra_config(config):
        folder = RunFolder(os.path.join(config.hydra.sweep.dir, config.hydra.sweep.subdir))
        with flag_override(config.hydra, "readonly", False):
            config.hydra.runtime.output_dir = os.path.abspath(folder.path)
        HydraConfig.instance().set_config(config)
        with open_dict(config):
            del config.hydra
        resolved = cast("dict[str, object]", OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
    if not folder.is_done_with(resolved):  # what has run was checked then
        check_arguments(verb_function(verb), {key: value for key, value in resolved.items() if key not in KEYS})
    check_objective(verb, resolved, hydra)
    return folder, resolved


def _loader() -> ConfigLoader:
    return GlobalHydra.instance().config_loader()


@contextmanager
def _hydra_config(config: DictConfig) -> Iterator[None]:
    """Let ``${hydra:...}`` mean this config."""
    hydra = HydraConfig.instance()
    before = hydra.cfg
    hydra.set_config(config)
    try:
        yield
    finally:
        hydra.cfg = before
