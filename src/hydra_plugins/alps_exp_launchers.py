"""Launchers of sweeps whose jobs run in other processes: the exit status of every job comes back, whatever happens.

Hydra accepts launchers from the namespace package `hydra_plugins` alone. Both stand on its own plugins, which drop the
statuses, and of which that for SLURM leaves a sweep at the first job that dies.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from alps_exp.live_line import duration, live_line

if TYPE_CHECKING:
    from submitit import Job

    from alps_exp.cli.main import Task
    from alps_exp.cli.objective import Outcome

OK, FAILED = 0, 1
POLL, LOOK = 1.0, 20.0  # seconds between looks for results, and between questions to SLURM
COMMON = ("name", "nodes", "tasks_per_node", "gpus_per_node", "cpus_per_task", "mem_gb", "timeout_min")
"""Parameters that submitit knows by these names; the others are SLURM's own."""


class _NotInstalled(Launcher):
    """Stands for a plugin that is not there."""

    def __init__(self, **_: object) -> None:
        raise ValueError("this hydra/launcher needs the extra 'slurm': pip install 'alps_exp[slurm]'")

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None: ...


try:
    from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher
except ImportError:
    JoblibLauncher = _NotInstalled
try:
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher
except ImportError:
    SlurmLauncher = _NotInstalled


class _ReturnsOutcomes(Launcher):
    """Lets a launcher's processes return both the exit status and the objective of a job, and a sweeper see its own."""

    def setup(self, *, hydra_context: HydraContext, task_function: Task, config: DictConfig) -> None:
        super().setup(hydra_context=hydra_context, task_function=task_function.run, config=config)
        self.task = task_function

    def outcome(self, status: int, overrides: Sequence[str]) -> Outcome:
        """Return the outcome of a job that could not return its own."""
        from alps_exp.cli.objective import Outcome, is_study

        awaited = is_study(self.config.hydra, self.config.get("objective"))
        return Outcome(status, is_awaited=awaited, place=f"{_name(overrides)}: ")

    def returned(self, outcome: Outcome, overrides: Sequence[str]) -> JobReturn:
        """Note the outcome of a job, and return it to the sweeper: with its objective, or as failed."""
        from alps_exp.cli.objective import FailedTrial

        try:
            return JobReturn(overrides, status=JobStatus.COMPLETED, _return_value=self.task.report(outcome))
        except FailedTrial as failed:
            return JobReturn(overrides, status=JobStatus.FAILED, _return_value=failed)


