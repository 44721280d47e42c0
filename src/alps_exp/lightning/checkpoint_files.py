"""The two latest checkpoints of a training, of which a damaged one is noticed."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

from alps_exp.files import file_hash, write_atomically

LAST = Path("checkpoints") / "last.ckpt"
"""The last checkpoint within a run folder."""

log = logging.getLogger(__name__)


class CheckpointFiles:
    """``last.ckpt``, the one before it, ``previous.ckpt``, and their hashes.

    Parameters
    ----------
    run
        The run folder.
    """

    def __init__(self, run: Path) -> None:
        self.last = run / LAST
        self.previous = self.last.with_name("previous.ckpt")
        self._hashes = self.last.with_name("SHA256")

    def write(self, content: bytes) -> None:
        """Write a checkpoint; the last one so far becomes the previous one."""
        # The hashes come first, and a file with any of them counts as whole, so that a kill in between is harmless.
        whole = [file_hash(path) for path in (self.last, self.previous) if self._is_whole(path)]
        write_atomically(self._hashes, "\n".join([hashlib.sha256(content).hexdigest(), *whole]).encode())
        if self._is_whole(self.last):
            os.replace(self.last, self.previous)
        write_atomically(self.last, content)

    def newest(self) -> Path | None:
        """Return the newest whole checkpoint, None if there is none yet; warn about a damaged one.

        Raises
        ------
        ValueError
            If all that there are are damaged.
        """
        there = [path for path in (self.last, self.previous) if path.exists()]
        for path in there:
            if self._is_whole(path):
                return path
            log.warning("%s is damaged, and left out", path)
        if there:
            raise ValueError(f"{there[0]} is damaged, and no other one is whole: remove it to train from the start")
        return None

    def _is_whole(self, path: Path) -> bool:
        """Return whether a file has one of the known hashes; of checkpoints of earlier versions none is known."""
        known = self._known()
        return path.is_file() and (not known or file_hash(path) in known)

    def _known(self) -> list[str]:
        return self._hashes.read_text(errors="replace").split() if self._hashes.exists() else []
