"""The operator reduced to the image's size has the same posterior, and operators of the same mask share its blocks."""

import pytest
import torch
from operator_cases import (
    BATCH,
    CASES,
    ETA,
    HEIGHT,
    WIDTH,
    Case,
    DensePosterior,
    as_rows,
    randn,
    random_mask,
    smooth_maps,
)

from alps_exp.operators import Blur, MultiCoilMRI, line_blocks
from alps_exp.operators.blur import ReducedBlur
from alps_exp.operators.line_blocks import ReducedMRI

LINES = [case for case in CASES if case.name.startswith("mri") and not case.has_cg]


def test_posterior_mean_and_normal_matrix_are_the_same(case: Case) -> None:
    operator = case.operator(tolerance=1e-9)
    d, y = case.images(2, BATCH, seed=1), operator.restrict(case.measurements(BATCH, seed=2))
    reduced, y_reduced = operator.reduced(y)
    assert isinstance(reduced, ReducedMRI) == (case in LINES)
    assert isinstance(reduced, ReducedBlur) == ("blur" in case.name)
    torch.testing.assert_close(reduced.normal(d), operator.normal(d), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(reduced.adjoint(y_reduced), operator.adjoint(y), rtol=1e-9, atol=1e-9)
    assert y_reduced.shape == reduced.measurement_shape((BATCH, *case.image_shape))
    for t in (0.01, 1.0, 100.0):
        mean = operator.posterior_mean(d, y, t)
        torch.testing.assert_close(reduced.posterior_mean(d, y_reduced, t), mean, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", LINES, ids=lambda case: case.name)
def test_a_reduced_operator_has_its_adjoint_and_the_noise_of_the_measurement(case: Case) -> None:
    operator = case.operator()
    truth = case.images(BATCH, seed=1)
    noise = case.measurements(400, BATCH, seed=2)
    reduced, _ = operator.reduced(noise[0])
    x, z = case.images(BATCH, seed=3), reduced.forward(case.images(BATCH, seed=4))
    left, right = (reduced.forward(x).conj() * z).sum(), (x.conj() * reduced.adjoint(z)).sum()
    torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-10)
    measured = reduced.reduce(operator.adjoint(operator.measure(truth, noise))) - reduced.forward(truth)
    seen = reduced.blocks.values(truth.dtype) > 1e-6
    values = torch.view_as_real(measured)[seen.expand_as(measured)]
    assert abs(values.std() / ETA - 1) < 0.01 and abs(values.mean()) < 0.01 * ETA


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize(("height", "width"), [(8, 7), (7, 8), (8, 6), (2, 1)])
def test_the_transform_of_a_blurred_image_keeps_distances_and_white_noise(height, width, is_complex) -> None:
    """For white noise e, A^H e has the covariance A^H A of an image-sized measurement; misfits are equal."""
    dtype = torch.complex128 if is_complex else torch.float64
    operator = Blur(randn(2, 1, seed=2), ETA)
    x, y = randn(1, 1, height, width, seed=1, dtype=dtype), randn(1, 1, height, width, seed=3, dtype=dtype)
    reduced, y_reduced = operator.reduced(y)
    assert y_reduced.shape == reduced.measurement_shape(y.shape)
    torch.testing.assert_close(reduced.misfit(x, y_reduced), operator.misfit(x, y))
    z = randn(*y_reduced.shape, seed=4, dtype=torch.complex128)
    left, right = torch.vdot(reduced.forward(x).flatten(), z.flatten()), (x.conj() * reduced.adjoint(z)).sum()
    torch.testing.assert_close(left.real, right.real)
    units = torch.eye(y_reduced.numel(), dtype=torch.complex128).reshape(-1, *y_reduced.shape)
    images = reduced.adjoint(torch.cat([units, 1j * units])).flatten(1)
    pixels = torch.eye(height * width, dtype=dtype).reshape(-1, *y.shape)
    # complex noise has variance 1 in both parts
    expected = (2 if is_complex else 1) * operator.normal(pixels).flatten(1)
    torch.testing.assert_close(images.mT @ images.conj(), expected.mT)


@pytest.mark.parametrize("case", LINES, ids=lambda case: case.name)
@pytest.mark.parametrize("t", [0.01, 2.1, 100.0])
def test_the_reduced_step_stays_accurate_in_float32(case: Case, t: float) -> None:
    operator = case.operator(double=False)
    d, y = case.images(BATCH, seed=1, double=False), case.measurements(BATCH, seed=2, double=False)
    reduced, y_reduced = operator.reduced(y)
    mean = reduced.posterior_mean(d, y_reduced, t)
    assert mean.dtype == torch.complex64
    for image in (0, 5):
        dense = DensePosterior.of(case, image, double=False)
        error = as_rows(mean[image]).double() - dense.mean(as_rows(d[image]), as_rows(y[image]), t)
        assert (error @ dense.precision(t) @ error / mean[image].numel()).sqrt() < 0.01


@pytest.mark.parametrize("t", [0.01, 1.0, 2.1, 100.0])
@pytest.mark.parametrize("double", [True, False])
def test_what_is_measured_is_solved_in_the_measurement(case: Case, t: float, double: bool) -> None:
    """(I + t^2 / eta^2 A A^H) applied to the solution gives back what it was solved for."""
    operator = case.operator(double=double, tolerance=1e-9 if double else 1e-4)
    r = operator.restrict(case.measurements(BATCH, seed=2, double=double))
    solution = operator.solve_measured(r, t)
    assert solution.dtype == r.dtype
    # The rounding of the product below grows with t^2 / eta^2, so it is compared in a solution of full precision.
    wide = case.operator(tolerance=1e-9).solve_measured(r.to(case.dtype(double=True)), t)
    back = wide + (t / ETA) ** 2 * case.operator().forward(case.operator().adjoint(wide))
    torch.testing.assert_close(back, r.to(back.dtype), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(solution, wide.to(r.dtype), rtol=1e-3, atol=1e-5 * float(r.abs().max()))


def test_operators_of_equal_mask_and_maps_share_their_blocks(monkeypatch) -> None:
    mask, maps = random_mask(BATCH, 1, 1, WIDTH, seed=1), smooth_maps(torch.complex64)
    first, again = (MultiCoilMRI(mask.clone(), maps.clone(), noise_std=eta) for eta in (ETA, 2 * ETA))
    assert first._blocks is again._blocks
    moved = maps.clone()
    moved[0, 0, 0, 0] += 1e-7
    assert MultiCoilMRI(mask, moved, ETA)._blocks is not first._blocks
    assert MultiCoilMRI(1 - mask, maps, ETA)._blocks is not first._blocks
    rows = random_mask(BATCH, 1, HEIGHT, 1, seed=1)
    assert MultiCoilMRI(rows, maps, ETA)._blocks is not first._blocks
    monkeypatch.setattr(line_blocks, "SHARED_BYTES", first._blocks.num_bytes)
    other = MultiCoilMRI(random_mask(BATCH, 1, 1, WIDTH, seed=5), maps, ETA)._blocks
    assert list(line_blocks._shared.values()) == [other]
    monkeypatch.setattr(line_blocks, "SHARED_BYTES", 0)
    unshared = MultiCoilMRI(random_mask(BATCH, 1, 1, WIDTH, seed=6), maps, ETA)
    assert unshared._blocks not in line_blocks._shared.values()