class Joblib(_ReturnsOutcomes, JoblibLauncher):
    """Runs the jobs of a sweep side by side in processes of this machine.

    A process that is killed, as for want of memory, ends the others with it: the jobs then go on one by one, where they
    stopped, and one that is killed again fails alone.
    """

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs, note their statuses, and return what the sweeper expects of each."""
        try:
            outcomes = [done.return_value for done in super().launch(job_overrides, initial_job_idx)]
        except BrokenProcessPool:
            print("alps: a process of the sweep was killed: its jobs go on one by one", file=sys.stderr)
            outcomes = [
                self._alone(overrides, number) for number, overrides in enumerate(job_overrides, initial_job_idx)
            ]
        return list(map(self.returned, outcomes, job_overrides))

    def _alone(self, overrides: Sequence[str], number: int) -> Outcome:
        try:
            return super().launch([overrides], number)[0].return_value
        except BrokenProcessPool:
            print(f"alps: job {number} ({_name(overrides)}) was killed again", file=sys.stderr)
            return self.outcome(FAILED, overrides)


class Slurm(_ReturnsOutcomes, SlurmLauncher):
    """Runs the jobs of a sweep as one array of SLURM, through submitit, and waits for all of them.

    Parameters are those of Hydra's submitit launcher; it is submitit that puts a job that ran out of time in the queue
    again, at most `max_num_timeout` times.

    Raises
    ------
    ValueError
        If `tasks_per_node` is no number, or there is no SLURM.
    """

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        if not isinstance(tasks := self.params["tasks_per_node"], int):
            raise ValueError(f"hydra/launcher=slurm starts a process for each device: give their number, not {tasks!r}")

    def __call__(self, *arguments: object) -> JobReturn:
        """Run one job; in a job of several processes one that fails ends the others, which would wait for it."""
        done = super().__call__(*arguments)
        if done.return_value.status != OK and int(os.environ["SLURM_NTASKS"]) > 1:
            sys.stderr.flush()
            _leave_result(done)
            raise SystemExit(done.return_value.status)
        return done

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Submit the jobs, wait until the last one has ended, and return what the sweeper expects of each."""
        import submitit  # takes a second, which other launchers need not wait for

        params = dict(self.params)
        folder, retries = params.pop("submitit_folder"), params.pop("max_num_timeout")
        singletons = Singleton.get_state()
        arguments = [
            (list(overrides), "hydra.sweep.dir", number, f"job_{number}", singletons)
            for number, overrides in enumerate(job_overrides, initial_job_idx)
        ]
        try:
            executor = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=retries)
            executor.update_parameters(**{k if k in COMMON else f"slurm_{k}": v for k, v in params.items()})
            jobs = executor.map_array(self, *zip(*arguments, strict=True))
        except RuntimeError as error:
            raise ValueError(f"hydra/launcher=slurm: {error}") from error
        logs = jobs[0].paths.folder.parent
        print(f"{len(jobs)} jobs of SLURM, from {jobs[0].job_id} on; their logs: {logs}", flush=True)
        _wait(jobs)
        outcomes = [self._outcome(job, overrides) for job, overrides in zip(jobs, job_overrides, strict=True)]
        return list(map(self.returned, outcomes, job_overrides))

    def _outcome(self, job: Job[JobReturn], overrides: Sequence[str]) -> Outcome:
        """Return the worst of the processes of a job, the first among equals; say so if none tells why one has none."""
        ended = [process for process in _processes(job) if process.paths.result_pickle.exists()]
        results = [process._get_outcome_and_result() for process in ended]
        outcomes = [done.return_value for kind, done in results if kind == "success"]
        worst = max(outcomes, key=lambda outcome: outcome.status, default=self.outcome(OK, overrides))
        if worst.status == OK and (len(ended) < job.num_tasks or len(outcomes) < len(ended)):
            print(
                f"alps: job {job.job_id} ({_name(overrides)}) was ended before it was done, see {job.paths.stderr}",
                file=sys.stderr,
            )
            return self.outcome(FAILED, overrides)
        return worst


def _name(overrides: Sequence[str]) -> str:
    return " ".join(filter_overrides(overrides))


def _leave_result(done: JobReturn) -> None:
    """Write the result of this process as submitit does, for a process that ends before submitit can."""
    from submitit import JobEnvironment
    from submitit.core.utils import cloudpickle_dump, temporary_save_path

    with temporary_save_path(JobEnvironment().paths.result_pickle) as path:
        cloudpickle_dump(("success", done), path)


def _processes(job: Job[JobReturn]) -> list[Job[JobReturn]]:
    return [job.task(number) for number in range(job.num_tasks)]


def _wait(jobs: Sequence[Job[JobReturn]]) -> None:
    """Wait until every process has a result or is out of SLURM's queue, which holds those that are to run again."""
    waiting = [process for job in jobs for process in _processes(job)]
    looked = began = time.monotonic()

    def progress() -> str:
        left = len({process.job_id for process in waiting})
        return f"{len(jobs) - left} of {len(jobs)} jobs of SLURM have ended after {duration(time.monotonic() - began)}"

    with live_line(progress):
        while waiting := [process for process in waiting if not process.paths.result_pickle.exists()]:
            time.sleep(POLL)
            if time.monotonic() - looked > LOOK:
                queued, looked = _queue(), time.monotonic()
                waiting = [process for process in waiting if queued is None or process.job_id in queued]


def _queue() -> set[str] | None:
    """Return the jobs that SLURM has in its queue or runs; None if it does not say.

    Its accounting, which submitit asks, is not there on every cluster.
    """
    command = ["squeue", "--noheader", "--array", "--me", "--states=all", "--format=%i %T"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return None
    ended = ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT")
    states = (line.split() for line in done.stdout.splitlines())
    return {job_id for job_id, state in states if state not in ended}
