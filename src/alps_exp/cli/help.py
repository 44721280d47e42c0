"""`alps VERB --help`: what a verb does, examples, its groups with their choices, and a line on each of its keys."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, cast

from hydra._internal.config_repository import ConfigRepository
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.hydra import Hydra
from hydra.core.default_element import ConfigDefault, GroupDefault
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from alps_exp.cli.dry_run import KEYS
from alps_exp.cli.verbs import VERBS
from alps_exp.config.arguments import HYDRA_KEYS
from alps_exp.config.docstrings import examples, parameters, summary

COLUMNS = 100  # where there is no terminal
WIDEST_SETTING, WIDEST_VALUE = 50, 24
SHORTEST = 20  # characters of a description
OURS = (
    "hydra",
    "main",
    "schema",
)  # Hydra's names for where configs come from, besides folders and packages of the user


UNSAID = {
    "alps_exp.lightning.loggers.wandb_logger": {"job_type": "Kind of the run", "notes": "A text on the run"},
    "pytorch_lightning.callbacks.EMAWeightAveraging": {"decay": "Decay of the average per step"},
}
"""What docstrings leave out since an argument goes through to another package, by target and parameter."""


class Key(NamedTuple):
    """A key of a config: its full name, its default, and what its docstring says."""

    name: str
    default: object
    description: str


@contextmanager
def own_help() -> Iterator[None]:
    """Let ``--help`` show the help of this module in place of Hydra's."""
    before = Hydra.app_help
    Hydra.app_help = _show  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        Hydra.app_help = before  # type: ignore[method-assign]


def _show(hydra: Hydra, config_name: str | None, args_parser: ArgumentParser, args: Namespace) -> None:
    mode = RunMode.MULTIRUN if args.multirun else RunMode.RUN
    config = hydra.compose_config(config_name=config_name, overrides=args.overrides, run_mode=mode)
    HydraConfig.instance().set_config(config)
    try:
        print(help_of(config), flush=True)
    except BrokenPipeError:  # of one who has seen enough, as `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def help_of(config: DictConfig) -> str:
    """Return the help of the verb of a composed config."""
    verb, width = config.hydra.job.name, shutil.get_terminal_size((COLUMNS, 0)).columns
    groups = groups_of(config)
    blocks = [
        f"alps {verb} KEY=VALUE ...: {VERBS[verb]}",
        "\n".join(["Examples", *(f"  {line}" for line in examples(_function(verb)))]),
        _groups_block(groups, config.hydra.runtime.choices, width),
        *_key_blocks(config, width),
        (f"alps {verb} GROUP=CHOICE --help shows the keys of a choice.\n" if groups else "")
        + "--cfg job shows the config as YAML, --hydra-help the flags of Hydra.\n"
        "-m runs a job for each combination of values, as KEY=A,B; hydra/launcher=slurm on a cluster.",
    ]
    return "\n\n".join(block for block in blocks if block)


def groups_of(config: DictConfig) -> dict[str, list[str]]:
    """Return the choices from each config group that a verb takes, and from those that only the user's configs have."""
    repository = _repository(config)
    root = repository.load_config(config.hydra.job.config_name)
    assert root is not None and root.defaults_list is not None
    listed = [_name(one) for one in root.defaults_list if isinstance(one, GroupDefault) and not one.override]
    # A choice may have groups of its own, as the coil maps of data=kspace_example.
    groups = [name for name in dict.fromkeys([*listed, *config.hydra.runtime.choices]) if not name.startswith("hydra/")]
    found = {group: repository.get_group_options(group.partition("@")[0], ObjectType.CONFIG) for group in groups}
    if "experiment" in found:
        found["experiment"] = [name for name in found["experiment"] if _is_for(name, groups, config, repository)]
    added = sorted(_top_groups(repository, of_user=True) - _top_groups(repository, of_user=False))
    return found | {f"+{name}": repository.get_group_options(name, ObjectType.CONFIG) for name in added}


def _repository(config: DictConfig) -> ConfigRepository:
    """Return all configs that a composed config could be made of."""
    path = ConfigSearchPathImpl()
    for source in config.hydra.runtime.config_sources:
        path.append(source.provider, f"{source.schema}://{source.path}")
    return ConfigRepository(path)


def _top_groups(repository: ConfigRepository, of_user: bool) -> set[str]:
    """Return the names of the groups in the folders and packages of configs that the user adds, or in the others."""
    sources = [source for source in repository.get_sources() if (source.provider not in OURS) is of_user]
    return {name for source in sources if source.available() for name in source.list("", ObjectType.GROUP)}


