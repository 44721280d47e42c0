"""The one interface behind which all samplers stand."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import ClassVar, Literal, TypeVar

import torch
from torch import Tensor
from tqdm import tqdm

from alps_exp.estimates import Estimates, PriorKind
from alps_exp.operators import LinearOperator
from alps_exp.priors.base import EnergyPrior, Prior, PullBack
from alps_exp.randomness import KeyedNoise, NoiseSource
from alps_exp.samplers.schedules import Schedule

T = TypeVar("T")


class Sampler(ABC):
    """Draws images that explain a measurement under a prior.

    Parameters
    ----------
    schedule
        Noise scales from large to small.
    denoiser
        Which of the two priors of a request the sampler is handed: the ``energy`` or the ``teacher``.
    micro_batch
        Most images that the prior sees at once, but at least one sample of each image of the batch; bounds the
        memory, changes no result. None: all.
    """

    estimate: ClassVar[Literal["mmse", "map", "point"]] = "mmse"
    """What the mean over the samples is."""
    denoiser: PriorKind | None
    """The prior that the sampler asks; None for a reconstruction that asks none."""
    composable: ClassVar[bool] = False
    """Whether it samples a composed energy, whose curvature is not 1."""
    independent: ClassVar[bool] = True
    """Whether a sample is the same whichever others are drawn with it."""

    def __init__(self, schedule: Schedule, denoiser: PriorKind, micro_batch: int | None) -> None:
        if micro_batch is not None and micro_batch < 1:
            raise ValueError(f"micro_batch must be at least 1, got {micro_batch}")
        self.schedule, self.denoiser, self.micro_batch = schedule, denoiser, micro_batch

    @property
    def last_scale(self) -> float | None:
        """The noise scale at which the sampler ends; None for a reconstruction, which has none."""
        return self.schedule()[-1]

    def __call__(
        self,
        prior: Prior,
        operator: LinearOperator,
        y: Tensor,
        num_samples: int = 1,
        seed: int = 0,
        image_ids: Sequence[str] | None = None,
        first_sample: int = 0,
    ) -> Estimates:
        """Sample `num_samples` chains for every image of the measurement `y` (B, ...).

        The noise of a chain is keyed by (seed, image id, sample index); without `image_ids` the position in the
        batch is the id. Sample indices start at `first_sample`.

        Raises
        ------
        ValueError
            If the prior, the operator and the measurement do not fit each other, or there is no sample to draw.
        """
        if y.ndim != 4:
            raise ValueError(f"expected a measurement of 4 dimensions, the batch and any three, got {tuple(y.shape)}")
        ids = image_ids if image_ids is not None else [str(i) for i in range(len(y))]
        if len(ids) != len(y) or num_samples < 1:
            given = f"{len(ids)} ids and num_samples {num_samples}"
            raise ValueError(f"expected an id for each of {len(y)} images and num_samples >= 1, got {given}")
        if not (self.composable or math.isclose(prior.curvature, 1)):
            raise ValueError(f"{type(self).__name__} does not sample a composed energy; ALPS, MAP and SMC do")
        noise = KeyedNoise(seed, ids, num_samples, first_sample)
        counted = InMicroBatches(prior, self.micro_batch)
        samples, diagnostics = self.sample(counted, operator, y, noise)
        forward, vjp = counted.calls.expand(len(y), 2).T / num_samples
        return Estimates(samples, forward, vjp, diagnostics)

    @abstractmethod
    def sample(
        self, prior: InMicroBatches, operator: LinearOperator, y: Tensor, noise: NoiseSource
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return samples (S, B, C, H, W) and diagnostics (S, B) by name.

        A diagnostic ``converged``, 1 or 0, is what the flag ``convergence`` of an estimate goes by.
        """

    def progress(self, steps: Sequence[T]) -> Iterable[T]:
        """Return the steps with a progress bar, which shows on terminals only."""
        return tqdm(steps, desc=type(self).__name__, disable=None, leave=False)


