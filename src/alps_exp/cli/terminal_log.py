"""What of the logs and warnings of a job reaches the terminal; its log, a file in the run folder, has all of them."""

from __future__ import annotations

import logging
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

CHATTY = ("pytorch_lightning", "lightning_fabric", "lightning", "lightning_utilities", "wandb", "torch", "matplotlib")
PYTHON_WARNINGS = "py.warnings"
MOST_ALIKE = 2
CHATTER = re.compile(r"/(pytorch_lightning|lightning_fabric|lightning|wandb)/|\w*(Deprecation|Future)Warning: ")
_TOLD: set[str] = set()
"""What was written since the command began, in this process."""


def new_command() -> None:
    """Let all be written again."""
    _TOLD.clear()


class TerminalLog(logging.StreamHandler[TextIO]):
    """Writes to standard error what this package and the user's own say, and of others only errors.

    Tips, advertisements and deprecations of Lightning, Weights & Biases and others are of no use to most users. Of
    warnings with the same words, as of many images, it writes the first two of a job, and the very same text once in a
    command, as of the jobs of a sweep.

    Parameters
    ----------
    stream
        Standard error.
    verbose
        Whether to write everything.
    """

    def __init__(self, stream: TextIO, verbose: bool = False) -> None:
        super().__init__(stream)
        self.verbose = verbose
        self._written: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Leave out what others chat about, and repetitions."""
        if self.verbose:
            return True
        if is_chatter(record) or record.getMessage() in _TOLD:
            return False
        _TOLD.add(record.getMessage())
        self._written[_words(record)] += 1
        return self._written[_words(record)] <= MOST_ALIKE

    def format(self, record: logging.LogRecord) -> str:
        """Return a warning or error as one that the verbs print; the source of other messages stays."""
        if record.levelno < logging.WARNING or self.verbose:
            return super().format(record)
        more = " (further ones like this are in the log)" if self._written[_words(record)] == MOST_ALIKE else ""
        return f"{record.levelname.lower()}: {record.getMessage().rstrip()}{more}"

    def emit(self, record: logging.LogRecord) -> None:
        """Write to what is standard error now: while a live line is shown, that is what writes above it."""
        self.stream = sys.stderr
        super().emit(record)


def _words(record: logging.LogRecord) -> str:
    """Return the words of a message without what they are about."""
    return record.getMessage() if record.name == PYTHON_WARNINGS else str(record.msg)


def is_chatter(record: logging.LogRecord) -> bool:
    """Return whether a record tells the user nothing on the run."""
    if record.name == PYTHON_WARNINGS:
        return CHATTER.search(record.getMessage()) is not None
    return record.levelno < logging.ERROR and record.name.partition(".")[0] in CHATTY


@contextmanager
def warnings_logged() -> Iterator[None]:
    """Send Python's warnings to the log."""
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
