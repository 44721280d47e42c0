"""The command `alps VERB [hydra overrides]`: compose the config, check the request, run its jobs."""

from __future__ import annotations

import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from alps_exp import __version__
from alps_exp.cli.completion import COMPLETION, verb_to_complete
from alps_exp.cli.composition import composed_once
from alps_exp.cli.dry_run import KEYS, preview, remove_traces, take_dry_run
from alps_exp.cli.faults import (
    OK,
    WRONG_REQUEST,
    explain,
    is_known,
    needs_traceback,
    refuse,
    status_before_a_job,
    status_of,
)
from alps_exp.cli.help import own_help
from alps_exp.cli.jobs import Jobs, Running, sign_of_life
from alps_exp.cli.objective import FailedTrial, Outcome, best_of, check_objective, is_study, reported, trial_of
from alps_exp.cli.optuna import set_defaults
from alps_exp.cli.rerun import original_of
from alps_exp.cli.sweep import DrySweep, RefusedSweep
from alps_exp.cli.terminal_log import new_command, warnings_logged
from alps_exp.cli.trial import folder_of_trial
from alps_exp.cli.verbs import VERBS, verb_function
from alps_exp.cli.words import check_words, export_words, flags_first
from alps_exp.config.arguments import check_arguments, nearest
from alps_exp.config.folder import config_folder
from alps_exp.config.on_gpu import register_device_resolver
from alps_exp.orphans import end_with_parent, is_worker
from alps_exp.runs import RunFolder, register_resolvers
from alps_exp.runs.job import JobContext
from alps_exp.runs.original import Original

VERBLESS = (*COMPLETION, "--hydra-help")
SHOW_TRACEBACK = "HYDRA_FULL_ERROR"


def main() -> None:
    """Run the command line and exit: 0 all done, 1 something failed, 2 the request was wrong."""
    if len(sys.argv) == 1 or sys.argv[1] in ("-h", "--help"):
        print(_help())
        sys.exit(OK)
    if sys.argv[1] == "--version":
        print(__version__)
        sys.exit(OK)
    if sys.argv[1] in COMPLETION and "query=" in " ".join(sys.argv[2:]):
        if (verb := verb_to_complete(VERBS)) is None:
            print(" ".join(VERBS))
            sys.exit(OK)
        sys.argv.insert(1, verb)
    show_traceback = os.environ.get(SHOW_TRACEBACK)
    try:
        verb = _put_config_name(sys.argv)
        sys.argv[1:] = flags_first([*map(_choose_nothing, sys.argv[1:])])
        status = _run(verb, show_traceback)
    except Exception as error:
        if show_traceback or not is_known(error):
            raise
        status = refuse(error, status_before_a_job(error))
    sys.exit(status)


def _help() -> str:
    verbs = "\n".join(f"  {verb:10} {purpose}" for verb, purpose in VERBS.items())
    return (
        f"alps VERB [hydra overrides]\n\n{verbs}\n\n`alps VERB --help` shows the choices of a verb."
        "\n`alps VERB --from RUN` repeats the run of a run folder and prints the differences."
        "\n`--trust PACKAGE[,PACKAGE]` allows its config to use classes of these packages besides those of alps_exp."
    )


def _put_config_name(argv: list[str]) -> str:
    """Return the verb, and rewrite it in `argv` as Hydra's --config-name.

    Lightning (for DDP) and shell completion execute `argv` again, so the verb must survive in a form that Hydra
    understands.
    """
    if argv[1] in VERBLESS:
        argv.insert(1, "restore")
    if argv[1] == "checkpoint" and len(argv) > 2 and argv[2].isalpha():
        argv[2] = f"action={argv[2]}"
    if argv[1] == "reproduce" and len(argv) > 2 and not re.search("[-=]", argv[2]):
        argv[2] = f"rows={argv[2]}"
    if argv[1] == "export":
        argv[2:] = export_words(argv[2:])
    if argv[1] in VERBS:
        argv.insert(1, "--config-name")
    if argv[1].startswith("-") and argv[1] != "--config-name":
        raise ValueError(f"expected `alps VERB ...`, got {argv[1]} first: `alps --help` shows the verbs")
    if argv[1] != "--config-name" or len(argv) < 3 or argv[2] not in VERBS:
        raise ValueError(f"unknown verb {argv[1]!r}{nearest(argv[1], VERBS)}")
    return argv[2]


def _choose_nothing(word: str) -> str:
    """Replace null in ``experiment=null``, also in a sweep, by the empty list, which Hydra accepts as no choice."""
    return re.sub(r"(?<=[=,(])null(?=[,)]|$)", "[]", word) if word.startswith(("experiment=", "debug=")) else word


# Done at import, because the processes of a launcher compose a config right after importing this module. The filtered
# warning is about the schema of the joblib plugin, which has the same name as our config and fits it.
register_resolvers()
register_device_resolver()
warnings.filterwarnings("ignore", "(?s).*is validated against ConfigStore schema with the same name")


