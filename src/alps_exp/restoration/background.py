"""Work in a thread beside the sampler: what follows the restoration of a batch while the next is restored."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch

log = logging.getLogger(__name__)


class Background:
    """Runs tasks in the order given, each while the caller goes on, and at most one ahead of it.

    As a context it ends its thread, after the last task.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "alps_exp results")
        self._last: Future[None] | None = None

    def run(self, task: Callable[[], None]) -> None:
        """Start a task when the one before is done; raises what that one has raised."""
        self.finish()
        # Gradients are switched off for each thread on its own.
        self._last = self._thread.submit(torch.no_grad()(task))

    def finish(self) -> None:
        """Wait for the last task; raises what it has raised."""
        if self._last is None:
            return
        error = self._last.exception()  # where Ctrl-C may end the wait, the task is still to be asked for
        self._last = None
        if error is not None:
            raise error

    def __enter__(self) -> Background:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        if self._last is not None and (own := self._last.exception()) is not None:
            if error is None:
                raise own
            log.error("and the batch before was not written: %s", own)
