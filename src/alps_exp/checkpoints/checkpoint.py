"""A network read from a file, and the history of its training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from alps_exp.checkpoints.loading import Misfit
from alps_exp.errors import one_line
from alps_exp.networks.preconditioning import Preconditioned


@dataclass(frozen=True)
class Origin:
    """Weights from which a training continued: hash of their file and, if known, the steps of their own training."""

    sha256: str
    steps: int | None


@dataclass(frozen=True)
class History:
    """How weights were trained: the number of steps, and the chain of weights they continued from, latest first."""

    steps: int
    origins: list[Origin]


@dataclass(frozen=True)
class Checkpoint:
    """A network from a file with its kind (`teacher`, `energy`, or None if the file does not say) and further facts."""

    network: Preconditioned
    kind: str | None
    format: str
    notes: dict[str, str] = field(default_factory=dict)
    history: History | None = None


@contextmanager
def fitting(path: Path, cure: str = "") -> Iterator[None]:
    """Turn the errors raised by a mismatch of weights and architecture into one ValueError, with what helps."""
    try:
        yield
    except Exception as error:  # a forged file can raise anything
        reason = one_line(error) + (f": {cure}" if cure and isinstance(error, Misfit) else "")
        raise ValueError(f"the weights in {path} do not fit their architecture: {reason}") from error
