"""Tasks in the background: one at a time, in order, without gradients, and none fails unnoticed."""

import threading

import pytest
import torch

from alps_exp.restoration.background import Background


def fail():
    raise OSError("disk full")


def test_a_task_runs_beside_the_caller_and_the_next_waits_for_it():
    done, may_end = [], threading.Event()
    with Background() as background:
        background.run(lambda: (may_end.wait(10), done.append((1, torch.is_grad_enabled()))))
        assert done == []
        threading.Timer(0.05, may_end.set).start()
        background.run(lambda: done.append((2, torch.is_grad_enabled())))
        assert done[0] == (1, False)
        background.finish()
    assert done == [(1, False), (2, False)]


@pytest.mark.parametrize("ask", [lambda b: b.run(lambda: None), lambda b: b.finish()])
def test_the_error_of_a_task_is_raised_at_the_next_question(ask):
    with Background() as background:
        background.run(fail)
        with pytest.raises(OSError, match="disk full"):
            ask(background)


def test_a_task_that_was_not_waited_for_to_its_end_still_tells_its_error(caplog):
    class Interrupted:
        """A task of which the first question is ended by Ctrl-C."""

        def __init__(self, task):
            self.task, self.asked = task, False

        def _ask(self, question):
            if not self.asked:
                self.asked = True
                raise KeyboardInterrupt
            return question()

        def result(self):
            return self._ask(self.task.result)

        def exception(self):
            return self._ask(self.task.exception)

    with pytest.raises(KeyboardInterrupt), Background() as background:
        background.run(fail)
        background._last = Interrupted(background._last)
        background.finish()
    assert "disk full" in caplog.text


def test_the_error_of_the_last_task_is_raised_at_the_end():
    with pytest.raises(OSError, match="disk full"), Background() as background:
        background.run(fail)


def test_an_error_of_the_caller_comes_first_and_the_other_is_logged(caplog):
    with pytest.raises(KeyError), Background() as background:
        background.run(fail)
        raise KeyError
    assert "disk full" in caplog.text
