"""How the networks of a prior are evaluated: in which precision, and whether compiled."""

from __future__ import annotations

from alps_exp.networks.preconditioning import Precision, Preconditioned
from alps_exp.priors.base import Prior
from alps_exp.priors.null import NullPrior


def set_execution(prior: Prior, precision: Precision = "float32", compile: bool = False) -> None:
    """Set how the networks of a prior are evaluated from now on.

    Parameters
    ----------
    prior
        A prior with networks; those of a composed energy are set one and all.
    precision
        ``bf16``: the network F inside the preconditioning, and its vector-Jacobian product, under autocast to bfloat16.
        Images, operator and sampler stay in float32. It changes results.
    compile
        Whether `torch.compile` makes the evaluations that a sampler repeats, for each shape anew, which takes minutes
        on a CPU. It changes rounding alone. Second derivatives of an energy, which it cannot make, stay as they are.

    Raises
    ------
    ValueError
        If there is another precision than float32 for a prior without a network.

    Examples
    --------
    >>> from alps_exp.priors import load_energy
    >>> energy = load_energy("brain64")
    >>> set_execution(energy, precision="bf16")
    >>> precision_of(energy)
    'bf16'
    """
    networks = _networks(prior)
    if precision != "float32" and not networks and not isinstance(prior, NullPrior):
        raise ValueError(f"precision is {precision}, and a {type(prior).__name__} has no network to evaluate in it")
    for network in networks:
        network.precision = precision
        if compile:
            network.compile(dynamic=False)


def precision_of(prior: Prior) -> Precision:
    """Return the precision in which the networks of a prior are evaluated: ``bf16`` if it is that of any."""
    return "bf16" if any(network.precision == "bf16" for network in _networks(prior)) else "float32"


def _networks(prior: Prior) -> list[Preconditioned]:
    return [module for module in prior.modules() if isinstance(module, Preconditioned)]