def _is_for(experiment: str, groups: Iterable[str], config: DictConfig, repository: ConfigRepository) -> bool:
    """Return whether an experiment chooses from groups of the verb and sets keys of the verb alone."""
    found = repository.load_config(f"experiment/{experiment}")
    if found is None:
        return False
    for default in found.defaults_list or ():
        if isinstance(default, GroupDefault) and default.override:
            if _name(default) not in groups:
                return False
        elif isinstance(default, ConfigDefault) and not default.is_self() and not str(default.path).startswith("/"):
            if not _is_for(str(default.path), groups, config, repository):
                return False
    return set(found.config) <= set(config)


def _name(default: GroupDefault) -> str:
    """Return the name by which one chooses from a group of a defaults list."""
    return str(default.group).lstrip("/") + (f"@{default.package}" if default.package else "")


def keys_of(config: DictConfig) -> list[Key]:
    """Return every key of a composed config, without those of Hydra itself."""
    values = cast("dict[str, object]", OmegaConf.to_container(config))
    del values["hydra"]
    return [*_keys(values, parameters(_function(config.hydra.job.name)) | KEYS, "")]


def _keys(values: Mapping[str, object], described: Mapping[str, str], path: str) -> Iterator[Key]:
    for key, value in values.items():
        if key in HYDRA_KEYS:
            continue
        if isinstance(value, dict) and isinstance(target := value.get("_target_"), str):
            yield from _keys(value, UNSAID.get(target, {}) | parameters(target), f"{path}{key}.")
        elif isinstance(value, dict) and any(isinstance(one, dict) and "_target_" in one for one in value.values()):
            yield from _keys(value, {}, f"{path}{key}.")  # objects by name
        else:
            yield Key(f"{path}{key}", value, described.get(key, ""))


def _function(verb: str) -> str:
    return f"alps_exp.cli.{verb}.{verb}"


def _groups_block(groups: Mapping[str, list[str]], choices: Mapping[str, object], width: int) -> str:
    if not groups:
        return ""
    # Of a group from which several are chosen, as callbacks=[ema,lr_monitor], Hydra does not say which.
    settings = {group: f"{group}={_typed(choices[group]) if group in choices else '...'}" for group in groups}
    left = max(map(len, settings.values()))
    rows = [
        textwrap.fill(
            f"  {settings[group]:{left}}  {', '.join(names)}",
            width,
            subsequent_indent=" " * (left + 4),
            break_on_hyphens=False,
        )
        for group, names in groups.items()
    ]
    return "\n".join(["Groups, with the choice that is made and those that there are", *rows])


def _key_blocks(config: DictConfig, width: int) -> Iterator[str]:
    """Yield the keys of the verb, then those below each of its keys, a line each."""
    sections: dict[str, list[Key]] = {"": []}
    for key in keys_of(config):
        section, dot, _ = key.name.partition(".")
        sections.setdefault(section if dot else "", []).append(key)
    for section, its in sections.items():
        settings = [_cut(f"{key.name}={_cut(_typed(key.default), WIDEST_VALUE)}", WIDEST_SETTING) for key in its]
        left = max(map(len, settings))
        rows = [
            f"  {setting:{left}}  {_clauses(key.description, width - left - 4)}".rstrip()
            for setting, key in zip(settings, its, strict=True)
        ]
        yield "\n".join([_title(section, config, width) if section else "Keys, with their defaults", *rows])


def _title(section: str, config: DictConfig, width: int) -> str:
    """Return the title of the keys below a key: what is chosen for it, and what that is."""
    choices, target = config.hydra.runtime.choices, config[section].get("_target_")
    title = f"{section}={_typed(choices[section])}" if section in choices else section
    described = summary(target) if target else ""
    return f"{title}: {_clauses(described, width - len(title) - 2)}" if described else title


def _typed(value: object) -> str:
    """Return a value as one types it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_typed(one)}" for key, one in value.items()) + "}"
    return "[" + ",".join(map(_typed, value)) + "]" if isinstance(value, list) else str(value)


def _clauses(text: str, width: int) -> str:
    """Return the first clauses of a sentence, as many as there is room for."""
    if len(text) <= width:
        return text
    ends = [found.start() for found in re.finditer(r" (?=\()|[;:] ", text[: width + 1])]
    whole = [text[:end] for end in ends if text[:end].count("(") == text[:end].count(")")]
    return whole[-1] if whole and len(whole[-1]) >= SHORTEST else textwrap.shorten(text, width, placeholder=" ...")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."
