"""What a run was asked for: its resolved config without the machine's own keys, and the hash of that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Set
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

MACHINE_KEYS = frozenset(
    {
        "checkpoint_minutes",
        "compile",
        "hydra",
        "logger",
        "output_root",
        "resume_anyway",
        "data.num_workers",
        "generator.micro_batch",
        "sampler.micro_batch",
        "trainer.accelerator",
        "trainer.default_root_dir",
        "trainer.devices",
        "trainer.enable_progress_bar",
        "trainer.num_nodes",
        "trainer.strategy",
    }
)
"""Keys that change where and how fast a run goes, not what it gives."""

MACHINE_KEYS_OF_VERB = {
    "restore": frozenset({"data.batch_size", "trainer.max_time"}),
    "calibrate": frozenset({"data.batch_size", "trainer.max_time"}),
}
"""Further ones for the verbs whose results they do not change; in training batch size and time do."""

OPTIMIZERS = ("training.optimizer", "distillation.optimizer")


LONGEST_NAME = 255  # bytes, of a folder on the usual file systems


def request(config: Any, verb: str = "") -> dict[str, Any]:
    """Return the resolved config without the machine's own keys, as plain dictionaries, lists and values.

    Keys that are left out are not resolved, so they may hold what is not known yet. The steps of a training whose
    rate stays constant to the end are left out too: a longer one goes on from a shorter.

    Parameters
    ----------
    config
        A `DictConfig` or a nested dictionary, with `hydra` in it or without.
    verb
        The verb it configures (``restore``, ...), for `MACHINE_KEYS_OF_VERB`.
    """
    root = config if isinstance(config, DictConfig) else OmegaConf.create(config)
    return _resolved(root, MACHINE_KEYS | MACHINE_KEYS_OF_VERB.get(verb, frozenset()) | _without_meaning(root))


def _without_meaning(root: DictConfig) -> set[str]:
    """Return the keys that mean nothing beside the others: a limit of time that is none, steps at a constant rate."""
    no_limit = OmegaConf.select(root, "trainer.max_time") is None
    constant = any(OmegaConf.select(root, f"{optimizer}.decay_fraction") == 0 for optimizer in OPTIMIZERS)
    return {key for key, drop in {"trainer.max_time": no_limit, "trainer.max_steps": constant}.items() if drop}


def _resolved(node: Any, left_out: Set[str], prefix: str = "") -> Any:
    if isinstance(node, DictConfig):
        kept = [key for key in node if prefix + str(key) not in left_out]
        return {str(key): _resolved(node[key], left_out, f"{prefix}{key!s}.") for key in kept}
    if isinstance(node, ListConfig):
        return [_resolved(node[i], left_out, f"{prefix}{i}.") for i in range(len(node))]
    return node


def config_hash(config: Any, verb: str = "") -> str:
    """Return 12 hexadecimal digits that are the same for the same `request`, and for no other."""
    text = json.dumps(request(config, verb), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def register_resolvers() -> None:
    """Let ``hydra.run.dir`` and ``hydra.sweep.subdir`` say ``${config_hash:VERB}`` and ``${folder_name:${name}}``."""
    OmegaConf.register_new_resolver("config_hash", _config_hash, replace=True)
    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)


def _config_hash(verb: str = "", *, _root_: DictConfig) -> str:
    return config_hash(_root_, verb)


def folder_name(name: Any) -> str:
    """Return the name of a run, which is that of a folder below the output root and never leads out of it.

    Raises
    ------
    ValueError
        If it is no text, or a part of it between slashes is empty, hidden (as `..` is), too long or not printable.
    """
    if not isinstance(name, str) or not all(map(_is_folder, name.split("/"))):
        raise ValueError(
            f"name is {name!r}, expected text, FOLDER or FOLDER/FOLDER, of folders below the output root: none empty,"
            f" with a dot in front, over {LONGEST_NAME} bytes, or with backslashes or control characters"
        )
    return name


def _is_folder(part: str) -> bool:
    plain = part.strip() == part and part.isprintable() and not part.startswith(".") and "\\" not in part
    return plain and 0 < len(part.encode()) <= LONGEST_NAME
