"""What a run spends its time on."""

from __future__ import annotations

import pstats
from pathlib import Path

from pytorch_lightning.profilers import AdvancedProfiler, Profiler

LEAST_SHARE = 0.01
"""Share of the time that a part takes at least to be reported."""


class FunctionProfiler(AdvancedProfiler):
    """Reports how long the functions of each part of a run took (training steps, loading, ...), the longest part first.

    Parameters
    ----------
    dirpath
        Folder of the report.
    lines
        Number of functions of a part to report, those with the longest time in them and in what they call.
    """

    def __init__(self, dirpath: str, lines: int = 50) -> None:
        super().__init__(dirpath, "profile", line_count_restriction=lines)

    def summary(self) -> str:
        """Return the report."""
        profiles = dict(self.profiled_actions)
        seconds = {name: pstats.Stats(profile).total_tt for name, profile in profiles.items()}  # type: ignore[attr-defined]
        self.profiled_actions.clear()
        for name in sorted(seconds, key=lambda name: -seconds[name]):
            if seconds[name] >= LEAST_SHARE * sum(seconds.values()):
                self.profiled_actions[name] = profiles[name]
        return super().summary()


def reports_of(profiler: Profiler) -> list[Path]:
    """Return the reports that a profiler has written."""
    return sorted(Path(profiler.dirpath).glob(f"*{profiler.filename}*.txt")) if profiler.dirpath else []
