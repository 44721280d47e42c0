"""How far the images of a start are."""

from __future__ import annotations

import time


class ImageProgress:
    """Counts the images of this process, and the steps within a batch; a `Progress`.

    Images that an earlier start has finished count as passed, but say nothing on the time that the others take.

    Attributes
    ----------
    total
        Number of images that this process is to restore.
    processes
        Number of processes that share the images.
    """

    def __init__(self) -> None:
        self.total, self.processes = 0, 1
        self._passed = 0
        self._batch, self._step, self._steps, self._last_steps = 0, 0, 0, 0
        self._computed, self._first, self._computing = 0, 0.0, False

    def begin_batch(self, images: int, steps: int) -> None:
        """Note that a batch comes next, which takes at most some steps if it is to be restored."""
        self._batch, self._step, self._steps = images, 0, min(steps, self._last_steps or steps)
        self._computing = False

    def compute(self) -> None:
        """Note that the batch is not finished yet, so that it is restored."""
        self._computing = True
        self._first = self._first or time.monotonic()

    def step(self, _: object) -> None:
        """Count a step; a callback of samplers."""
        self._step += 1

    def end_batch(self) -> None:
        """Note that the batch is finished."""
        if self._computing:
            self._computed += self._batch
            self._last_steps = self._step
        self._passed += self._batch
        self._batch = 0

    def __str__(self) -> str:
        if not self.total:
            return ""
        if self._passed >= self.total:
            return "all images are restored: writing the report"
        first, last = self._passed + 1, min(self._passed + max(self._batch, 1), self.total)
        images = f"image {first}" if first == last else f"images {first} to {last}"
        share = f" (each of {self.processes} processes)" if self.processes > 1 else ""
        step = f", step {min(self._step + 1, self._steps)} of {self._steps}" if self._steps and self._batch else ""
        return f"{images} of {self.total}{share}{step}"

    def seconds_left(self) -> float | None:
        """Return the time left, from what this start has restored; None before the first step and after the last."""
        part = self._batch * min(self._step / self._steps, 1.0) if self._steps and self._computing else 0.0
        done = self._computed + part
        if not done or self._passed >= self.total:
            return None
        return (self.total - self._passed - part) * (time.monotonic() - self._first) / done
