"""Finds weights in what a file holds: nested, averaged, compiled or wrapped, and those of one of several networks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from torch import Tensor, nn

from alps_exp.checkpoints.loading import COMPUTED, Misfit, load_weights, missing_text, needed_names
from alps_exp.checkpoints.other_files import what_network
from alps_exp.errors import listed, one_line

State = dict[str, Tensor]
Found = State | list[Tensor]
WRAPPERS = re.compile(
    r"(?<![^.])(_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module|_fpw_module|_forward_module|module)\."
)
"""What compilation, checkpointing of activations, sharding and data parallelism put into names."""
AVERAGED = re.compile(r"(?<![a-z])(emas?|avg)(?![a-z])|averag|shadow", re.IGNORECASE)
DEPTH = 3
MOST_CHOICES = 10
LONGEST_NAME = 200
"""Characters of a name or key; longer ones, which no network has, are cut off."""


@dataclass(frozen=True)
class Choice:
    """Which of several weights in a file a request wants; None leaves it to the file.

    Parameters
    ----------
    key, prefix
        Key of the weights, and prefix of their names.
    place
        What stands before the names of these settings where the request is written, as ``teacher.``.
    """

    key: str | None = None
    prefix: str | None = None
    place: str = ""


DEFAULT = Choice()


def state_dicts(content: object) -> dict[str, Found]:
    """Return what may be weights, by the dotted key under which it is: tensors by name, or a list of tensors.

    Raises
    ------
    ValueError
        If a tensor claims more elements than the file has.
    """
    found: dict[str, Found] = {}
    level, seen = [("", content)], {id(content)}
    for _ in range(DEPTH + 1):
        below = []
        for path, value in level:
            if (weights := _weights(value)) is not None:
                found[path] = weights
            if _is_optimizer(value):
                continue
            inner = [(f"{path}.{name}" if path else name, item) for name, item in _items(value) if id(item) not in seen]
            below += inner
            seen.update(id(item) for _, item in inner)
        level = below
    return found


def _items(content: object) -> Iterator[tuple[str, object]]:
    """Yield the containers in a container by their names, which are numbers in a list."""
    named = content.items() if isinstance(content, Mapping) else enumerate(content if _is_list(content) else [])
    yield from ((_name(name), item) for name, item in named if isinstance(item, Mapping) or _is_list(item))


def _is_list(content: object) -> TypeGuard[Sequence[object]]:
    return isinstance(content, list | tuple)


def _is_optimizer(content: object) -> bool:
    """Return whether something is the state of an optimizer, whose averages are not those of weights."""
    return isinstance(content, Mapping) and {"state", "param_groups"} <= content.keys()


def _weights(content: object) -> Found | None:
    """Return tensors by name, among which there may be other things, or a list of tensors; None if it is neither."""
    if isinstance(content, list | tuple) and content and all(isinstance(value, Tensor) for value in content):
        return list(map(_whole, content))
    if not isinstance(content, Mapping):
        return None
    tensors = {_name(name): _whole(value) for name, value in content.items() if isinstance(value, Tensor)}
    unwrapped = {WRAPPERS.sub("", name): value for name, value in tensors.items()}
    return _with_dots(unwrapped if len(unwrapped) == len(tensors) else tensors) or None


def _with_dots(tensors: State) -> State:
    """Return tensors with the dots that the averages of latent diffusion's code (LitEma) drop from the names beside."""
    trained = [name.removeprefix("model.") for name in tensors if name.startswith("model.")]
    averaged = {f"model_ema.{name.replace('.', '')}": f"model_ema.{name}" for name in trained}
    return {averaged.get(name, name): value for name, value in tensors.items()}


def _name(name: object) -> str:
    """Return a name of the file as it can be shown."""
    return one_line(str(name), LONGEST_NAME)


def _whole(tensor: Tensor) -> Tensor:
    if tensor.numel() > tensor.untyped_storage().nbytes() // tensor.element_size():
        raise ValueError(f"a tensor of shape {tuple(tensor.shape)} has more elements than the file")
    return tensor


def load_found(network: nn.Module, found: Mapping[str, Found], choice: Choice = DEFAULT) -> dict[str, str]:
    """Load the weights that have the names of the network after a prefix, or are as many in a list.

    Of weights under several keys the averaged ones are taken, which are the ones to sample with.

    Parameters
    ----------
    network
        The network.
    found
        What `state_dicts` found.
    choice
        Which of them, where there are several.

    Returns
    -------
    dict[str, str]
        ``key`` and ``prefix`` of the weights, as far as there was a choice, with the others.

    Raises
    ------
    ValueError
        If nothing fits (`Misfit`), several networks do, or the choice is not among them.
    """
    named, needed = _with_names(network, found), needed_names(network)
    fitting = {key: prefixes for key, tensors in named.items() if (prefixes := _prefixes(needed, tensors))}
    if choice.key is not None and choice.key not in found:
        raise ValueError(f"no weights under key={choice.key}: {_listed(fitting or found, f'{choice.place}key')}")
    key = choice.key if choice.key is not None else _best(fitting)
    if key is None or key not in fitting:
        raise _misfit(needed, found if key is None else {key: found[key]}, named)
    prefixes = fitting[key]
    prefix = _one_prefix(prefixes, choice)
    load_weights(network, _after(prefix, named[key], prefixes), prefix)
    told = {}
    if len(fitting) > 1:
        told["key"] = f"{key or repr(key)} ({_listed(fitting, f'{choice.place}key')})"
    unfit = [at for at, one in found.items() if at not in fitting and len(one) > len(needed) / 2]
    if (averages := list(filter(AVERAGED.search, unfit))) and not AVERAGED.search(key):
        told["key"] = f"{key or repr(key)}, since those under {averages[0]} do not fit the architecture"
    if len(prefixes) > 1:
        told["prefix"] = f"{prefix or repr(prefix)} ({_listed(prefixes, f'{choice.place}prefix')})"
    return told


