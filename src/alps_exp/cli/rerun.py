"""`alps VERB --from RUN`: repeat the run of a run folder in a new folder, and report the differences."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from alps_exp.config.folder import config_folder
from alps_exp.config.trust import check_trust
from alps_exp.runs import RunFolder
from alps_exp.runs.original import Original
from alps_exp.runs.run_hash import only_watches

FLAG, TRUST = "--from", "--trust"
OUTPUT_ROOT = "outputs/again"
NOT_TAKEN_OVER = ("defaults", "hydra", "logger")
"""Keys of the config that are not taken over: they control composition, output folder and logging."""


def original_of(argv: list[str], verb: str, verbs: Collection[str]) -> Original | None:
    """Remove ``--from RUN`` from a command line, and make the line use a config with the values of RUN.

    These are the values in RUN's `config.yaml`, regardless of today's defaults, except that nothing is logged, no
    callback only watches, and the output root is `OUTPUT_ROOT`. Overrides on the command line are applied on top. The
    config may come from someone else, so its targets must pass `check_trust`, with the packages of ``--trust
    PACKAGE[,PACKAGE]``.

    Parameters
    ----------
    argv
        The command line with ``--config-name VERB``; modified in place.
    verb, verbs
        The verb of the command line, and all verbs.

    Returns
    -------
    Original or None
        None if the command line has no ``--from``.

    Raises
    ------
    ValueError
        If RUN is not a run folder of this verb, its config names a target that is not trusted, or an override selects
        from a config group.
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
    if isinstance(callbacks := values.get("callbacks"), dict):
        values["callbacks"] = {name: one for name, one in callbacks.items() if not only_watches(one)}
    check_trust(values, trusted.split(",") if trusted else [], str(original.folder.path / "config.yaml"))
    place = argv.index("--config-name") + 1
    argv[place] = f"{verb}_again"
    _store(argv[place], verb, values)
    return original


def _take_flag(argv: list[str], name: str, what: str) -> str | None:
    """Remove ``NAME VALUE`` or ``NAME=VALUE`` from a command line and return the value; None if it is absent."""
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
    """Refuse choices from config groups other than the logger: the values are fixed and would not follow the choice."""
    groups = {path.name for path in config_folder().iterdir() if path.is_dir()} - {"logger", "hydra"}
    for word in argv:
        key, equals, choice = word.lstrip("+").partition("=")
        if equals and key in groups:
            raise ValueError(
                f"{key}={choice} cannot be chosen with {FLAG}, which takes single values as {key}.KEY=VALUE"
            )


def _store(name: str, verb: str, values: Mapping[str, object]) -> None:
    """Register a config with these values under a name, with the Hydra settings of the verb's own config."""
    root = OmegaConf.load(config_folder() / f"{verb}.yaml")
    assert isinstance(root, DictConfig)
    choices = [dict(choice) for choice in root.defaults if OmegaConf.is_dict(choice)]
    ours = {
        "defaults": ["_self_", *(choice for choice in choices if "hydra/" in str(*choice)), {"logger": "none"}],
        "output_root": OUTPUT_ROOT,
        "resume_anyway": False,
        "verbose": False,
        "hydra": root.hydra,
    }
    ConfigStore.instance().store(name, {**values, **ours})
