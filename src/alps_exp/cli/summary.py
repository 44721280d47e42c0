"""What a restoration tells at its end: in full, or on one line of a sweep."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from alps_exp.runs.objective import COSTS

if TYPE_CHECKING:
    from alps_exp.restoration import Run


def in_full(run: Run) -> str:
    """Return the folder of a run, the means over its restored images, what they cost, and which are flagged."""
    means = run.means().round(4).to_string()
    return "\n".join([str(run.folder.path), f"means over {_images(run)}", means, _costs(run), _flags(run)])


def on_one_line(run: Run) -> str:
    """Return the metrics of what is not a single sample, what it costs, which estimates are flagged, and the folder."""
    means = run.means().drop(index="sample", columns=["data_misfit", "flagged"], errors="ignore")
    metrics = [f"{kind} " + ", ".join(f"{name} {x:.4g}" for name, x in row.items()) for kind, row in means.iterrows()]
    return f"{'; '.join([*metrics, _costs(run), _flags(run), _images(run)])}: {os.path.relpath(run.folder.path)}"


def _images(run: Run) -> str:
    """Return how many images were restored, failed, and have a truth to compare with."""
    counts = run.counts()
    restored, failed = counts["images"], counts["failed"]
    truths = "" if counts["with_truth"] == restored else f", {counts['with_truth']} of them with a truth"
    return f"{restored} of {restored + failed} images{truths}" + (f", {failed} failed" if failed else "")


def _costs(run: Run) -> str:
    """Return the ratio of spread and error, calls of the network and seconds, as `alps table` has them."""
    ratio = run.numbers.get("mmse/spread_error")
    known = [] if ratio is None else [f"spread / error {ratio:.2f}"]
    forward, vjp, seconds = (run.numbers.get(name, math.nan) for name in COSTS)
    return ", ".join([*known, f"{forward:.3g} + {vjp:.3g} calls a sample", f"{seconds:.3g} s an image"])


def _flags(run: Run) -> str:
    """Return how many estimates of each kind have which flag."""
    good = run.restored_records()
    asked = good["estimate"].value_counts()
    found = good.explode("flags").groupby(["flags", "estimate"]).size()
    return "; ".join(f"{flag}: {n} of {asked[kind]} {kind}" for (flag, kind), n in found.items()) or "no flags"
