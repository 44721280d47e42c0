"""The words of a command line, each read before Hydra composes a config, so that a wrong one is named and explained."""

from __future__ import annotations

import re
import shlex
from argparse import Namespace
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NoReturn, cast

from hydra._internal.utils import get_args_parser
from hydra.conf import HydraConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import ListConfig, OmegaConf

from alps_exp.config.folder import config_folder
from alps_exp.errors import one_line

MOST_JOBS = 10_000
MULTIRUN = ("-m", "--multirun")
CONFIG_FOLDER = ("--config-dir", "-cd")
KEY = re.compile(r"[~+]{0,2}[^\W\d][\w/-]*(@[\w.:-]+)?(\.[\w-]+)*")
FAILED_FUNCTION = re.compile(r"\w+ while evaluating '(?P<call>.*)': (?P<why>.*?)( Available: .*)?( See https:.*)?$")
OF_THE_LANGUAGE = {"Union[int, float]": "a number", "str is": "a text is", "NoneType": "nothing"}


def flags_first(words: Sequence[str]) -> list[str]:
    """Return the words with ``-m`` and the folder of configs before the settings, where argparse sees them."""
    flags: list[str] = []
    settings: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in MULTIRUN:
            flags = [word, *flags] if word not in flags else flags
        elif word.partition("=")[0] in CONFIG_FOLDER:
            flags += [word, *islice(rest, 0 if "=" in word else 1)]
        else:
            settings.append(word)
    return [*flags, *settings]


def settings_of(hydra: HydraConf) -> list[str]:
    """Return the settings of a command as they were typed, with interpolations as such."""
    return cast("list[str]", OmegaConf.to_container(cast("ListConfig", hydra.overrides.task)))


def export_words(words: Sequence[str]) -> list[str]:
    """Return the words behind ``alps export`` as settings: its run, and formats with commas as a list."""
    settings = list(words)
    for place, word in enumerate(words):
        before = words[place - 1] if place else ""
        of_flag = before.startswith("-") and before not in MULTIRUN
        if not word.startswith("-") and not of_flag and ("=" not in word or Path(word).is_dir()):
            settings[place] = f"run={QuotedString(word, Quote.single).with_quotes()}"
            break
    if set(MULTIRUN) & set(words):
        return settings
    return [re.sub(r"^format=(\w+(?:,\w+)+)$", r"format=[\1]", word) for word in settings]


def check_words(words: Sequence[str]) -> None:
    """Check the words behind ``alps``.

    Raises
    ------
    ValueError
        If a flag is unknown or lacks its value, a word is no setting, its value cannot be read or names several values
        without ``-m``, or a choice is no name.
    """
    given, jobs = _parsed(words), 1
    for word in given.overrides:
        override = _read(word)
        if override.is_sweep_override() and not given.multirun:
            raise ValueError(_several(override))
        jobs *= max(_count(override), 1)
        if jobs > MOST_JOBS:
            raise ValueError(f"this is a sweep of more than {MOST_JOBS:,} jobs")
        _check_choice(override)


def _parsed(words: Sequence[str]) -> Namespace:
    parser = get_args_parser()
    parser.error = _refuse_flag  # type: ignore[method-assign]
    parsed: Namespace = parser.parse_args(words)
    return parsed


def _refuse_flag(message: str) -> NoReturn:
    if (unknown := re.match(r"unrecognized arguments: (\S+)", message)) is None:
        raise ValueError(message.removeprefix("argument "))
    flag = unknown[1]
    name, _, value = flag.lstrip("-").partition("=")
    raise ValueError(f"unknown flag {flag}: settings have no dashes, as {name.replace('-', '_')}={value or 'VALUE'}")


def _read(word: str) -> Override:
    key, equals, value = word.partition("=")
    if not equals and not word.startswith("~"):
        raise ValueError(f"{word!r} is no setting: expected KEY=VALUE")
    if not KEY.fullmatch(key):
        raise ValueError(f"{key!r} in {word!r} is no key: expected KEY=VALUE, in which KEY is names joined by dots")
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException as error:
        if (failed := FAILED_FUNCTION.search(one_line(error))) is not None:
            why = failed["why"]
            for theirs, ours in OF_THE_LANGUAGE.items():
                why = why.replace(theirs, ours)
            raise ValueError(f"{key}: {failed['call']} cannot be evaluated: {why}") from error
        raise ValueError(
            f"the value of {word} cannot be read: close brackets and quotes, and quote a text with special characters"
            f" twice, for the shell and for this command, as {_quoted(key, value)}"
        ) from error


def _quoted(key: str, value: str) -> str:
    """Return a setting whose value is a text, quoted for Hydra and for the shell."""
    if "'" not in value:
        return shlex.quote(f"{key}='{value}'") if "'" in key or set(value) & set('"$`\\!') else f"\"{key}='{value}'\""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return shlex.quote(f'{key}="{escaped}"')


def _several(override: Override) -> str:
    """Return the sentence on a setting with several values in a single job."""
    key, _, value = str(override.input_line).partition("=")
    listed = "" if "(" in value else f", write {key}=[{value}] for a list, or {_quoted(key, value)} for a text"
    return f"{override.input_line} gives several values to {key}: add -m to run a job with each{listed}"


def _count(override: Override) -> int:
    """Return how many values a setting has, at most one more than `MOST_JOBS`.

    Raises
    ------
    ValueError
        If they cannot be listed, as those of a range with steps of 0.
    """
    if override.is_discrete_sweep() and not isinstance(override.value(), Glob):  # whose choices Hydra knows
        try:
            values = sum(1 for _ in islice(override.sweep_string_iterator(), MOST_JOBS + 1))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{override.input_line} cannot be evaluated: {error}") from error
        return values
    return 1


def _check_choice(override: Override) -> None:
    """Raise ValueError if the choice from a config group is no name, nor a list of names."""
    group = override.key_or_group
    if override.is_delete() or override.is_sweep_override() or not (config_folder() / group).is_dir():
        return
    value = override.value()
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str | QuotedString) for name in names):
        known = sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))
        example = f", as {group}={known[0]}" if known else ""
        raise ValueError(f"{override.input_line} is no choice of {group}: expected a name{example}")
