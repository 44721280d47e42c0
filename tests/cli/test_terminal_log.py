"""What of the logs of a job reaches the terminal."""

import io
import logging
import sys
import warnings

import pytest

from alps_exp.cli.terminal_log import MOST_ALIKE, TerminalLog, new_command, warnings_logged


@pytest.fixture
def logged(monkeypatch):
    """Return what logs a record and returns what reaches standard error."""
    new_command()
    handlers = {verbose: TerminalLog(sys.__stderr__, verbose) for verbose in (False, True)}

    def shown(name, level, *message, verbose=False):
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        handlers[verbose].handle(logging.LogRecord(name, level, "a.py", 1, message[0], message[1:], None))
        return sys.stderr.getvalue()

    return shown


@pytest.mark.parametrize(
    ("name", "level", "message", "shown"),
    [
        ("alps_exp.runs", logging.WARNING, "a is damaged", "warning: a is damaged\n"),
        ("lab.sampler", logging.INFO, "hello", "hello\n"),
        ("pytorch_lightning.utilities.rank_zero", logging.INFO, "Tip: buy this", ""),
        ("lightning_fabric", logging.WARNING, "few workers", ""),
        ("pytorch_lightning", logging.ERROR, "broken", "error: broken\n"),
        ("wandb", logging.WARNING, "the anonymous setting", ""),
        ("py.warnings", logging.WARNING, "/x/pytorch_lightning/loops/a.py:3: predict returned None", ""),
        ("py.warnings", logging.WARNING, "/x/torch/a.py:3: FutureWarning: it will change", ""),
        ("py.warnings", logging.WARNING, "/x/lab/a.py:3: RuntimeWarning: overflow", None),
    ],
)
def test_only_what_concerns_the_user_is_shown_unless_it_is_verbose(logged, name, level, message, shown):
    assert logged(name, level, message) == (f"warning: {message}\n" if shown is None else shown)
    assert message in logged(name, level, message, verbose=True)


def test_warnings_in_the_same_words_are_shown_twice(logged):
    lines = [logged("alps_exp.samplers.map", logging.WARNING, "%d images stopped", i) for i in range(5)]
    assert [bool(line) for line in lines] == [True] * MOST_ALIKE + [False] * (5 - MOST_ALIKE)
    assert "in the log" in lines[1] and "in the log" not in lines[0]
    assert logged("alps_exp.samplers.map", logging.WARNING, "another") == "warning: another\n"


def test_the_same_text_is_shown_once_in_a_command_whatever_the_job(monkeypatch):
    new_command()
    shown = []
    for _ in range(3):  # Hydra makes a handler for each job
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        handler = TerminalLog(sys.stderr)
        handler.handle(logging.LogRecord("alps_exp.evaluation", logging.WARNING, "a.py", 1, "no LPIPS", (), None))
        shown.append(sys.stderr.getvalue())
    assert shown == ["warning: no LPIPS\n", "", ""]
    new_command()
    handler.handle(logging.LogRecord("alps_exp.evaluation", logging.WARNING, "a.py", 1, "no LPIPS", (), None))
    assert sys.stderr.getvalue() == "warning: no LPIPS\n"


def test_warnings_of_python_go_to_the_log_of_the_job_alone(caplog):
    before = warnings.showwarning
    with warnings.catch_warnings(), warnings_logged():
        warnings.simplefilter("always")
        warnings.warn("out of range", RuntimeWarning, stacklevel=1)
    assert "out of range" in caplog.text and warnings.showwarning is before
