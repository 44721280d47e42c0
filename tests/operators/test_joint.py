"""Joint measurements against the sum over their parts."""

from __future__ import annotations

import pytest
import torch

from alps_exp.operators import GaussianBlur, Inpainting, JointOperator

SHAPE = (2, 5, 6)


def parts_and_joint() -> tuple[list, JointOperator]:
    torch.manual_seed(0)
    mask = (torch.rand(3, 1, 5, 6) < 0.4).float()
    parts = [Inpainting(mask, noise_std=0.05), GaussianBlur(1.2, noise_std=0.3)]
    return parts, JointOperator(parts, SHAPE, tolerance=1e-9)


def test_posterior_step_and_misfit_are_those_of_all_measurements_together() -> None:
    parts, joint = parts_and_joint()
    d, t = torch.randn(3, *SHAPE, dtype=torch.float64), 0.4
    ys = [part.measure(torch.randn_like(d), torch.randn_like(d)) for part in parts]
    y = torch.cat([(0.05 / part.noise_std * y).flatten(1) for part, y in zip(parts, ys, strict=True)], 1)[:, None, None]
    mean = joint.posterior_mean(d, y, t)
    units = torch.eye(60, dtype=torch.float64).reshape(60, 1, *SHAPE).expand(60, 3, *SHAPE)
    precision = torch.eye(60, dtype=torch.float64) / t**2
    pull = d / t**2
    for part, y_k in zip(parts, ys, strict=True):
        precision = precision + part.normal(units).reshape(60, 3, 60).movedim(0, -1) / part.noise_std**2
        pull = pull + part.adjoint(y_k) / part.noise_std**2
    expected = torch.linalg.solve(precision, pull.reshape(3, 60, 1)).reshape(d.shape)
    torch.testing.assert_close(mean, expected, rtol=1e-8, atol=1e-8)
    misfits = sum(part.misfit(d, y_k) for part, y_k in zip(parts, ys, strict=True))
    torch.testing.assert_close(joint.misfit(d, y), misfits)


def test_each_part_is_measured_with_its_own_noise() -> None:
    parts, joint = parts_and_joint()
    x = torch.randn(3, *SHAPE, dtype=torch.float64)
    noise = torch.randn(joint.measurement_shape(x.shape), dtype=torch.float64)
    y = joint.measure(x, noise)
    for part, values, e in zip(parts, y.split(60, -1), noise.split(60, -1), strict=True):
        torch.testing.assert_close(values.reshape(x.shape) * part.noise_std / 0.05, part.measure(x, e.reshape(x.shape)))


def test_float64_starts_where_the_smallest_noise_needs_it() -> None:
    _, joint = parts_and_joint()
    assert joint._solve_dtype(torch.float32, 4.9) == torch.float32
    assert joint._solve_dtype(torch.float32, 5.1) == torch.float64


def test_what_does_not_fit_is_refused() -> None:
    _, joint = parts_and_joint()
    with pytest.raises(ValueError, match="one operator"):
        JointOperator([], SHAPE)
    with pytest.raises(ValueError, match=r"1, 1, 120\).*\(3, 2, 5, 6\)"):
        joint.adjoint(torch.zeros(3, *SHAPE))
