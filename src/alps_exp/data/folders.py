"""The files of a folder, as a data set lies on a disk: in folders, and behind links to folders elsewhere."""

from __future__ import annotations

import os
from pathlib import Path


def files_below(folder: Path) -> list[Path]:
    """Return the files of a folder and of all below it, links to folders followed.

    Each folder is listed once, however many links lead to it, by its own name rather than by a link's; so a link to a
    folder that it lies in is none to follow.
    """
    found: list[Path] = []
    seen: set[str] = set()
    waiting = [folder]
    while waiting:
        for parent, folders, files in os.walk(waiting.pop(0)):
            if (real := os.path.realpath(parent)) in seen:
                folders.clear()
                continue
            seen.add(real)
            found += [path for name in files if (path := Path(parent, name)).is_file()]
            waiting += [path for name in sorted(folders) if (path := Path(parent, name)).is_symlink()]
    return found
