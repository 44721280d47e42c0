"""The request of a run (its resolved config without machine-specific keys), and the hash that names its folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Set

from omegaconf import DictConfig, ListConfig, OmegaConf

MACHINE_KEYS = frozenset(
    {
        "checkpoint_minutes",
        "compile",
        "figures",
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
"""Keys that affect where and how fast a run executes, but not its results."""

MACHINE_KEYS_OF_VERB = {
    "restore": frozenset({"data.batch_size", "trainer.max_time"}),
    "calibrate": frozenset({"data.batch_size", "trainer.max_time"}),
}
"""Further such keys per verb. In trainings, batch size and time limit do affect the result."""

OPTIMIZERS = ("training.optimizer", "distillation.optimizer")


LONGEST_NAME = 255  # bytes that common file systems allow for a folder name


def request(config: DictConfig | dict[str, object], verb: str = "") -> dict[str, object]:
    """Return the resolved config without machine-specific keys, as plain dictionaries, lists and values.

    Omitted keys are not resolved, so they may refer to values that are not known yet. The number of steps is omitted
    for a training whose learning rate stays constant to the end: a longer training continues a shorter one.

    Parameters
    ----------
    config
        A `DictConfig` or a nested dictionary, with or without `hydra`.
    verb
        The verb of the config (``restore``, ...), for `MACHINE_KEYS_OF_VERB`.
    """
    root = config if isinstance(config, DictConfig) else OmegaConf.create(config)
    return _resolved(root, MACHINE_KEYS | MACHINE_KEYS_OF_VERB.get(verb, frozenset()) | _without_meaning(root))


def _without_meaning(root: DictConfig) -> set[str]:
    """Return keys that have no effect given the others: an absent time limit, and steps at a constant rate."""
    no_limit = OmegaConf.select(root, "trainer.max_time") is None
    constant = any(OmegaConf.select(root, f"{optimizer}.decay_fraction") == 0 for optimizer in OPTIMIZERS)
    return {key for key, drop in {"trainer.max_time": no_limit, "trainer.max_steps": constant}.items() if drop}


def _resolved(root: DictConfig, left_out: Set[str], prefix: str = "") -> dict[str, object]:
    kept = [key for key in root if prefix + str(key) not in left_out]
    return {str(key): _plain(root[key], left_out, f"{prefix}{key!s}.") for key in kept}


def _plain(node: object, left_out: Set[str], prefix: str) -> object:
    if isinstance(node, DictConfig):
        return _resolved(node, left_out, prefix)
    if isinstance(node, ListConfig):
        return [_plain(node[i], left_out, f"{prefix}{i}.") for i in range(len(node))]
    return node


def config_hash(config: DictConfig | dict[str, object], verb: str = "") -> str:
    """Return 12 hexadecimal digits that identify a `request`.

    Parameters
    ----------
    config, verb
        As in `request`.
    """
    # Sorted, so that the order in which Hydra composes a config does not matter.
    text = json.dumps(request(config, verb), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def register_resolvers() -> None:
    """Register the resolvers ``${config_hash:VERB}`` and ``${folder_name:${name}}`` that name run folders."""
    OmegaConf.register_new_resolver("config_hash", _config_hash, replace=True)
    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)


def _config_hash(verb: str = "", *, _root_: DictConfig) -> str:
    return config_hash(_root_, verb)


def folder_name(name: object) -> str:
    """Return the name of a run if it is safe as a folder below the output root.

    Raises
    ------
    ValueError
        If it is not text, or a part between slashes is empty, hidden (which includes `..`), too long or not printable.
    """
    if not isinstance(name, str) or not all(map(_is_folder, name.split("/"))):
        raise ValueError(
            f"name is {name!r}, expected FOLDER or FOLDER/FOLDER below the output root: no part may be empty, start"
            f" with a dot, exceed {LONGEST_NAME} bytes, or contain backslashes or control characters"
        )
    return name


def _is_folder(part: str) -> bool:
    plain = part.strip() == part and part.isprintable() and not part.startswith(".") and "\\" not in part
    return plain and 0 < len(part.encode()) <= LONGEST_NAME
