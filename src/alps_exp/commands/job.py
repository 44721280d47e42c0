"""One job of a verb: its whole config and its folder."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import DictConfig

from alps_exp.runs import Provenance, RunFolder


@dataclass
class Job:
    """What a verb needs of its job beside its own arguments.

    Once `begun`, the folder is this job's. Once `under_way`, a first batch was read and worked on: an error from
    then on is none of the request.
    """

    config: DictConfig
    folder: RunFolder
    begun: bool = False
    under_way: bool = False

    def begin(self, provenance: Provenance, resume_anyway: bool) -> None:
        """Record this start in the folder, and the config; raises ValueError as `RunFolder.begin` does."""
        self.folder.begin(provenance, resume_anyway)
        self.begun = True
        self.folder.save_config(self.config)
