"""What made a measurement, chosen by its evidence: noise level, box position, blur width and acceleration.

Each data set has one of several settings, and that of the largest evidence is chosen, exact and by SMC. Boxes and lines
that hide the image hold noise, so that zeros do not tell where they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from torch import Tensor

from alps_exp.evaluation import exact_posterior
from alps_exp.operators import GaussianBlur, Inpainting, LinearOperator
from alps_exp.priors import GaussianMixturePrior, two_mode_mixture
from alps_exp.randomness import measurement_noise
from alps_exp.samplers import SMC, GeometricSchedule

SIGMA_MIN, DATA_SETS = 0.03, 12


class HidingBox(LinearOperator):
    """Pixels of an image of which some, where the mask is 0, are noise alone."""

    def __init__(self, mask: Tensor, noise_std: float) -> None:
        super().__init__(noise_std)
        self.mask = mask

    def forward(self, x: Tensor) -> Tensor:
        """Return mask * x."""
        return self.mask * x

    def adjoint(self, y: Tensor) -> Tensor:
        """Return mask * y."""
        return self.mask * y


class HiddenLines(LinearOperator):
    """The k-space of a real image, of which every r-th column holds the image and the others noise alone."""

    def __init__(self, acceleration: int, width: int, noise_std: float) -> None:
        super().__init__(noise_std)
        self.every = acceleration
        self.mask = (torch.arange(width) % acceleration == 0).double()

    def forward(self, x: Tensor) -> Tensor:
        """Return the masked transform of x."""
        return self.mask * torch.fft.fft2(x, norm="ortho")

    def adjoint(self, y: Tensor) -> Tensor:
        """Return the real part of the inverse transform of the masked y."""
        return torch.fft.ifft2(self.mask * y, norm="ortho").real


def candidates(side: int) -> dict[str, list[LinearOperator]]:
    """Return the operators to choose from, by what is not known."""
    half = (torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(0)) < 0.5).double()
    boxes = []
    for row, column in ((0, 0), (0, 2), (2, 0), (2, 2), (1, 1)):
        mask, quarter = torch.ones(1, 1, side, side, dtype=torch.float64), side // 4
        mask[..., row * quarter : (row + 2) * quarter, column * quarter : (column + 2) * quarter] = 0
        boxes.append(mask)
    return {
        "noise level": [Inpainting(half, noise_std) for noise_std in (0.03, 0.06, 0.12, 0.24, 0.48)],
        "box position": [HidingBox(mask, 0.1) for mask in boxes],
        "blur width": [GaussianBlur(width, 0.05) for width in (0.4, 0.7, 1.0, 1.5, 2.2)],
        "acceleration": [HiddenLines(acceleration, side, 0.1) for acceleration in (1, 2, 4)],
    }


def measurements(prior: GaussianMixturePrior, operators: Sequence[LinearOperator]) -> tuple[Tensor, Tensor]:
    """Return the measurements of the data sets, and the position of the operator that made each."""
    truth = prior.sample(DATA_SETS, torch.Generator().manual_seed(1))
    made_by = torch.arange(DATA_SETS) % len(operators)
    noise = measurement_noise(0, [str(i) for i in range(DATA_SETS)], operators[0].forward(truth))
    y = [operators[k].measure(truth[i : i + 1], noise[i : i + 1]) for i, k in enumerate(made_by.tolist())]
    return torch.cat(y), made_by


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--chains", type=int, default=100)
    settings = parser.parse_args()
    sampler = SMC(GeometricSchedule(5.0, SIGMA_MIN, settings.steps))
    print("| Unknown | Numbers | Of | Right: exact | SMC | the same choice | log Z: mean error | scatter |")
    print("|---" * 8 + "|")
    for side in (4, 8):
        prior = two_mode_mixture(side, height=1.0, width=side / 4).double()
        for name, operators in candidates(side).items():
            y, made_by = measurements(prior, operators)
            exact = torch.tensor(
                [
                    [exact_posterior(prior, operator, one[None], SIGMA_MIN).log_evidence for one in y]
                    for operator in operators
                ]
            )
            found = torch.stack(
                [sampler(prior, operator, y, settings.chains).diagnostics["log_evidence"][0] for operator in operators]
            )
            right = [int((evidence.argmax(0) == made_by).sum()) for evidence in (exact, found)]
            same = int((exact.argmax(0) == found.argmax(0)).sum())
            off = found - exact
            cells = [
                name,
                side**2,
                f"{len(operators)} settings",
                *(f"{count} of {DATA_SETS}" for count in (*right, same)),
            ]
            print("|", " | ".join(map(str, cells)), f"| {off.mean():+.3f} | {off.std():.3f} |", flush=True)


if __name__ == "__main__":
    main()
