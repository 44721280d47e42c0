"""What an error tells the user: one line, and the exit status."""

from __future__ import annotations

import re
import sys

from hydra.errors import ConfigCompositionException, HydraException, InstantiationException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from alps_exp.cli.imports import import_fault
from alps_exp.config.arguments import nearest
from alps_exp.config.folder import config_folder
from alps_exp.errors import ImageError, one_line
from alps_exp.runs.job import JobContext

MEMORY_WORDS = ("can't allocate memory", "CUDA out of memory", "Unable to allocate")
OUT_OF_MEMORY = "not enough memory: take smaller sizes, or fewer images and samples at once (data.batch_size)"
OK, FAILED, WRONG_REQUEST = 0, 1, 2
EXTRAS = ("hydra/sweeper/optuna",)
"""Choices of Hydra's own plugins that an extra of this package brings, by its name."""
REQUEST_ERRORS = (HydraException, OmegaConfBaseException, ValueError, FileNotFoundError)


def is_known(error: Exception) -> bool:
    """Return whether an error is of a kind that one line explains; others need a traceback."""
    return isinstance(error, (*REQUEST_ERRORS, OSError)) or import_fault(error) is not None


def status_before_a_job(error: Exception) -> int:
    """Return the exit status of an error before any job began: wrong request, or a package that cannot be imported."""
    return WRONG_REQUEST if isinstance(error, REQUEST_ERRORS) and not import_fault(error) else FAILED


def status_of(error: Exception, job: JobContext) -> int:
    """Return the exit status of an error: wrong request, or a failure of the job such as a full disk or a lost file."""
    if import_fault(root_of(error)):
        return FAILED
    if isinstance(error, ImageError):
        gone = isinstance(error.__cause__, FileNotFoundError) or FileNotFoundError.__name__ in str(error)
        return FAILED if gone else WRONG_REQUEST
    return WRONG_REQUEST if isinstance(error, REQUEST_ERRORS) and not job.under_way else FAILED


def needs_traceback(error: Exception, status: int) -> bool:
    """Return whether an error that ended a job is a fault of the program, which its one line does not explain."""
    known = isinstance(error, OSError | ImageError) or is_out_of_memory(root_of(error))
    return status == FAILED and not known and not import_fault(root_of(error))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error is that of memory that could not be had, on the CPU or on a GPU."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in MEMORY_WORDS)


def refuse(error: Exception, status: int, place: str = "") -> int:
    """Print the line of an error, with the place of its job in a sweep, and return the exit status."""
    print(f"alps: {place}{explain(error)}", file=sys.stderr)
    return status


def explain(error: BaseException) -> str:
    """Return what an error tells the user, in one line."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file in EXTRAS:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        return f"{group}={choice} needs the extra {choice!r}: pip install 'alps_exp[{choice}]'"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        known = error.options or [path.stem for path in (config_folder() / group).glob("*.yaml")]
        return f"unknown choice {group}={choice}{nearest(choice, known)}"
    if isinstance(error, ConfigCompositionException) and (cause := _key_error(error)):
        return cause
    root = root_of(error)
    if is_out_of_memory(root):
        return f"{OUT_OF_MEMORY} ({one_line(root, 120)})"
    text = import_fault(root) or str(root)
    if isinstance(root, OmegaConfBaseException):
        text = _of_key(root)
    if (missing := re.search(r"Missing mandatory value: ([\w.]+)", text)) is not None:
        return f"no {missing[1]} is given: add {missing[1]}=VALUE"  # full_key is that of what asks for it
    if "Original Traceback" in text:  # from a data worker, whose last line is the error
        text = text.strip().splitlines()[-1].partition(": ")[2]
    return one_line(text) or type(root).__name__


def _of_key(error: OmegaConfBaseException) -> str:
    """Return the message of an error of OmegaConf, without the lines on its own objects but with the key."""
    text = str(error).partition("\n    full_key: ")[0]
    if isinstance(error, InterpolationResolutionError):  # which keeps the error of a resolver only as text
        text = text.rpartition(" raised while resolving interpolation: ")[2].strip('"')
    if "Cannot merge DictConfig with ListConfig" in text:
        text = "expected a list, got settings {key: value}"
    key = error.full_key or ""
    return text if not key or key in text or key.startswith("hydra.") else f"{key}: {text}"


def root_of(error: BaseException) -> BaseException:
    """Return the error that a target raised if Hydra wrapped it."""
    wrapped = isinstance(error, InstantiationException)
    return error.__cause__ if wrapped and error.__cause__ else error


def _key_error(error: BaseException) -> str | None:
    """Describe the key of an override if it is unknown, or there already."""
    if (twice := re.match(r"Could not append to config\. An item is already at '(.+?)'", str(error))) is not None:
        return f"{twice[1]} is there already: give {twice[1]}=VALUE, without the plus"
    if (gone := re.match(r"Could not delete from config\. '(.+?)' does not exist", str(error))) is not None:
        return f"there is no key {gone[1]!r} to delete"
    if (group := re.match(r"Could not override '([\w/]+)'\. No match in the defaults list", str(error))) is not None:
        return f"there is nothing to choose for {group[1]} here: `alps VERB --help` lists the choices of a verb"
    cause = error.__cause__
    while cause is not None and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__
    if cause is None or not cause.full_key:
        return None
    known = cause.parent_node
    prefix, _, key = cause.full_key.rpartition(".")
    if not isinstance(known, DictConfig):
        return one_line(_of_key(cause))
    if key in known:
        return f"{cause.full_key} is there already: give {cause.full_key}=VALUE, without the plus"
    if not known:
        return f"{prefix} has no keys: give {prefix}=VALUE, or add one with a plus, as in +{cause.full_key}=VALUE"
    return f"unknown key {cause.full_key!r}{nearest(key, map(str, known), f'{prefix}.' if prefix else '')}"