def _one_prefix(prefixes: Sequence[str], choice: Choice) -> str:
    """Return the prefix that is chosen, or the only one, or the only one of averaged weights."""
    options = _listed(prefixes, f"{choice.place}prefix")
    if choice.prefix is not None:
        if choice.prefix not in prefixes:
            raise ValueError(f"no network after prefix={choice.prefix}: {options}")
        return choice.prefix
    best = prefixes if len(prefixes) == 1 else list(filter(AVERAGED.search, prefixes))
    if len(best) != 1:
        raise ValueError(f"the file holds {len(prefixes)} networks: {options}")
    return best[0]


def _with_names(network: nn.Module, found: Mapping[str, Found]) -> dict[str, State]:
    """Return the weights with names, which lists have from the weights beside them, or from the network.

    Averages are of the parameters alone, in their order; what else a network has is taken from beside them.
    """
    needed, parameters = needed_names(network), {name for name, _ in network.named_parameters()}
    named = {key: tensors for key, tensors in found.items() if isinstance(tensors, dict)}
    beside: State = next((_after(at[0], one, at) for one in named.values() if (at := _prefixes(needed, one))), {})
    order = [name for name in beside or network.state_dict() if name in parameters]
    fixed = {name: value for name, value in beside.items() if name in needed and name not in parameters}
    for key, tensors in found.items():
        if isinstance(tensors, list):
            names = order if len(tensors) == len(order) else list(network.state_dict())
            if len(tensors) == len(names):
                named[key] = fixed | dict(zip(names, tensors, strict=True))
    return {key: named[key] for key in found if key in named}


def _prefixes(needed: Sequence[str], tensors: State) -> list[str]:
    """Return the prefixes after which tensors have all names."""
    starts = [name.removesuffix(needed[0]) for name in tensors if name.endswith(needed[0])]
    return [start for start in starts if all(start + name in tensors for name in needed)]


def _best(keys: Collection[str]) -> str | None:
    """Return the first key of averaged weights, or else the first one; None if there is none."""
    return next(filter(AVERAGED.search, keys), next(iter(keys), None))


def _after(prefix: str, tensors: State, prefixes: Sequence[str]) -> State:
    """Return the tensors of the network after one of the prefixes of a file, under their own names."""
    others = tuple(other for other in prefixes if other.startswith(prefix) and other != prefix)
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix) and not name.startswith(others)
    }


def _misfit(needed: Sequence[str], found: Mapping[str, Found], named: Mapping[str, State]) -> ValueError:
    """Return the error of weights of which none fit: what the most similar ones lack, or what they are."""
    known, similar = set(needed), Counter[tuple[str, str]]()
    for key in found:
        for name in named.get(key, {}):
            parts = name.split(".")
            ends = (".".join(parts[first:]) for first in range(len(parts)))
            similar.update((key, name.removesuffix(end)) for end in ends if end in known)
    if not similar:
        told = what_network(name for key in found for name in named.get(key, {}))
        text = f"none of the tensors of the architecture ({needed[0]}, ...) is there, but {_some(found)}"
        return ValueError(f"{text}; this is {told}") if told else Misfit(text)
    (key, prefix), _ = similar.most_common(1)[0]
    given = _after(prefix, named[key], [prefix])
    text = missing_text([prefix + name for name in needed if name not in given], len(needed))
    others = [prefix + name for name in given if name not in known and name.rpartition(".")[2] not in COMPUTED]
    return Misfit(f"{text}; not of the architecture: {listed(others)}" if others else text)


def _listed(names: Collection[str], option: str) -> str:
    """Return the names as choices of an option."""
    first = " or ".join(f"{option}={name or repr(name)}" for name in list(names)[:MOST_CHOICES])
    return f"choose {first}" + (f" or one of {len(names) - MOST_CHOICES} more" if len(names) > MOST_CHOICES else "")


def _some(found: Mapping[str, Found]) -> str:
    """Return what is in the first weights of a file, for readers."""
    return "; ".join(
        listed(list(tensors)) if isinstance(tensors, dict) else f"a list of {len(tensors)} tensors"
        for tensors in list(found.values())[:2]
    )
