"""A sign of life: one line on what a process does, written over on a terminal, and repeated now and then elsewhere."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from typing import IO, Protocol, cast

from alps_exp.errors import printable

REFRESH, REPEAT = 0.5, 30.0  # seconds between lines on a terminal, and elsewhere
CLEAR = "\r\x1b[K"


class Progress(Protocol):
    """What knows how far some work is; its text tells so, and is empty before the work begins."""

    def __str__(self) -> str: ...

    def seconds_left(self) -> float | None:
        """Return the time left, as far as it is known."""


@contextmanager
def live_line(describe: Callable[[], str] | None, *, in_place: bool = True) -> Iterator[None]:
    """Show what `describe` returns on standard error; a thread asks for it, so that the work itself only counts.

    Parameters
    ----------
    describe
        Returns the line; None: there is none, and what is written replaces the line of another process.
    in_place
        Whether the line may be written over where standard error is a terminal. What else is written goes above it.
    """
    if sys.stderr is None:
        yield
    elif in_place and _is_terminal(sys.stderr):
        terminal = Terminal(sys.stderr)
        with ExitStack() as stack:
            stack.enter_context(redirect_stderr(terminal.above(sys.stderr)))
            if _is_terminal(sys.stdout):
                stack.enter_context(redirect_stdout(terminal.above(sys.stdout)))
            if describe is not None:
                stack.callback(terminal.show, "")
                stack.enter_context(_repeated(partial(_show, terminal.show, describe), REFRESH))
            yield
    elif describe is not None:
        with _repeated(partial(_show, partial(print, file=sys.stderr, flush=True), describe), REPEAT):
            yield
    else:
        yield


def _show(write: Callable[[str], object], describe: Callable[[], str]) -> bool:
    """Write the line, and return whether anybody still reads it."""
    text = printable(describe())
    try:
        write(text)
    except (OSError, ValueError):  # a pipe or file that is closed
        return False
    return True


@contextmanager
def _repeated(act: Callable[[], bool], seconds: float) -> Iterator[None]:
    """Let a thread act every few seconds, as long as it returns true."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.wait(seconds) and act():
            pass

    thread = threading.Thread(target=repeat, daemon=True, name="live line")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class Terminal:
    """A terminal with a line at its bottom, which other text replaces until the line is shown again.

    Several processes may write to the same terminal: each clears the line of whoever wrote last.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._within_line = False
        self._lock = threading.RLock()
        os.register_at_fork(after_in_child=self._renew_lock)

    def show(self, text: str) -> None:
        """Write the line, unless other text waits for its end of line."""
        with self._lock:
            if not self._within_line:
                self._stream.write(CLEAR + text[: self._columns() - 1])
                self._stream.flush()

    def above(self, stream: IO[str]) -> IO[str]:
        """Return a stream to this terminal of which the text goes above the line."""
        return cast("IO[str]", _Above(self, stream))

    def write(self, stream: IO[str], text: str) -> int:
        """Write a text to a stream to this terminal, in place of the line."""
        with self._lock:
            if text:
                stream.write(text if self._within_line else CLEAR + text)
                self._within_line = not text.endswith(("\n", "\r"))
        return len(text)

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError):
            return 80

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()  # the thread that may have held it is not in the child


class _Above:
    """A stream that writes through its terminal, and is otherwise the stream itself."""

    def __init__(self, terminal: Terminal, stream: IO[str]) -> None:
        self._terminal, self._stream = terminal, stream

    def write(self, text: str) -> int:
        return self._terminal.write(self._stream, text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def _is_terminal(stream: IO[str] | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty() and os.environ.get("TERM") != "dumb"


def duration(seconds: float) -> str:
    """Return a time in words: ``0:42``, ``14 min``, ``3 h 20 min``."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 10:
        return f"{minutes}:{rest:02}"
    hours, of_hour = divmod(round(seconds / 60), 60)
    return f"{hours} h {of_hour} min" if hours else f"{of_hour} min"
