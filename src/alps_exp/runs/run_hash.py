"""The request of a run (its resolved config without machine-specific keys), and the hash that names its folder."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Set
from pathlib import Path

from omegaconf import DictConfig, ListConfig, OmegaConf

from alps_exp.batch import AUTO_BATCH
from alps_exp.runs.folder import check_no_links

MACHINE_KEYS = frozenset(
    {
        "checkpoint_minutes",
        "compile",
        "dry_run",
        "figures",
        "hydra",
        "logger",
        "objective",
        "output_root",
        "resume_anyway",
        "user",
        "verbose",
        "verify",
        "data.num_workers",
        "distillation.band_interval",
        "generator.micro_batch",
        "sampler.micro_batch",
        "trainer.accelerator",
        "trainer.default_root_dir",
        "trainer.devices",
        "trainer.enable_checkpointing",
        "trainer.enable_model_summary",
        "trainer.enable_progress_bar",
        "trainer.log_every_n_steps",
        "trainer.num_nodes",
        "trainer.num_sanity_val_steps",
        "trainer.profiler",
        "trainer.strategy",
        "training.band_interval",
    }
)
"""Keys that affect where and how fast a run executes, and what is seen of it, but not its results."""

WATCHING = frozenset(
    {
        "DeviceStatsMonitor",
        "LearningRateMonitor",
        "ModelSummary",
        "RichModelSummary",
        "RichProgressBar",
        "TQDMProgressBar",
        "ThroughputMonitor",
    }
)
"""Callbacks of Lightning that only watch. One of a user's own may change the result, and counts as a request."""

MACHINE_KEYS_OF_VERB = {
    "restore": frozenset({"data.batch_size", "trainer.max_time"}),
    "calibrate": frozenset({"data.batch_size", "trainer.max_time"}),
}
"""Further such keys per verb. In trainings, the time limit does affect the result."""

TRAININGS = ("train", "distill")
PARTS_OF_BATCH = ("data.batch_size", "trainer.accumulate_grad_batches")
CALLBACKS = ("callbacks", "trainer.callbacks")

OPTIMIZERS = ("training.optimizer", "distillation.optimizer")


LIGHTNING = ("pytorch_lightning.callbacks.", "lightning.pytorch.callbacks.")
KEPT_CHECKPOINTS = "alps_exp.lightning.KeptCheckpoints"

LONGEST_NAME = 255  # bytes that common file systems allow for a folder name


def request(config: DictConfig | dict[str, object], verb: str = "") -> dict[str, object]:
    """Return the resolved config without machine-specific keys, as plain dictionaries, lists and values.

    Omitted keys are not resolved, so they may refer to values that are not known yet. The number of steps is omitted
    for a training whose learning rate stays constant to the end: a longer training continues a shorter one. The batch
    of a training is the product over devices, nodes and accumulated batches, however it is split. Callbacks count as
    those of the trainer, whether they are given there or by name in `callbacks`, except for those that only watch.

    Parameters
    ----------
    config
        A `DictConfig` or a nested dictionary, with or without `hydra`.
    verb
        The verb of the config (``restore``, ...), for `MACHINE_KEYS_OF_VERB`.
    """
    root = config if isinstance(config, DictConfig) else OmegaConf.create(config)
    left_out = MACHINE_KEYS.union(MACHINE_KEYS_OF_VERB.get(verb, ()), _without_meaning(root), CALLBACKS)
    if verb in TRAININGS:
        left_out = left_out.union(PARTS_OF_BATCH)
    plain = _resolved(root, left_out)
    if verb in TRAININGS:
        plain["effective_batch"] = effective_batch(root)
    if callbacks := [_plain(one, left_out, "trainer.callbacks.") for one in _callbacks(root) if not only_watches(one)]:
        plain["trainer"] = {**_resolved(root.trainer, left_out, "trainer."), "callbacks": callbacks}
    return plain


def _callbacks(root: DictConfig) -> list[object]:
    """Return the configs of all callbacks."""
    by_name, of_trainer = (OmegaConf.select(root, key) for key in CALLBACKS)
    listed = of_trainer if isinstance(of_trainer, ListConfig) else [of_trainer]
    return [one for one in (*(by_name or {}).values(), *listed) if one is not None]


