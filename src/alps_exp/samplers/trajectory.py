"""A callback that keeps what the chains of a sampler do on their way."""

from __future__ import annotations

from torch import Tensor

from alps_exp.samplers.problem import State


class Trajectory:
    """Keeps the chains, the denoised images and their numbers after every step, on the CPU.

    It follows one call of a sampler; for the next call take a new one.

    Parameters
    ----------
    every
        Keep the images of every k-th step; the numbers are kept of all. 0: no images.

    Attributes
    ----------
    image_ids : Sequence of str
        The images.
    scales : list of float
        Noise scale of each step.
    misfits : list of Tensor
        Twice the misfit of every chain over the number of measured values, (S, B), for each step: 1 is expected of the
        truth.
    acceptances : list of Tensor or None
        Mean acceptance of the Metropolis moves of each image, (B,), for each step; None without moves.
    x, d : dict of int to Tensor
        Chains and denoised images (S, B, C, H, W) by the position of their step.

    Raises
    ------
    ValueError
        If every is negative; when called, if the images change.

    Examples
    --------
    >>> import torch
    >>> from alps_exp.operators import Inpainting
    >>> from alps_exp.priors import smooth_gaussian
    >>> from alps_exp.samplers import ALPS, GeometricSchedule
    >>> trajectory = Trajectory(every=5)
    >>> operator = Inpainting(torch.ones(1, 1, 8, 8), noise_std=0.1)
    >>> sampler = ALPS(GeometricSchedule(steps=10))
    >>> _ = sampler(smooth_gaussian(size=8), operator, torch.zeros(1, 1, 8, 8), callbacks=[trajectory])
    >>> len(trajectory.scales), sorted(trajectory.x)
    (10, [0, 5])
    """

    def __init__(self, every: int = 1) -> None:
        if every < 0:
            raise ValueError(f"every must be at least 0, got {every}")
        self.every = every
        self.image_ids: list[str] = []
        self.scales: list[float] = []
        self.misfits: list[Tensor] = []
        self.acceptances: list[Tensor | None] = []
        self.x: dict[int, Tensor] = {}
        self.d: dict[int, Tensor] = {}

    def __call__(self, state: State) -> None:
        """Keep a state."""
        ids, step = list(state.problem.image_ids), len(self.scales)
        if step and ids != self.image_ids:
            raise ValueError(f"this trajectory is of the images {self.image_ids}, got {ids}: take one for each call")
        self.image_ids = ids
        self.scales.append(state.scale)
        measured = state.problem.operator.measured_count(state.problem.y)
        self.misfits.append((2 * state.misfit / measured).cpu())
        self.acceptances.append(None if state.acceptance is None else state.acceptance.cpu())
        if self.every and step % self.every == 0:
            self.x[step] = state.x.detach().cpu()
            if state.d is not None:
                self.d[step] = state.d.detach().cpu()

    def rows(self) -> list[dict[str, object]]:
        """Return ``image_id``, ``step``, ``scale``, ``misfit`` (mean over the chains) and ``acceptance`` of each step.

        `alps_exp.report.convergence_figure` draws them.
        """
        return [
            {
                "image_id": image_id,
                "step": step,
                "scale": scale,
                "misfit": float(self.misfits[step][:, i].mean()),
                "acceptance": None if (acceptance := self.acceptances[step]) is None else float(acceptance[i]),
            }
            for step, scale in enumerate(self.scales)
            for i, image_id in enumerate(self.image_ids)
        ]

    def steps(self, image: int = 0, sample: int = 0) -> list[dict[str, object]]:
        """Return ``step``, ``scale``, ``misfit`` and the arrays ``x`` and ``d`` (C, H, W; None without) of a chain.

        They are of the steps whose images are kept; `alps_exp.report.steps_figure` draws them.

        Parameters
        ----------
        image, sample
            Positions of the image in the batch, and of the chain among its samples.
        """
        return [
            {
                "step": step,
                "scale": self.scales[step],
                "misfit": float(self.misfits[step][sample, image]),
                "x": x[sample, image].numpy(),
                "d": self.d[step][sample, image].numpy() if step in self.d else None,
            }
            for step, x in self.x.items()
        ]
