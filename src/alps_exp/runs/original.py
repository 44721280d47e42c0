"""The original of a repeated run, and the differences between the two."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import DictConfig

from alps_exp.runs.folder import RunFolder
from alps_exp.runs.provenance import Provenance, changed_code, changed_environment, changed_inputs
from alps_exp.runs.run_hash import request


@dataclass
class Original:
    """The run that is repeated: its request and its last start."""

    verb: str
    folder: RunFolder
    config: dict[str, object]
    start: Provenance

    def check_elsewhere(self, folder: RunFolder) -> None:
        """Raise ValueError if `folder`, the folder of the repetition, is the folder of the original itself."""
        if folder.path.resolve() == self.folder.path.resolve():
            raise ValueError(f"{self.folder.path} would be repeated in its own folder: give another output_root")

    def differences(self, config: DictConfig, start: Provenance) -> list[str]:
        """Describe how a start with the resolved `config` differs in request, inputs, code, packages and device."""
        changes = changed_settings(self.config, config, self.verb)
        asked = [f"{change} (what was derived from it stays)" for change in changes]
        return [
            *asked,
            *changed_inputs(self.start, start),
            *changed_code(self.start, start),
            *changed_environment(self.start, start),
        ]


def changed_settings(before: dict[str, object], now: DictConfig, verb: str) -> list[str]:
    """Describe the differences between two configs in what they request of a verb, one phrase for each key."""
    old, new = (flat_settings(request(config, verb)) for config in (before, now))
    keys = [key for key in {**old, **new} if key not in old or key not in new or old[key] != new[key]]
    return [f"{key} {old.get(key, 'not given')} before, {new.get(key, 'not given')} now" for key in keys]


def flat_settings(node: object, key: str = "") -> dict[str, object]:
    """Return the values of nested settings by their full keys, as ``sampler.schedule.steps``."""
    if not isinstance(node, dict | list) or not node:
        return {key: node}
    items = node.items() if isinstance(node, dict) else enumerate(node)
    return {name: value for k, item in items for name, value in flat_settings(item, f"{key}.{k}".lstrip(".")).items()}