def effective_batch(root: DictConfig) -> int | str:
    """Return the number of images in a step of a training.

    How many devices ``auto`` or -1 are is known only where the training runs: then it is a text with that word in it.
    """
    parts = [OmegaConf.select(root, key, default=1) for key in PARTS_OF_BATCH]
    parts = [AUTO_BATCH if part == "auto" else part for part in parts]
    parts += [_count(OmegaConf.select(root, key, default=1)) for key in ("trainer.num_nodes", "trainer.devices")]
    known = [part for part in parts if type(part) is int and part > 0]
    unknown = [str(part) for part in parts if type(part) is not int or part < 1]
    return " x ".join([str(math.prod(known)), *unknown]) if unknown else math.prod(known)


def _count(devices: object) -> object:
    """Return how many devices a setting of Lightning names, as far as it says."""
    if isinstance(devices, ListConfig):
        return len(devices)
    if isinstance(devices, str) and "," in devices:
        return len([device for device in devices.split(",") if device.strip()])
    return int(devices) if isinstance(devices, str) and devices.isdecimal() else devices


def _without_meaning(root: DictConfig) -> set[str]:
    """Return keys that say nothing: what is not given, steps at a constant rate, the precision of all other runs.

    `compile` is left out everywhere: it changes the order in which numbers are added, as another batch or device does.
    """
    not_given = {key: OmegaConf.select(root, key) is None for key in ("trainer.max_time", "conformal")}
    constant = any(OmegaConf.select(root, f"{optimizer}.decay_fraction") == 0 for optimizer in OPTIMIZERS)
    usual = OmegaConf.select(root, "precision") == "float32"
    said = not_given | {"trainer.max_steps": constant, "precision": usual}
    return {key for key, drop in said.items() if drop}


def _resolved(root: DictConfig, left_out: Set[str], prefix: str = "") -> dict[str, object]:
    kept = [key for key in root if prefix + str(key) not in left_out]
    return {str(key): _plain(root[key], left_out, f"{prefix}{key!s}.") for key in kept}


def _plain(node: object, left_out: Set[str], prefix: str) -> object:
    if isinstance(node, DictConfig):
        return _resolved(node, left_out, prefix)
    if isinstance(node, ListConfig):
        return [_plain(node[i], left_out, f"{prefix}{i}.") for i in range(len(node))]
    return node


def only_watches(callback: object) -> bool:
    """Return whether the callback of a config does not change what a run results in."""
    target = str(callback.get("_target_")) if isinstance(callback, Mapping) else ""
    return target == KEPT_CHECKPOINTS or (target.startswith(LIGHTNING) and target.rpartition(".")[2] in WATCHING)


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
    """Register the resolvers that name run folders.

    They are ``${config_hash:VERB}``, ``${folder_name:${name}}``, ``${folder_at:KEY}`` for the folder that a key
    names, and ``${without_links:FOLDER}`` for a run folder, before Hydra opens its log there.
    """
    OmegaConf.register_new_resolver("without_links", _without_links, replace=True)
    OmegaConf.register_new_resolver("folder_at", _folder_at, replace=True)
    OmegaConf.register_new_resolver("config_hash", _config_hash, replace=True)
    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)


def _config_hash(verb: str = "", *, _root_: DictConfig) -> str:
    return config_hash(_root_, verb)


def _without_links(folder: str) -> str:
    check_no_links(Path(folder))
    return folder


def _folder_at(key: str, *, _root_: DictConfig) -> str:
    """Return the value of a key if it is a folder, or one can be made.

    Raises
    ------
    ValueError
        If it is no text or empty, or there is a file in its place.
    """
    value = OmegaConf.select(_root_, key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} is {value!r}, expected a folder")
    if (blocking := next((path for path in (Path(value), *Path(value).parents) if path.is_file()), None)) is not None:
        raise ValueError(f"{key} is {value!r}, and {blocking} is a file, expected a folder")
    return value


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
