"""The progress bar of a sampler."""

from __future__ import annotations

from types import TracebackType

from tqdm import tqdm

from alps_exp.samplers.problem import State


class ProgressBar:
    """A bar that advances with every state of the chains, shown only on a terminal; a callback of samplers."""

    def __init__(self, title: str, steps: int) -> None:
        self._bar = tqdm(total=steps, desc=title, disable=None, leave=False)

    def __enter__(self) -> ProgressBar:
        return self

    def __call__(self, state: State) -> None:
        """Advance by one step."""
        self._bar.update()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
