"""The line that says what a process does: on a terminal in place, elsewhere now and then, and never in the way."""

import fcntl
import io
import os
import pty
import struct
import sys
import termios
import threading
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import pytest

from alps_exp import live_line as module
from alps_exp.live_line import CLEAR, Terminal, duration, live_line


class Screen(io.StringIO):
    def isatty(self):
        return True

    def lines(self):
        """Return what a terminal shows: a carriage return starts its line over, and CLEAR empties it."""
        return [line.split(CLEAR)[-1] for line in self.getvalue().split("\n")]


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(module, "REFRESH", 0.001)


@contextmanager
def terminal():
    screen = Screen()
    with redirect_stdout(screen), redirect_stderr(screen):
        yield screen


def shown_once(describe):
    """Return a function that describes, and the event that it has been called."""
    called = threading.Event()

    def described():
        called.set()
        return describe

    return described, called


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0:00"),
        (42, "0:42"),
        (59.7, "1:00"),
        (599, "9:59"),
        (600, "10 min"),
        (3599, "1 h 0 min"),
        (12000, "3 h 20 min"),
    ],
)
def test_durations_are_in_words(seconds, words):
    assert duration(seconds) == words


def test_what_is_printed_on_a_terminal_replaces_the_line():
    describe, called = shown_once("image 1 of 2")
    with terminal() as screen:
        with live_line(describe):
            assert called.wait(5)
            print("a warning", file=sys.stderr)
            print("a result")
        assert sys.stdout is screen and sys.stderr is screen
    assert "image 1 of 2" in screen.getvalue()
    assert screen.lines() == ["a warning", "a result", ""]


def test_the_line_waits_for_the_end_of_what_is_being_written():
    screen = Screen()
    terminal = Terminal(screen)
    stream = terminal.above(screen)
    terminal.show("1 of 2")
    stream.write("half a ")
    terminal.show("2 of 2")
    stream.write("line\n")
    terminal.show("2 of 2")
    assert screen.lines() == ["half a line", "2 of 2"]


def test_a_line_is_cut_to_the_width_of_the_terminal():
    outer, inner = pty.openpty()
    with os.fdopen(inner, "w") as stream:
        fcntl.ioctl(stream, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 10, 0, 0))
        Terminal(stream).show("0123456789")
        assert os.read(outer, 100).decode() == f"{CLEAR}012345678"
    os.close(outer)


def test_without_a_terminal_it_is_a_plain_line_after_a_while(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with live_line(lambda: "image 1 of 2"):
        pass
    assert sys.stderr.getvalue() == ""
    monkeypatch.setattr(module, "REPEAT", 0.001)
    describe, called = shown_once("image\x1b 1 of 2")
    with live_line(describe):
        assert called.wait(5)
    assert set(sys.stderr.getvalue().splitlines()) == {"image\N{REPLACEMENT CHARACTER} 1 of 2"}


def test_nothing_is_written_in_place_where_other_processes_write(monkeypatch):
    monkeypatch.setattr(module, "REPEAT", 0.001)
    describe, called = shown_once("image 1 of 2")
    with terminal() as screen, live_line(describe, in_place=False):
        assert called.wait(5)
    assert CLEAR not in screen.getvalue() and "image 1 of 2\n" in screen.getvalue()


def test_a_process_without_a_line_clears_that_of_another():
    with terminal() as screen:
        print("the line of another", end="")
        with live_line(None):
            print("failed", file=sys.stderr)
    assert screen.lines() == ["failed", ""]


def test_a_closed_pipe_ends_the_line_and_not_the_work(monkeypatch):
    monkeypatch.setattr(module, "REPEAT", 0.001)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    sys.stderr.close()
    describe, called = shown_once("image 1 of 2")
    with live_line(describe):
        assert called.wait(5)
        for thread in threading.enumerate():
            if thread.name == "live line":
                thread.join(5)
                assert not thread.is_alive()
    monkeypatch.setattr(sys, "stderr", None)
    with live_line(describe):
        pass
