"""Who asked for a run: the sweepers that looked for the best value of an objective, and whether anybody else did."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from alps_exp.files import write_atomically
from alps_exp.foreign_files import read_bytes
from alps_exp.runs.field_types import check_fields
from alps_exp.runs.folder import RunFolder

TRIALS = "trials.json"


@dataclass(frozen=True)
class StudyTrial:
    """A trial of a study: a job whose settings a sweeper has chosen.

    Attributes
    ----------
    study
        Name of the study, or the words of its command.
    sweeper
        The choice of `hydra/sweeper`.
    number
        Number of the job in its sweep, from 0.
    objective
        Name of the number that is optimized.
    parameters
        The chosen settings by key.

    Raises
    ------
    TypeError
        If a value has the wrong type.
    """

    study: str
    sweeper: str
    number: int
    objective: str
    parameters: dict[str, str]

    def __post_init__(self) -> None:
        """Raise TypeError for a value of the wrong type, since files may hold anything."""
        check_fields(vars(self), StudyTrial)


@dataclass
class Requests:
    """What `trials.json` says of a run: the trials that it is, and whether it was asked for outside of any study."""

    by_itself: bool
    trials: list[StudyTrial] = field(default_factory=list)


def requests_of(run: RunFolder) -> Requests:
    """Return who asked for a run; without `trials.json` it is no trial.

    Raises
    ------
    ValueError
        If the file cannot be read.
    """
    path = run.path / TRIALS
    if not path.exists():
        return Requests(by_itself=True)
    try:
        found = json.loads(read_bytes(path))
        return Requests(found["by_itself"] is not False, [StudyTrial(**trial) for trial in found["trials"]])
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not say which trials this run is ({error})") from error


def is_only_trial(run: RunFolder) -> bool:
    """Return whether sweepers alone asked for a run, so that it is no result of a comparison; raises ValueError."""
    return not requests_of(run).by_itself


def note_request(run: RunFolder, trial: StudyTrial | None, is_new: bool) -> None:
    """Note who asks for a run.

    Parameters
    ----------
    run
        The run, which has begun.
    trial
        The trial that it is; None: it is asked for outside of any study.
    is_new
        Whether this is its first start.
    """
    if trial is None and not (run.path / TRIALS).exists():
        return
    requests = Requests(by_itself=False) if is_new else requests_of(run)
    if trial is None:
        requests.by_itself = True
    else:
        others = [one for one in requests.trials if (one.study, one.objective) != (trial.study, trial.objective)]
        requests.trials = [*others, trial]
    write_atomically(run.path / TRIALS, json.dumps(asdict(requests), indent=1).encode())
