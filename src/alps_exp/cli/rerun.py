"""`alps VERB --from RUN`: run again what a run folder says was run, in a folder of its own, and tell what differs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from alps_exp.config.folder import config_folder
from alps_exp.config.trust import check_trust
from alps_exp.runs import RunFolder
from alps_exp.runs.original import Original

FLAG, TRUST = "--from", "--trust"
OUTPUT_ROOT = "outputs/again"
NOT_TAKEN_OVER = ("defaults", "hydra", "logger")
"""Keys of a config that say what else is composed, where it is written, and where it is sent."""


def original_of(argv: list[str], verb: str, verbs: Collection[str]) -> Original | None:
    """Take ``--from RUN`` out of a command line, and let the line name a config that has RUN's values.

    They are the values of RUN's `config.yaml`, whatever the defaults are by now, save that nothing is logged and that
    the output root is `OUTPUT_ROOT`; overrides on the line come after them. The values may be a stranger's, so that
    their targets are held to `check_trust`, with the packages of ``--trust PACKAGE[,PACKAGE]``.

    Parameters
    ----------
    argv
        The command line, ``--config-name VERB`` in it; changed in place.
    verb, verbs
        The verb of the line, and all that there are.

    Returns
    -------
    Original or None
        None where the line has no ``--from``.

    Raises
    ------
    ValueError
        If RUN is no run folder of this verb, names a target that is not trusted, or an override chooses from a config
        group.
    """
    path, trusted = _take_flag(argv, FLAG, "the folder of a run"), _take_flag(argv, TRUST, "packages")
    if path is None:
        if trusted is not None:
            raise ValueError(f"{TRUST} {trusted} is of no use without {FLAG} RUN")
        return None
    original = _read(RunFolder(path), verbs)
    if original.verb != verb:
        raise ValueError(f"{path} is a run of {original.verb}, not of {verb}: alps {original.verb} {FLAG} {path}")
    _refuse_choices(argv)
    values = {key: value for key, value in original.config.items() if key not in NOT_TAKEN_OVER}
    check_trust(values, trusted.split(",") if trusted else [], str(original.folder.path / "config.yaml"))
    place = argv.index("--config-name") + 1
    argv[place] = f"{verb}_again"
    _store(argv[place], verb, values)
    return original


def _take_flag(argv: list[str], name: str, what: str) -> str | None:
    """Take ``NAME VALUE`` or ``NAME=VALUE`` out of a command line; None where it is not there."""
    for place, word in enumerate(argv):
        flag, equals, value = word.partition("=")
        if flag == name:
            value = value if equals else "".join(argv[place + 1 : place + 2])
            if not value:
                raise ValueError(f"{name} is given without {what}")
            del argv[place : place + (1 if equals else 2)]
            return value
    return None


def _read(folder: RunFolder, verbs: Collection[str]) -> Original:
    try:
        config, starts = folder.load_config(), folder.starts()
    except ValueError as error:
        raise ValueError(f"{folder.path} cannot be run again: {error}") from error
    for name, content in (("config.yaml", config), ("provenance.json", starts)):
        if not content:
            raise ValueError(f"{folder.path} is not the folder of a run: it has no {name}")
    verb = next((word for word in starts[-1].command if word in verbs), None)
    if verb is None:
        raise ValueError(f"{folder.path} does not say which verb it is a run of")
    return Original(verb, folder, config, starts[-1])


def _refuse_choices(argv: list[str]) -> None:
    """Refuse a choice from a group, since values that stand for good do not follow it; only the logger is open."""
    groups = {path.name for path in config_folder().iterdir() if path.is_dir()} - {"logger", "hydra"}
    for word in argv:
        key, equals, choice = word.lstrip("+").partition("=")
        if equals and key in groups:
            raise ValueError(
                f"{key}={choice} cannot be chosen with {FLAG}, which takes single values as {key}.KEY=VALUE"
            )


def _store(name: str, verb: str, values: Mapping[str, Any]) -> None:
    """Let a config of these values be known by a name, with the settings of Hydra that the verb's own config has."""
    root: Any = OmegaConf.load(config_folder() / f"{verb}.yaml")
    choices = [dict(choice) for choice in root.defaults if OmegaConf.is_dict(choice)]
    ours: dict[str, Any] = {
        "defaults": ["_self_", *(choice for choice in choices if "hydra/" in str(*choice)), {"logger": "none"}],
        "output_root": OUTPUT_ROOT,
        "resume_anyway": False,
        "hydra": root.hydra,
    }
    ConfigStore.instance().store(name, {**values, **ours})
