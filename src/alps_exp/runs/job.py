"""One job of a verb: its config and its run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from omegaconf import DictConfig

from alps_exp.errors import listed
from alps_exp.live_line import Progress
from alps_exp.runs.folder import DONE, RunFolder
from alps_exp.runs.original import Original, changed_settings
from alps_exp.runs.provenance import Provenance
from alps_exp.runs.study import StudyTrial, note_request


@dataclass
class JobContext:
    """What a verb needs to know about its job in addition to its own arguments.

    `begun`: the folder belongs to this job. `under_way`: a first batch has been processed, so a later error is not a
    fault of the request. `original`: the run that this job repeats, if any. `is_trial`: only a part is done, and the
    folder is not kept. `study_trial`: the trial that this job is for a sweeper, if any. `place`: its number and what
    distinguishes it in a sweep, else empty. `progress`: how far its work is. `was_done`: an earlier start had finished
    it.
    """

    config: DictConfig
    folder: RunFolder
    begun: bool = False
    under_way: bool = False
    original: Original | None = None
    is_trial: bool = False
    study_trial: StudyTrial | None = None
    place: str = ""
    progress: Progress | None = None
    was_done: bool = False

    def is_done(self, provenance: Callable[[], Provenance], resume_anyway: bool, image_ids: Sequence[str] = ()) -> bool:
        """Return whether an earlier start has finished the run, and print so; raises as `RunFolder.check_resume`.

        The `provenance` of this start is collected only if needed, since it reads data and weights. Files that were
        finished but have changed or disappeared are listed, and the run is not done.
        """
        if not self._is_whole() or self.folder.unfinished(image_ids):
            return False
        self.folder.check_resume(provenance(), resume_anyway)
        note_request(self.folder, self.study_trial, is_new=False)
        self.was_done = True
        print(f"{self.place}{self.folder.path} is done already")
        return True

    def _is_whole(self) -> bool:
        """Return whether `DONE` exists and all files that it covers are intact; print why not."""
        if not (self.folder.path / DONE).exists():
            return False
        if not self.folder.vouched_files():
            print(f"{self.folder.path}: DONE does not list the files of the run: what is missing is made again")
            return False
        if changed := self.folder.changed_files():
            print(f"{self.folder.path}: missing or changed, and made again: {listed(changed)}")
        return not changed

    def check_same_request(self, verb: str) -> None:
        """Raise ValueError if the folder has a run with another config."""
        config = self.folder.load_config()
        if config and (changes := changed_settings(config, self.config, verb)):
            raise ValueError(f"{self.folder.path} has the run of another request ({changes[0]}): give another folder")

    def begin(self, provenance: Provenance, resume_anyway: bool) -> None:
        """Record this start and the config in the folder; raises ValueError as `RunFolder.begin` does."""
        if self.original is not None:
            self._compare(self.original, provenance)
        is_new = not (self.folder.path / "config.yaml").exists()  # which even a run that was only asked for has
        self.folder.begin(provenance, resume_anyway)
        note_request(self.folder, self.study_trial, is_new)
        self.begun = True
        self.folder.save_config(self.config)

    def _compare(self, original: Original, provenance: Provenance) -> None:
        """Print and record the differences from the original run."""
        provenance.original = str(original.folder.path.resolve())
        provenance.differences = original.differences(self.config, provenance)
        for difference in provenance.differences or ["nothing"]:
            print(f"differs from {original.folder.path}: {difference}")
