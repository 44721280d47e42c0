"""What a sweeper optimizes: the objective of a request, its direction, and what each job reports."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from alps_exp.cli.faults import OK, WRONG_REQUEST, refuse
from alps_exp.cli.words import settings_of
from alps_exp.config.arguments import nearest, resolve_target
from alps_exp.runs import ESTIMATES
from alps_exp.runs.job import JobContext
from alps_exp.runs.objective import BEST, OBJECTIVES, direction_of, objective_value
from alps_exp.runs.run_hash import MACHINE_KEYS
from alps_exp.runs.study import StudyTrial

BASIC = f"{BasicSweeper.__module__}.{BasicSweeper.__qualname__}"
DIRECTIONS = {
    "direction": {"maximize": "maximize", "minimize": "minimize"},
    "optim.maximize": {"maximize": "true", "minimize": "false"},
    "ax_config.experiment.minimize": {"maximize": "false", "minimize": "true"},
}
"""Where the sweepers of Optuna, Nevergrad and Ax have their direction, and how they write it."""
EXAMPLES = {"restore": "mmse/psnr", "train": "validation/mse_sigma_1", "distill": "validation/gap"}
"""The verbs whose jobs have an objective, and one of each."""
ERRORS = {"train": ("mse",), "distill": ("gap", "energy")}
"""Errors that a training validates at each noise scale."""


class FailedTrial(Exception):
    """Tells a sweeper that waits for a value that a job has none; the job itself has said why."""


@dataclass(frozen=True)
class Outcome:
    """The exit status of a job and, if its sweeper waits for one, the value of its objective; None if there is none.

    `trial` is what the value is of. `place`, `seconds` and `was_done` say which job of a sweep it is, how long it took,
    and whether an earlier start had done it.
    """

    status: int
    value: float | None = None
    trial: StudyTrial | None = None
    is_awaited: bool = False
    place: str = ""
    seconds: float = 0.0
    was_done: bool = False


def is_study(hydra: HydraConf, objective: object) -> bool:
    """Return whether a job is a trial of a sweeper that waits for the value of an objective."""
    return objective is not None and hydra.mode == RunMode.MULTIRUN and hydra.sweeper._target_ != BASIC


def check_objective(verb: str, request: Mapping[str, object], hydra: HydraConf) -> None:
    """Check that a request has an objective if its sweeper optimizes, and one that its verb has.

    Raises
    ------
    ValueError
        If it has not, or the sweeper is to look in the wrong direction.
    """
    objective, name = request.get("objective"), hydra.runtime.choices.get("hydra/sweeper")
    found = {key: OmegaConf.select(hydra.sweeper, key) for key in DIRECTIONS if hydra.mode == RunMode.MULTIRUN}
    directions = {key: value for key, value in found.items() if value is not None}
    if directions and verb not in EXAMPLES:
        raise ValueError(f"hydra/sweeper={name} optimizes, and alps {verb} has no objective")
    if objective is None:
        if directions:
            raise ValueError(f"hydra/sweeper={name} needs to know what to optimize: give objective={EXAMPLES[verb]}")
        return
    known = _objectives(verb, request)
    if objective not in known:
        raise ValueError(f"objective is {objective!r}{nearest(str(objective), known)}")
    direction = direction_of(str(objective))
    for key, value in directions.items():
        given, wanted = _text(value), DIRECTIONS[key][direction]
        if given != wanted:
            raise ValueError(
                f"hydra.sweeper.{key} is {given}, but {objective} is to be as {BEST[direction]} as possible:"
                f" give hydra.sweeper.{key}={wanted}"
            )


def _text(value: object) -> str:
    return str(getattr(value, "name", value)).lower()


def _objectives(verb: str, request: Mapping[str, object]) -> list[str]:
    """Return the objectives that a request can have."""
    if verb == "restore":
        sampler = request.get("sampler")
        target = sampler.get("_target_") if isinstance(sampler, Mapping) else None
        own = getattr(resolve_target(target, "sampler._target_"), "estimate", None) if target else None
        kinds = [kind for kind in ESTIMATES if own in (None, kind) or (own, kind) == ("mmse", "sample")]
        return [f"{kind}/{name}" for kind in kinds for name in OBJECTIVES if kind == "mmse" or name != "miscalibration"]
    return [f"validation/{part}{name}" for part in _parts(request) for name in _validated(verb, request)]


def _parts(request: Mapping[str, object]) -> list[str]:
    """Return the validation datasets of a training as prefixes of its metrics."""
    data = request.get("data")
    validation = data.get("validation") if isinstance(data, Mapping) else None
    if isinstance(validation, Mapping) and "_target_" not in validation:
        return [f"{name}/" for name in validation]
    return [""]


def _validated(verb: str, request: Mapping[str, object]) -> list[str]:
    from alps_exp.training.base import VALIDATION_SIGMAS  # imports Lightning, which other verbs need not wait for

    training = request.get("training")
    pulled = isinstance(training, Mapping) and training.get("energy") is not None
    errors = dict.fromkeys([*ERRORS[verb], *(ERRORS["distill"] if pulled else ())])
    of_scales = [f"{error}_sigma_{sigma:g}" for error in errors for sigma in VALIDATION_SIGMAS]
    return [*(["gap"] if "gap" in errors else []), *of_scales]


def trial_of(config: DictConfig, words: Sequence[str]) -> StudyTrial | None:
    """Return the trial that this job is, of a sweep with the given command line; None if it is none."""
    hydra = HydraConfig.get()
    if not is_study(hydra, config.get("objective")):
        return None
    parser = OverridesParser.create()
    asked = parser.parse_overrides(
        [word for word in get_args_parser().parse_known_args(words)[0].overrides if "=" in word]
    )
    fixed = {override.get_key_element() for override in asked if not override.is_sweep_override()}
    chosen = [one for one in parser.parse_overrides(settings_of(hydra)) if one.get_key_element() not in fixed]
    kept = [str(override.input_line) for override in asked if _is_of_study(override.key_or_group)]
    return StudyTrial(
        study=hydra.sweeper.get("study_name") or shlex.join([hydra.job.name, *kept]),
        sweeper=hydra.runtime.choices["hydra/sweeper"],
        number=hydra.job.num,
        objective=config.objective,
        parameters={one.key_or_group: one.get_value_element_as_str() for one in chosen},
    )


def reported(job: JobContext) -> Outcome:
    """Return the outcome of a job that is done, with the objective that it reports to its sweeper, if any.

    The status is 2, with a line on the terminal, if the run has no such number. Of several processes only the first has
    a value: the others may end before the records are there.
    """
    trial = job.study_trial
    if trial is None:
        return Outcome(OK)
    if not (job.begun or job.folder.is_done()):
        return Outcome(OK, is_awaited=True)
    try:
        return Outcome(OK, objective_value(job.folder, trial.objective), trial, is_awaited=True)
    except ValueError as error:
        return Outcome(refuse(ValueError(f"{job.folder.path} has {error}"), WRONG_REQUEST), is_awaited=True)


def best_of(outcomes: Sequence[Outcome]) -> str | None:
    """Return a line on the best trial of a sweep; None if no trial has a value."""
    found = [(one.value, one.trial) for one in outcomes if one.value is not None and one.trial is not None]
    if not found:
        return None
    choose = max if direction_of(found[0][1].objective) == "maximize" else min
    value, trial = choose(found, key=lambda pair: pair[0])
    settings = " ".join(f"{key}={setting}" for key, setting in trial.parameters.items())
    return f"best {trial.objective}: {value:.6g} with {settings}; the trials are in a table of `alps table`"


def _is_of_study(key: str) -> bool:
    """Return whether a setting of a sweep says which study it is, and not where, how long or on what it runs."""
    on_machine = key == "hydra/launcher" or key in MACHINE_KEYS or key.partition(".")[0] in MACHINE_KEYS
    return not on_machine or key.startswith("hydra.sweeper.params")
