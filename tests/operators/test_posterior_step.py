"""What every operator promises, against dense float64 matrices."""

from __future__ import annotations

import re

import pytest
import torch
from operator_cases import BATCH, CASES, COILS, ETA, HEIGHT, Case, DensePosterior, as_rows, unit_images

from alps_exp.operators import GaussianBlur

SCALES = [0.01, 1.0, 100.0]
PICKED = [0, 5]  # images of the batch that are compared with dense solves


def test_adjoint_and_normal(case: Case) -> None:
    operator = case.operator()
    x, y = case.images(2, BATCH, seed=1), case.measurements(2, BATCH, seed=2)
    ax, ahy = as_rows(operator.forward(x)), as_rows(operator.adjoint(y))
    left, right = (ax * as_rows(y)).sum(-1), (as_rows(x) * ahy).sum(-1)
    assert ax.shape == as_rows(y).shape
    assert (left - right).abs().max() < 1e-10 * (ax.norm(dim=-1) * as_rows(y).norm(dim=-1)).max()
    torch.testing.assert_close(operator.normal(x), operator.adjoint(operator.forward(x)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("t", SCALES)
def test_float64_step_equals_dense_solve(case: Case, t: float) -> None:
    operator = case.operator(tolerance=1e-9)
    d, y = case.images(BATCH, seed=1), case.measurements(BATCH, seed=2)
    e1, e2 = case.measurements(2, BATCH, seed=3), case.images(2, BATCH, seed=4)
    mean = as_rows(operator.posterior_mean(d, y, t))
    sample = as_rows(operator.posterior_sample(d, y, t, (e1, e2)))
    for image in PICKED:
        dense = DensePosterior.of(case, image)
        rows = [as_rows(values[image]) for values in (d, y)]
        expected = dense.mean(*rows, t)
        assert (mean[image] - expected).norm() < 1e-5 * expected.norm()
        for chain in range(2):
            expected = dense.sample(*rows, t, as_rows(e1[chain, image]), as_rows(e2[chain, image]))
            assert (sample[chain, image] - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize("t", [0.01, 1.9, 2.1, 100.0])
def test_float32_error_is_small_against_the_posterior_width(case: Case, t: float) -> None:
    operator = case.operator(double=False)
    d, y = case.images(BATCH, seed=1, double=False), case.measurements(BATCH, seed=2, double=False)
    e1, e2 = case.measurements(BATCH, seed=3, double=False), case.images(BATCH, seed=4, double=False)
    mean, sample = operator.posterior_mean(d, y, t), operator.posterior_sample(d, y, t, (e1, e2))
    assert mean.dtype == sample.dtype == case.dtype(double=False)
    for image in PICKED:
        dense = DensePosterior.of(case, image, double=False)
        rows = [as_rows(values[image]) for values in (d, y)]
        noise = [as_rows(values[image]) for values in (e1, e2)]
        for result, expected in (
            (mean[image], dense.mean(*rows, t)),
            (sample[image], dense.sample(*rows, t, *noise)),
        ):
            error = as_rows(result).double() - expected
            pixels = result.numel()  # complex ones count once: the stricter count
            assert (error @ dense.precision(t) @ error / pixels).sqrt() < 0.01


@pytest.mark.parametrize("t", [0.05, 20.0])
def test_covariance_of_the_sample_is_exact(case: Case, t: float) -> None:
    """The sample is affine in its noise, so unit vectors give the factor M of its covariance M M^T."""
    image, dtype = 2, case.dtype(double=True)
    operator = case.operator(slice(image, image + 1), tolerance=1e-8)
    images = unit_images((1, *case.image_shape), dtype)
    zero = torch.zeros((1, *case.image_shape), dtype=dtype)
    kspace = unit_images(operator.measurement_shape(zero.shape), dtype)
    empty = torch.zeros_like(kspace[0])
    columns = torch.cat(
        [
            operator.posterior_sample(zero, empty, t, (kspace, zero.expand(len(kspace), *zero.shape))),
            operator.posterior_sample(zero, empty, t, (empty.expand(len(images), *empty.shape), images)),
        ]
    )
    factor = as_rows(columns, 4).T
    expected = DensePosterior.of(case, image).covariance(t)
    torch.testing.assert_close(factor @ factor.T, expected, rtol=0, atol=1e-6 * float(expected.diagonal().max()))


@pytest.mark.parametrize("case", [case for case in CASES if case.has_exact_noise], ids=lambda case: case.name)
@pytest.mark.parametrize("t", [0.05, 1.0, 20.0])
def test_covariance_of_the_published_noise(case: Case, t: float) -> None:
    operator = case.operator(slice(2, 3))
    columns = as_rows(operator.posterior_noise(unit_images((1, *case.image_shape), case.dtype(double=True)), t), 4)
    torch.testing.assert_close(columns.T @ columns, DensePosterior.of(case, 2).covariance(t), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("t", [0.1, 100.0])
def test_result_does_not_depend_on_the_batch(case: Case, t: float) -> None:
    together, image = case.operator(), 3
    alone = case.operator(slice(image, image + 1))
    d, y = case.images(BATCH, seed=1), case.measurements(BATCH, seed=2)
    e1, e2 = case.measurements(3, BATCH, seed=3), case.images(3, BATCH, seed=4)
    one = slice(image, image + 1)
    pairs = [
        (together.posterior_mean(d, y, t)[one], alone.posterior_mean(d[one], y[one], t)),
        (
            together.posterior_sample(d, y, t, (e1, e2))[1, one],
            alone.posterior_sample(d[one], y[one], t, (e1[1, one], e2[1, one])),
        ),
        (together.misfit(e2, y)[1, one], alone.misfit(e2[1, one], y[one])),
    ]
    if case.has_noise:
        pairs.append((together.posterior_noise(e2, t)[1, one], alone.posterior_noise(e2[1, one], t)))
    for batched, single in pairs:
        torch.testing.assert_close(batched, single, rtol=1e-10, atol=1e-10)


def test_one_scale_per_image_or_chain(case: Case) -> None:
    operator = case.operator(tolerance=1e-11)
    d, y = case.images(BATCH, seed=1), case.measurements(BATCH, seed=2)
    e1, e2 = case.measurements(3, BATCH, seed=3), case.images(3, BATCH, seed=4)
    per_chain = torch.tensor([0.1, 1.0, 10.0], dtype=torch.float64)[:, None]
    per_image = torch.logspace(-2, 1, BATCH, dtype=torch.float64)
    samples = operator.posterior_sample(d, y, per_chain, (e1, e2))
    means = operator.posterior_mean(d, y, per_image)
    noise = operator.posterior_noise(d, per_image) if case.has_noise else None
    for chain, t in enumerate(per_chain.flatten().tolist()):
        expected = operator.posterior_sample(d, y, t, (e1, e2))[chain]
        torch.testing.assert_close(samples[chain], expected, rtol=1e-8, atol=1e-8)
    for image, t in enumerate(per_image.tolist()):
        torch.testing.assert_close(means[image], operator.posterior_mean(d, y, t)[image], rtol=1e-8, atol=1e-8)
        if noise is not None:
            expected = operator.posterior_noise(d, t)[image]
            torch.testing.assert_close(noise[image], expected, rtol=1e-8, atol=1e-8)


def test_float32_storage_is_kept(case: Case) -> None:
    operator = case.operator(double=False)
    d, y = case.images(BATCH, seed=1, double=False), case.measurements(BATCH, seed=2, double=False)
    for t in (0.1, 50.0, torch.full((BATCH,), 0.1)):
        results = [
            operator.solve(d, t),
            operator.posterior_mean(d, y, t),
            operator.posterior_sample(d, y, t, (y, d)),
            operator.posterior_noise(d, t) if case.has_noise else d,
            operator.measure(d, y),
            operator.normal(d),
        ]
        assert {result.dtype for result in results} == {case.dtype(double=False)}
    assert operator.misfit(d, y).dtype == torch.float32


def test_solve_inverts_normal_plus_shift(case: Case) -> None:
    operator = case.operator(tolerance=1e-9)
    x, t = case.images(BATCH, seed=1), 0.5
    b = operator.normal(x) + (ETA / t) ** 2 * x
    torch.testing.assert_close(operator.solve(b, t), x, rtol=1e-8, atol=1e-8)


def test_measure_and_misfit(case: Case) -> None:
    operator = case.operator()
    x, noise = case.images(2, BATCH, seed=1), case.measurements(2, BATCH, seed=2)
    y = operator.measure(x, noise)
    measured = y != 0
    torch.testing.assert_close(y, torch.where(measured, operator.forward(x) + ETA * noise, 0))
    expected = as_rows(torch.where(measured, noise, 0)).square().sum(-1) / 2
    torch.testing.assert_close(operator.misfit(x, y), expected, rtol=1e-9, atol=1e-9)
    assert expected.shape == (2, BATCH)


def test_unmeasured_noise_does_not_matter(case: Case) -> None:
    operator = case.operator()
    d, y, e2 = case.images(BATCH, seed=1), case.measurements(BATCH, seed=2), case.images(BATCH, seed=3)
    e1 = case.measurements(BATCH, seed=4)
    measured = operator.measure(d, e1) != 0
    for t in (0.1, 10.0):
        full = operator.posterior_sample(d, y, t, (e1, e2))
        masked = operator.posterior_sample(d, y, t, (torch.where(measured, e1, 0), e2))
        assert torch.equal(full, masked)


@pytest.mark.parametrize("noise_std", [0.0, -0.1, float("nan"), float("inf"), "0.1"])
def test_noise_std_must_be_positive(noise_std: float) -> None:
    with pytest.raises(ValueError, match=f"^noise_std .* {noise_std!r}"):
        GaussianBlur(1.0, noise_std)


def test_scale_must_be_positive(case: Case) -> None:
    operator, d, y = case.operator(), case.images(BATCH, seed=1), case.measurements(BATCH, seed=2)
    for t in (0.0, -1.0, float("nan"), torch.tensor(0.0)):
        with pytest.raises(ValueError, match=f"^t .* {float(t):g}"):
            operator.posterior_mean(d, y, t)


def test_scale_must_fit_the_batch(case: Case) -> None:
    with pytest.raises(ValueError, match=r"^t of shape \(3,.* 8, "):
        case.operator().solve(case.images(BATCH, seed=1), torch.ones(3))


def test_measurement_must_fit_the_image(case: Case) -> None:
    operator = case.operator(slice(1))
    d, y = case.images(1, seed=1), case.measurements(4, seed=2)
    given, expected = (re.escape(str(tuple(x.shape))) for x in (y, y[:1]))
    with pytest.raises(ValueError, match=f"measurement.*{given}.*{expected}"):
        operator.posterior_mean(d, y, 1.0)
    with pytest.raises(ValueError, match=f"measurement.*{given}.*{expected}"):
        operator.misfit(d, y)


def test_measurement_shape(case: Case) -> None:
    shape = (4, BATCH, *case.image_shape)
    expected = (4, BATCH, COILS, *case.image_shape[1:]) if case.name.startswith("mri") else shape
    if case.name.startswith("mri-folded"):
        expected = (4, BATCH, COILS, *((HEIGHT, 5) if case.name.endswith("columns") else (3, 4)))
    if case.name.startswith("super-resolution"):
        factor = int(case.name[-1])
        expected = (4, BATCH, case.channels, HEIGHT // factor, case.width // factor)
    if case.name.startswith("joint"):
        images = 1 + 1 if case.name == "joint" else COILS + COILS + 1
        expected = (4, BATCH, 1, 1, images * torch.Size(case.image_shape).numel())
    assert case.operator().measurement_shape(shape) == expected
