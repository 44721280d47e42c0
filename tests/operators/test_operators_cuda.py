"""Operators on a GPU give what they give on the CPU, there and in the same precision."""

import io

import pytest
import torch
from operator_cases import BATCH

pytestmark = pytest.mark.cuda


def moved(value, device):
    """Return a copy of an operator with all that it holds on another device."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return torch.load(buffer, map_location=device, weights_only=False)


@pytest.mark.parametrize(("double", "bound"), [(True, 1e-8), (False, 1e-3)], ids=["float64", "float32"])
def test_the_operator_and_its_posterior_step_are_those_of_the_cpu(case, double, bound, gpu):
    operator = case.operator(double=double, tolerance=1e-10 if double else 1e-4)
    there = moved(operator, gpu)
    d, y = (make(2, BATCH, seed=seed, double=double) for seed, make in ((1, case.images), (2, case.measurements)))
    assert _same(there.forward(d.to(gpu)), operator.forward(d), bound)
    assert _same(there.adjoint(y.to(gpu)), operator.adjoint(y), bound)
    for t in (0.05, 1.0, 30.0):
        noise = case.measurements(2, BATCH, seed=3, double=double), case.images(2, BATCH, seed=4, double=double)
        sample = there.posterior_sample(d.to(gpu), y.to(gpu), t, tuple(n.to(gpu) for n in noise))
        assert _same(sample, operator.posterior_sample(d, y, t, noise), bound)


def _same(there, here, bound):
    assert there.is_cuda and there.dtype == here.dtype
    return (there.cpu() - here).norm() <= bound * here.norm()
