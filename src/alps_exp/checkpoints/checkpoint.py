"""A network as it is read from a file, and how it was trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from alps_exp.errors import one_line
from alps_exp.networks.preconditioning import Preconditioned


@dataclass(frozen=True)
class Origin:
    """Weights that a training went on from: their file's hash, and the steps of their own training, if known."""

    sha256: str
    steps: int | None


@dataclass(frozen=True)
class History:
    """How weights were trained: the steps, and from which weights on, those that these went on from behind them."""

    steps: int
    origins: list[Origin]


@dataclass(frozen=True)
class Checkpoint:
    """A network from a file, its kind (`teacher`, `energy`; None if the file does not say), and further facts."""

    network: Preconditioned
    kind: str | None
    format: str
    notes: dict[str, str] = field(default_factory=dict)
    history: History | None = None


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Turn what weights and architecture raise that do not fit each other into one ValueError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = one_line(error)
        raise ValueError(f"the weights in {path} do not fit their architecture: {reason}") from error
