"""What a job that a signal ended tells the user: what of it is saved, and how to go on."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from alps_exp.lightning.checkpoint_files import LAST

KEPT = {"images": "images/*.h5", "volumes": "volumes/*.h5"}


def interrupted(stop: SystemExit | KeyboardInterrupt, folder: Path) -> int:
    """Print one line on a job that was ended by Ctrl-C or by SIGTERM, as clusters send it; return the exit status.

    That is 128 and the number of the signal, as for a process that the signal killed: nothing is done yet.
    """
    # Lightning exits in place of a KeyboardInterrupt.
    by_key = isinstance(stop, KeyboardInterrupt) or isinstance(stop.__context__, KeyboardInterrupt)
    number = signal.SIGINT if by_key else signal.SIGTERM
    found = {name: [path for path in folder.glob(pattern) if path.name[0] != "."] for name, pattern in KEPT.items()}
    saved = [f"{len(paths)} {name}" for name, paths in found.items() if paths]
    saved += ["the last checkpoint"] if (folder / LAST).exists() else []
    kept = f"saved in {folder}: {' and '.join(saved)}; the same command goes on" if saved else "nothing is saved yet"
    print(f"alps: ended by {number.name}: {kept}", file=sys.stderr)
    return 128 + number
