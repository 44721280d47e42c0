"""The jobs of a command: where each is in its sweep, how long the rest may take, and what became of them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from hydra.conf import HydraConf
from hydra.types import RunMode

from alps_exp.cli.faults import OK
from alps_exp.cli.objective import Outcome
from alps_exp.live_line import duration, live_line
from alps_exp.runs.job import JobContext

MOST_UNCOUNTED = 4
"""Jobs from which on a sweep that went well is summed up: fewer can be seen at a glance."""
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
"""Variables of the environment of which one is not 0 in all processes of a job but the first."""


@dataclass
class Jobs:
    """The jobs of a command.

    Attributes
    ----------
    count
        How many jobs the sweep has; None: that is not known, or there is none.
    outcomes
        Of those that have ended.
    """

    count: int | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    @property
    def worst(self) -> int:
        """The worst exit status."""
        return max((outcome.status for outcome in self.outcomes), default=OK)

    def place(self, hydra: HydraConf, words: Sequence[str]) -> str:
        """Return the number of a job in its sweep and what distinguishes it, as ``[3/12] alps seed=0: ``, or nothing.

        Parameters
        ----------
        hydra
            Hydra's settings for the job.
        words
            The command line; what it says of all jobs distinguishes none.
        """
        if hydra.mode != RunMode.MULTIRUN:
            return ""
        choices, overrides = hydra.runtime.choices, hydra.overrides.task
        of_each = {word.casefold() for word in words}  # Hydra writes true as True
        own = [one for one in overrides if one.casefold() not in of_each]
        own = own or [one for one in overrides if one.partition("=")[0] in choices]
        of_all = f"/{self.count}" if self.count else ""
        return " ".join([f"[{hydra.job.num + 1}{of_all}]", *(_short(one, choices) for one in own)]) + ": "

    def report(self) -> None:
        """Print how many jobs of a sweep are done and failed, its time, and which failed; not of few that are done."""
        failed = [job for job in self.outcomes if job.status != OK]
        if len(self.outcomes) < (2 if failed else MOST_UNCOUNTED):
            return
        before = sum(job.was_done for job in self.outcomes)
        counts = [f"{len(self.outcomes) - len(failed) - before} done", *([f"{before} done before"] if before else [])]
        took = duration(time.monotonic() - self.begun)
        print(f"{len(self.outcomes)} jobs in {took}: {', '.join(counts)}, {len(failed)} failed")
        for job in failed:
            print(f"failed: {job.place}exit status {job.status}", file=sys.stderr)


@dataclass
class Running:
    """The job that this process runs; its text is the live line.

    Attributes
    ----------
    job, jobs
        The job, and all of its command.
    one_by_one
        Whether this process runs all jobs, one after the other.
    """

    job: JobContext
    jobs: Jobs
    one_by_one: bool
    begun: float = field(default_factory=time.monotonic)

    def ended(self, outcome: Outcome) -> Outcome:
        """Return the outcome of the job with its place and time."""
        return replace(outcome, place=self.job.place, seconds=self._seconds(), was_done=self.job.was_done)

    def __str__(self) -> str:
        at = str(self.job.progress or "") or f"at work for {duration(self._seconds())}"
        own = self.job.progress.seconds_left() if self.job.progress else None
        left, of_what = (own, "") if self._is_alone() else (self._left_in_sweep(own), " for all jobs")
        return f"{self.job.place}{at}" + ("" if left is None else f", {duration(left)} left{of_what}")

    def _is_alone(self) -> bool:
        """Return whether nothing is known of the time that other jobs take."""
        return self.jobs.count is None or not self.one_by_one

    def _left_in_sweep(self, own: float | None) -> float | None:
        """Return the time until the last job ends, from those that this start has run; None if that is not known."""
        assert self.jobs.count is not None
        took = [outcome.seconds for outcome in self.jobs.outcomes if not outcome.was_done]
        if own is None and took:
            own = max(sum(took) / len(took) - self._seconds(), 0.0)
        if own is None:
            return None
        mean = (sum(took) + self._seconds() + own) / (len(took) + 1)
        return own + mean * (self.jobs.count - len(self.jobs.outcomes) - 1)

    def _seconds(self) -> float:
        return time.monotonic() - self.begun


def _short(override: str, choices: Mapping[str, str | None]) -> str:
    key, _, value = override.partition("=")
    return value if key in choices else f"{key.rpartition('.')[2]}={value}"


@contextmanager
def sign_of_life(running: Running) -> Iterator[None]:
    """Show how far the job is: only in its first process, and in place if no other process has a job."""
    first = all(os.environ.get(name, "0") == "0" for name in RANKS)
    with live_line(running.__str__ if first else None, in_place=running.one_by_one or not running.job.place):
        yield
