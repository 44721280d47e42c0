"""One job of a verb: its whole config and its folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from omegaconf import DictConfig

from alps_exp.runs.folder import DONE, RunFolder
from alps_exp.runs.original import Original
from alps_exp.runs.provenance import Provenance


@dataclass
class JobContext:
    """What a verb needs of its job beside its own arguments.

    Once `begun`, the folder is this job's. Once `under_way`, a first batch was read and worked on: an error from
    then on is none of the request. `original` is the run that it runs again, if it does.
    """

    config: DictConfig
    folder: RunFolder
    begun: bool = False
    under_way: bool = False
    original: Original | None = None

    def is_done(self, provenance: Callable[[], Provenance], resume_anyway: bool, image_ids: Sequence[str] = ()) -> bool:
        """Tell, and say, whether an earlier start did it all; raises ValueError as `RunFolder.check_resume` does.

        Only then is the `provenance` of this start collected, which reads data and weights. What was done once, but is
        not there as it was left, is named, and is to be made again.
        """
        if not self._is_whole() or self.folder.unfinished(image_ids):
            return False
        self.folder.check_resume(provenance(), resume_anyway)
        print(f"{self.folder.path} is done already")
        return True

    def _is_whole(self) -> bool:
        """Tell whether `DONE` is there and vouches for what is there; say why it does not."""
        if not (self.folder.path / DONE).exists():
            return False
        if not self.folder.vouched_files():
            print(f"{self.folder.path}: DONE does not say what it vouches for: what is missing is made again")
            return False
        if changed := self.folder.changed_files():
            print(f"{self.folder.path}: missing or not as it was left, and made again: {_listed(changed)}")
        return not changed

    def begin(self, provenance: Provenance, resume_anyway: bool) -> None:
        """Record this start in the folder, and the config; raises ValueError as `RunFolder.begin` does."""
        if self.original is not None:
            self._compare(self.original, provenance)
        self.folder.begin(provenance, resume_anyway)
        self.begun = True
        self.folder.save_config(self.config)

    def _compare(self, original: Original, provenance: Provenance) -> None:
        """Say and record what differs from the run that is run again."""
        provenance.original = str(original.folder.path.resolve())
        provenance.differences = original.differences(self.config, provenance)
        for difference in provenance.differences or ["nothing"]:
            print(f"differs from {original.folder.path}: {difference}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
