"""Finds weights in what a file holds: nested, averaged, compiled or wrapped, and those of one of several networks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from alps_exp.errors import one_line

Found = dict[str, Tensor] | list[Tensor]
WRAPPERS = re.compile(r"(?<![^.])(_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)\.")
AVERAGED = re.compile(r"ema|averag|shadow", re.IGNORECASE)
DEPTH = 3


def state_dicts(content: object, path: str = "", depth: int = DEPTH) -> Iterator[tuple[str, Found]]:
    """Yield what may be weights, by the dotted key under which it is: tensors by name, or a list of tensors."""
    if isinstance(content, Mapping) and content:
        names, values = list(content), list(content.values())
        if all(isinstance(name, str) for name in names) and all(isinstance(value, Tensor) for value in values):
            yield path, {WRAPPERS.sub("", name): value for name, value in content.items()}
        elif depth:
            for name, value in content.items():
                yield from state_dicts(value, f"{path}.{name}" if path else str(name), depth - 1)
    elif isinstance(content, list) and content and all(isinstance(value, Tensor) for value in content):
        yield path, content


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
        raise ValueError(f"the tensors of the architecture ({names[0]}, ...) are not among {_some(found)}")
    chosen = key if key is not None else next(filter(AVERAGED.search, fitting), next(iter(fitting)))
    prefixes = fitting[chosen]
    if prefix is not None and prefix not in prefixes:
        raise ValueError(f"no network after prefix={prefix}: {_listed(prefixes, 'prefix')}")
    if prefix is None and len(prefixes) > 1:
        raise ValueError(f"the file holds {len(prefixes)} networks: {_listed(prefixes, 'prefix')}")
    first = prefixes[0] if prefix is None else prefix
    try:
        network.load_state_dict(_named(network, found[chosen], first))
    except RuntimeError as error:
        raise ValueError(one_line(error)) from error
    told = {"key": f"{chosen} ({_listed(fitting, 'key')})"} if len(fitting) > 1 else {}
    return told | ({"prefix": f"{first} ({_listed(prefixes, 'prefix')})"} if len(prefixes) > 1 else {})


def _prefixes(network: nn.Module, tensors: Found) -> list[str]:
    """Return the prefixes after which tensors have all the names of the network; of a list "" if it is as long."""
    names, parameters = list(network.state_dict()), list(network.named_parameters())
    if isinstance(tensors, list):
        return [""] if len(tensors) in (len(names), len(parameters)) else []
    starts = [name.removesuffix(names[0]) for name in tensors if name.endswith(names[0])]
    return [start for start in starts if all(start + name in tensors for name in names)]


def _named(network: nn.Module, tensors: Found, prefix: str) -> dict[str, Tensor]:
    """Return the tensors under the names of the network, in single precision."""
    if isinstance(tensors, list):
        state = network.state_dict()
        parameters = [name for name, _ in network.named_parameters()]
        names = parameters if len(tensors) == len(parameters) else list(state)
        # Averages are of parameters alone; buffers are constants of the architecture.
        return state | {name: value.float() for name, value in zip(names, tensors, strict=True)}
    return {key.removeprefix(prefix): value.float() for key, value in tensors.items() if key.startswith(prefix)}


def _listed(names: Mapping[str, object] | list[str], option: str) -> str:
    return "choose " + " or ".join(f"{option}={name}" for name in names)


def _some(found: Mapping[str, Found]) -> str:
    names = [name for tensors in found.values() for name in (tensors if isinstance(tensors, dict) else [])]
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
