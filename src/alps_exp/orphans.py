"""Processes that work for another one end with it: what it started must not live on for minutes when it is killed."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from functools import cache

SECONDS = 1.0


@cache
def end_with_parent() -> None:
    """End this process at most a second or so after its parent, whatever it is doing; the first call counts."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def is_worker() -> bool:
    """Return whether this process is one of joblib's, or a rank that the first process of a job started."""
    return multiprocessing.current_process().name.startswith("Loky") or os.environ.get("LOCAL_RANK", "0") != "0"
