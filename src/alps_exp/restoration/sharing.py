"""Several processes that share the samples of each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from alps_exp.estimates import Estimates

SAMPLING_ERRORS = (ArithmeticError, RuntimeError)
"""Errors that a sampler may raise for one image, which fails alone."""


class Draw(Protocol):
    """Draws some of the samples of a batch."""

    def __call__(self, num_samples: int, /, *, first_sample: int = 0) -> Estimates:
        """Return `num_samples` samples, from the index `first_sample` on."""


def draw_shared(draw: Draw, num_samples: int, device: torch.device) -> Estimates:
    """Let every process draw its share of the samples, and return the estimates from all of them in every process.

    Parameters
    ----------
    draw
        Draws some of the samples.
    num_samples
        Number of samples over all processes.
    device
        Device of the result.

    Raises
    ------
    RuntimeError
        In every process, if drawing fails in any of them.
    """
    rank, size = dist.get_rank(), dist.get_world_size()
    first, end = num_samples * rank // size, num_samples * (rank + 1) // size
    share: Estimates | str | None = None
    try:
        if end > first:
            share = _on_device(draw(end - first, first_sample=first), torch.device("cpu"))
    except SAMPLING_ERRORS as error:
        share = f"{type(error).__name__}: {error}"
    shares: list[Estimates | str | None] = [None] * size
    dist.all_gather_object(shares, share)
    if reasons := [share for share in shares if isinstance(share, str)]:
        raise RuntimeError(reasons[0])
    return _on_device(_joined([share for share in shares if isinstance(share, Estimates)], num_samples), device)


def gather_reasons(reasons: dict[str, str]) -> dict[str, str]:
    """Return the reasons that any process has, by image id, in every process."""
    of_all: list[dict[str, str]] = [{}] * dist.get_world_size()
    dist.all_gather_object(of_all, reasons)
    return {image_id: reason for of_one in of_all for image_id, reason in of_one.items()}


def _joined(shares: Sequence[Estimates], num_samples: int) -> Estimates:
    def mean(calls: Sequence[Tensor]) -> Tensor:
        weighted = [of_share * len(share.samples) for of_share, share in zip(calls, shares, strict=True)]
        return torch.stack(weighted).sum(0) / num_samples

    noiseless = [share.noiseless for share in shares if share.noiseless is not None]
    return Estimates(
        torch.cat([share.samples for share in shares]),
        mean([share.nfe_forward for share in shares]),
        mean([share.nfe_vjp for share in shares]),
        {name: torch.cat([share.diagnostics[name] for share in shares]) for name in shares[0].diagnostics},
        shares[0].antithetic,
        noiseless=torch.cat(noiseless) if noiseless else None,
    )


def _on_device(x: Estimates, device: torch.device) -> Estimates:
    diagnostics = {name: values.to(device) for name, values in x.diagnostics.items()}
    noiseless = None if x.noiseless is None else x.noiseless.to(device)
    samples, forward, vjp = (values.to(device) for values in (x.samples, x.nfe_forward, x.nfe_vjp))
    return replace(x, samples=samples, nfe_forward=forward, nfe_vjp=vjp, diagnostics=diagnostics, noiseless=noiseless)
