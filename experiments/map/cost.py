"""Which share of MAP's processor time its Newton systems and the look for the smallest eigenvalue take.

    python experiments/map/cost.py experiment=demo_brain operator=mri_4x

runs `alps restore sampler=map` with these overrides and prints the shares at the end.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from alps_exp.cli.main import main
from alps_exp.samplers import MAP, newton

Result = TypeVar("Result")
SPENT: Counter[str] = Counter()


def timed(name: str, function: Callable[..., Result]) -> Callable[..., Result]:
    """Return the function with its processor time added to `SPENT`."""

    @wraps(function)
    def call(*arguments: object, **options: object) -> Result:
        start = time.thread_time()
        try:
            return function(*arguments, **options)
        finally:
            SPENT[name] += time.thread_time() - start

    return call


if __name__ == "__main__":
    newton._solve = timed("Newton systems", newton._solve)
    newton.smallest_eigenvalue = timed("smallest eigenvalue", newton.smallest_eigenvalue)
    MAP.sample = timed("all", MAP.sample)  # type: ignore[method-assign]
    sys.argv = ["alps", "restore", "sampler=map", *sys.argv[1:]]
    try:
        main()
    finally:
        total = SPENT.pop("all")
        print(f"{total:.1f} s of processor time: " + ", ".join(f"{k} {v / total:.0%}" for k, v in SPENT.items()))
