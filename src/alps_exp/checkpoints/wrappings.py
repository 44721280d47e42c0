"""Finds weights in what a file holds: nested, averaged, compiled or wrapped, and those of one of several networks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from alps_exp.errors import one_line

Found = dict[str, Tensor] | list[Tensor]
WRAPPERS = re.compile(r"(?<![^.])(_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)\.")
AVERAGED = re.compile(r"(?<![a-z])(ema|avg)(?![a-z])|averag|shadow", re.IGNORECASE)
PLAIN = (int, float, str, bool, type(None))
DEPTH = 3
MOST_CHOICES = 10
LONGEST_NAME = 200
"""Characters of a name or key; longer ones, which no network has, are cut off."""


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
            elif isinstance(value, Mapping):
                inner = [(f"{path}.{_name(name)}" if path else _name(name), item) for name, item in value.items()]
                below += [(name, item) for name, item in inner if id(item) not in seen]
                seen.update(id(item) for _, item in inner)
        level = below
    return found


def _weights(content: object) -> Found | None:
    """Return tensors by name, among which there may be plain values, or a list of tensors; None if it is neither."""
    if isinstance(content, list) and content and all(isinstance(value, Tensor) for value in content):
        return list(map(_whole, content))
    if not isinstance(content, Mapping) or not all(isinstance(value, (Tensor, *PLAIN)) for value in content.values()):
        return None
    tensors = {str(name): _whole(value) for name, value in content.items() if isinstance(value, Tensor)}
    return {_name(WRAPPERS.sub("", name)): value for name, value in tensors.items()} or None


def _name(name: object) -> str:
    """Return a name of the file as it can be shown."""
    return one_line(str(name), LONGEST_NAME)


def _whole(tensor: Tensor) -> Tensor:
    if tensor.numel() > tensor.untyped_storage().nbytes() // tensor.element_size():
        raise ValueError(f"a tensor of shape {tuple(tensor.shape)} has more elements than the file")
    return tensor


def load_found(
    network: nn.Module, found: Mapping[str, Found], key: str | None = None, prefix: str | None = None
) -> dict[str, str]:
    """Load the weights that have the names of the network, after a prefix, or its number of tensors in a list.

    Of weights under several keys the averaged ones are taken, which are the ones to sample with.

    Parameters
    ----------
    network
        The network.
    found
        What `state_dicts` found.
    key, prefix
        Which of them, where there are several.

    Returns
    -------
    dict[str, str]
        ``key`` and ``prefix`` of the weights, as far as there was a choice.

    Raises
    ------
    ValueError
        If nothing fits, several networks do, a tensor of another name has the prefix, or a shape differs.
    """
    names = list(network.state_dict())
    fitting = {at: prefixes for at, tensors in found.items() if (prefixes := _prefixes(network, tensors))}
    if key is not None and key not in fitting:
        raise ValueError(f"no such weights under key={key}: {_listed(fitting or found, 'key')}")
    if not fitting:
        if missing := _missing(names, found):
            raise ValueError(
                f"{_some_names(missing)} of the architecture {'is' if len(missing) == 1 else 'are'} missing"
            )
        raise ValueError(f"the tensors of the architecture ({names[0]}, ...) are not among {_some(found)}")
    chosen = key if key is not None else next(filter(AVERAGED.search, fitting), next(iter(fitting)))
    prefixes = fitting[chosen]
    if prefix is not None and prefix not in prefixes:
        raise ValueError(f"no network after prefix={prefix}: {_listed(prefixes, 'prefix')}")
    averaged = list(filter(AVERAGED.search, prefixes))
    if prefix is None and len(prefixes) > 1 and len(averaged) != 1:
        raise ValueError(f"the file holds {len(prefixes)} networks: {_listed(prefixes, 'prefix')}")
    start = prefix if prefix is not None else (averaged or prefixes)[0]
    try:
        network.load_state_dict(_named(network, found[chosen], start, prefixes))
    except RuntimeError as error:
        raise ValueError(one_line(error)) from error
    told = {"key": f"{chosen} ({_listed(fitting, 'key')})"} if len(fitting) > 1 else {}
    return told | ({"prefix": f"{start} ({_listed(prefixes, 'prefix')})"} if len(prefixes) > 1 else {})


def _prefixes(network: nn.Module, tensors: Found) -> list[str]:
    """Return the prefixes after which tensors have the names of all parameters; of a list "" if it is as long."""
    names = [name for name, _ in network.named_parameters()]
    if isinstance(tensors, list):
        return [""] if len(tensors) in (len(names), len(network.state_dict())) else []
    starts = [name.removesuffix(names[0]) for name in tensors if name.endswith(names[0])]
    return [start for start in starts if all(start + name in tensors for name in names)]


def _missing(names: Sequence[str], found: Mapping[str, Found]) -> list[str]:
    """Return what lacks of an architecture in weights that have most of its names, after any prefix; else nothing."""
    lacking = []
    for tensors in found.values():
        given = tensors if isinstance(tensors, dict) else {}
        starts = {name.removesuffix(one) for one in (names[0], names[-1]) for name in given if name.endswith(one)}
        lacking += [[name for name in names if start + name not in given] for start in starts]
    fewest = min(lacking, key=len, default=list(names))
    return fewest if len(fewest) < len(names) / 2 else []


def _named(network: nn.Module, tensors: Found, prefix: str, prefixes: Sequence[str]) -> dict[str, Tensor]:
    """Return the tensors under the names of the network.

    Averages are of parameters alone; buffers are constants of the architecture.
    """
    state = network.state_dict()
    if isinstance(tensors, list):
        parameters = [name for name, _ in network.named_parameters()]
        names = parameters if len(tensors) == len(parameters) else list(state)
        return state | {name: value for name, value in zip(names, tensors, strict=True)}
    others = tuple(other for other in prefixes if other.startswith(prefix) and other != prefix)
    mine = {name: value for name, value in tensors.items() if name.startswith(prefix) and not name.startswith(others)}
    return state | {name.removeprefix(prefix): value for name, value in mine.items()}


def _listed(names: Mapping[str, object] | list[str], option: str) -> str:
    first = " or ".join(f"{option}={name or repr(name)}" for name in list(names)[:MOST_CHOICES])
    return f"choose {first}" + (f" or one of {len(names) - MOST_CHOICES} more" if len(names) > MOST_CHOICES else "")


def _some(found: Mapping[str, Found]) -> str:
    return _some_names([name for tensors in found.values() for name in (tensors if isinstance(tensors, dict) else [])])


def _some_names(names: Sequence[str]) -> str:
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
