"""The original of a repeated run, and the differences between the two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alps_exp.runs.folder import RunFolder
from alps_exp.runs.provenance import Provenance, changed_code, changed_environment, changed_inputs
from alps_exp.runs.run_hash import request


@dataclass
class Original:
    """The run that is repeated: its request and its last start."""

    verb: str
    folder: RunFolder
    config: dict[str, Any]
    start: Provenance

    def check_elsewhere(self, folder: RunFolder) -> None:
        """Raise ValueError if `folder`, the folder of the repetition, is the folder of the original itself."""
        if folder.path.resolve() == self.folder.path.resolve():
            raise ValueError(f"{self.folder.path} would be repeated in its own folder: give another output_root")

    def differences(self, config: Any, start: Provenance) -> list[str]:
        """Describe how a start with the resolved `config` differs in request, inputs, code, packages and device."""
        before, now = (_flat(request(each, self.verb)) for each in (self.config, config))
        keys = [key for key in {**before, **now} if key not in before or key not in now or before[key] != now[key]]
        asked = [_change(key, before.get(key, "not given"), now.get(key, "not given")) for key in keys]
        found = [tell(self.start, start) for tell in (changed_inputs, changed_code, changed_environment)]
        return asked + [phrase for phrases in found for phrase in phrases]


def _change(key: str, before: Any, now: Any) -> str:
    return f"{key} {before} before, {now} now (what was derived from it stays)"


def _flat(node: Any, key: str = "") -> dict[str, Any]:
    if not isinstance(node, dict | list) or not node:
        return {key: node}
    items = node.items() if isinstance(node, dict) else enumerate(node)
    return {name: value for k, item in items for name, value in _flat(item, f"{key}.{k}".lstrip(".")).items()}