class InMicroBatches:
    """Asks a prior about images (S, B, C, H, W) in parts: at most `micro_batch` images, or one sample.

    `calls` (B, 2) are the forward passes and the vector-Jacobian products that each image has cost so far.
    """

    def __init__(self, prior: Prior, micro_batch: int | None) -> None:
        self.prior, self.micro_batch = prior, micro_batch
        self.calls = torch.zeros(1, 2, dtype=torch.float64)

    @property
    def curvature(self) -> float:
        """Curvature of the prior's potential at large t, in units of 1 / t^2."""
        return self.prior.curvature

    def denoise(self, x: Tensor, t: float) -> Tensor:
        """Return the denoised images."""
        with self._counting(x):
            return torch.cat([self.prior.denoise(part, t) for part in self._parts(x)])

    def denoise_and_pull_back(
        self, x: Tensor, t: float, cotangent: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return d = denoise(x, t) and J^T v with v = cotangent(d)."""
        with self._counting(x):
            pairs = [self.prior.denoise_and_pull_back(part, t, cotangent) for part in self._parts(x)]
        d, products = zip(*pairs, strict=True)
        return torch.cat(d), torch.cat(products)

    def denoise_with_pull_back(
        self, x: Tensor, t: float, use: Callable[[Tensor, PullBack], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return d = denoise(x, t) and use(d, pull_back), pull_back(v) = J^T v; keeps what one part needs at a time."""

        def denoise_and_use(part: Tensor) -> tuple[Tensor, Tensor]:
            d, pull_back = self.prior.denoise_with_pull_back(part, t)
            return d, use(d, pull_back)

        with self._counting(x):
            d, used = zip(*[denoise_and_use(part) for part in self._parts(x)], strict=True)
        return torch.cat(d), torch.cat(used)

    def energy_and_gradient(self, x: Tensor, t: float, wanted: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return E (S, B) and grad E, both zero where they are not `wanted` (S, B), which costs nothing.

        Raises
        ------
        ValueError
            For a prior without an energy.
        """
        prior = self._energy_prior()
        if wanted is None or wanted.all():
            with self._counting(x):
                pairs = [prior.energy_and_gradient(part, t) for part in self._parts(x)]
            energies, gradients = zip(*pairs, strict=True)
            return torch.cat(energies), torch.cat(gradients)
        energy, gradient = x.real.new_zeros(x.shape[:-3]), torch.zeros_like(x)
        some = x[wanted][:, None]
        with self._counting(some, wanted):
            pairs = [prior.energy_and_gradient(part, t) for part in self._parts(some)]
        energies, gradients = zip(*pairs, strict=True)
        energy[wanted], gradient[wanted] = torch.cat(energies).squeeze(1), torch.cat(gradients).squeeze(1)
        return energy, gradient

    def energy(self, x: Tensor, t: float) -> Tensor:
        """Return E, shape x.shape[:-3], for x (S, B, ...) or (B, ...); raises ValueError as `energy_and_gradient`."""
        prior = self._energy_prior()
        images = x.reshape(-1, *x.shape[-3:])
        parts = images.split(self.micro_batch or len(images))
        return torch.cat([prior.energy(part, t) for part in parts]).reshape(x.shape[:-3])

    def _energy_prior(self) -> EnergyPrior:
        if not isinstance(self.prior, EnergyPrior):
            raise ValueError(f"this sampler needs a prior with an energy, got a {type(self.prior).__name__}")
        return self.prior

    @contextmanager
    def _counting(self, x: Tensor, wanted: Tensor | None = None) -> Iterator[None]:
        """Share out the calls made inside, all of one cost, over the images of x (S, B, ...) or the `wanted` (S, B)."""
        before = copy(self.prior.calls)
        yield
        after, asked = self.prior.calls, max(1, x.shape[:-3].numel())
        of_chain = torch.tensor([after.forward - before.forward, after.vjp - before.vjp], dtype=torch.float64) / asked
        chains = torch.full((x.shape[-4],), len(x)) if wanted is None else wanted.sum(0).cpu()
        self.calls = self.calls + chains[:, None] * of_chain

    def _parts(self, x: Tensor) -> Sequence[Tensor]:
        return x.split(max(1, self.micro_batch // x.shape[1]) if self.micro_batch else len(x))