@dataclass
class Task:
    """Runs the jobs of a command, in this process or where a launcher sends them, with a sign of life."""

    verb: str
    argv: list[str]
    show_traceback: str | None
    original: Original | None
    jobs: Jobs = field(default_factory=Jobs)

    def __call__(self, config: DictConfig) -> float | None:
        """Run a job in this process, and return or raise what its sweeper expects."""
        return self.report(self.run(config))

    def run(self, config: DictConfig) -> Outcome:
        """Run a job, in a process that a launcher may have started."""
        if is_worker():
            end_with_parent()
        sys.argv = self.argv  # Lightning executes it again, and the provenance records it
        hydra_config = HydraConfig.get()
        folder = RunFolder(hydra_config.runtime.output_dir, verify=config.get("verify") is True)
        job = JobContext(config, folder, original=self.original, place=self.jobs.place(hydra_config, self.argv))
        running = Running(job, self.jobs, hydra_config.runtime.choices.get("hydra/launcher", "basic") == "basic")
        with _environment(SHOW_TRACEBACK, self.show_traceback), sign_of_life(running), warnings_logged():
            return running.ended(_job(self.verb, job))

    def report(self, outcome: Outcome) -> float | None:
        """Note the outcome of a job, and return the value of its objective if a sweeper waits for one.

        Raises
        ------
        FailedTrial
            If it has none: Hydra then calls the job failed, which its sweepers never take for a number.
        """
        self.jobs.outcomes.append(outcome)
        if outcome.is_awaited and outcome.value is None:
            raise FailedTrial("the job has no value of the objective")
        return outcome.value


def _run(verb: str, show_traceback: str | None) -> int:
    """Let Hydra compose the config and run each job of the verb; return the worst status."""
    argv = list(sys.argv)
    original = original_of(sys.argv, verb, VERBS)
    check_words(sys.argv[1:])
    set_defaults()
    new_command()
    task = Task(verb, argv, show_traceback, original)
    jobs = task.jobs
    application = hydra.main(version_base="1.3", config_path=str(config_folder()))(task)
    # The variable makes Hydra raise its errors instead of printing them.
    with _environment(SHOW_TRACEBACK, "1"), composed_once(sys.argv[1:]), own_help():
        try:
            application()
        except RefusedSweep as refused:
            raise refused.error from refused.error.__cause__
        except DrySweep as dry:
            print("\n".join(dry.lines))
        except FailedTrial:
            print("alps: the sweeper ended at jobs without a value: hydra.sweeper.max_failure_rate=1", file=sys.stderr)
        except ValueError:  # as Optuna's, which looks for the best in any case
            if jobs.worst == OK or any(outcome.value is not None for outcome in jobs.outcomes):
                raise
            print("alps: no job has a value of the objective", file=sys.stderr)
    jobs.report()
    if best := best_of(jobs.outcomes):
        print(best)
    return jobs.worst


def _job(verb: str, job: JobContext) -> Outcome:
    config, folder, original = job.config, job.folder, job.original
    root = Path(str(config.get("output_root") or folder.path.parent))
    ended = partial(Outcome, is_awaited=is_study(HydraConfig.get(), config.get("objective")))
    try:
        _check_launcher()
        if original is not None:
            original.check_elsewhere(job.folder)
        function = verb_function(verb)
        resolved = cast("dict[str, object]", OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
        was_checked = folder.is_done_with(resolved)
        dry_run = take_dry_run(resolved)
        if not was_checked:
            check_arguments(function, resolved)
        check_objective(verb, resolved, HydraConfig.get())
        if dry_run:
            print(preview(folder, resolved))
            remove_traces(folder, root)
            return ended(OK)
        job.study_trial = trial_of(config, sys.argv[1:])
        with folder_of_trial(job, root):
            status = function(job, **{str(key): value for key, value in config.items() if key not in KEYS})
            return ended(status) if status else reported(job)
    except (SystemExit, KeyboardInterrupt) as stop:
        from alps_exp.cli.interruption import interrupted

        # Not a status to return: a sweep would start its next job.
        raise SystemExit(interrupted(stop, job.folder.path)) from stop
    except Exception as error:
        if os.environ.get(SHOW_TRACEBACK):
            raise
        status = status_of(error, job)
        if not job.begun:
            if status == WRONG_REQUEST and "output_root" in config:  # other verbs' folders are the user's
                job.folder.withdraw()
            remove_traces(job.folder, root)
        if needs_traceback(error, status):
            traceback.print_exc()
        if job.begun:
            mark = job.folder.mark_refused if status == WRONG_REQUEST else job.folder.mark_failed
            with suppress(OSError):  # if the disk is full, which is then the error that is reported anyway
                mark(explain(error))
        return ended(refuse(error, status, job.place))


def _check_launcher() -> None:
    """Raise ValueError if a launcher or a sweeper is chosen without a sweep: Hydra would silently ignore it."""
    chosen = HydraConfig.get()
    for group, does in (("hydra/launcher", "launches"), ("hydra/sweeper", "makes")):
        choice = chosen.runtime.choices.get(group, "basic")
        if chosen.mode == RunMode.RUN and choice != "basic":
            raise ValueError(f"{group}={choice} {does} sweeps: add -m, also for a single job")


@contextmanager
def _environment(name: str, value: str | None) -> Iterator[None]:
    before = os.environ.pop(name, None)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before
