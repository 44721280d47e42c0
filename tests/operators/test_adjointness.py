"""<A x, y> = <x, A^H y> and the posterior step, over random shapes and parameters of every operator."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alps_exp.operators import (
    Blur,
    Denoising,
    GaussianBlur,
    Inpainting,
    JointOperator,
    MotionBlur,
    MultiCoilMRI,
    SuperResolution,
)

SIZES = st.integers(5, 9)
SEEDS = st.integers(0, 2**31)


def normal(shape, seed, is_complex):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.complex128 if is_complex else torch.float64)


def inner(a, b):
    return (a.conj() * b).real.sum()


@st.composite
def problems(draw):
    """Draw an operator and an image (samples, batch, channels, height, width) for it."""
    family = draw(st.sampled_from([*"idgmbs", "mri", "joint"]))
    height, width, batch, seed = draw(SIZES), draw(SIZES), draw(st.integers(1, 3)), draw(SEEDS)
    noise_std, is_complex, channels = draw(st.floats(0.01, 1.0)), draw(st.booleans()), draw(st.integers(1, 3))
    generator = torch.Generator().manual_seed(seed)

    def mask(*shape):
        return (torch.rand(*shape, generator=generator) < draw(st.floats(0.1, 1.0))).double()

    def kernel():
        return torch.rand(draw(st.integers(1, 3)), draw(st.integers(1, 3)), generator=generator, dtype=torch.float64)

    if family == "i":
        operator = Inpainting(mask(draw(st.sampled_from([1, batch])), 1, height, width), noise_std)
    elif family == "d":
        operator = Denoising(noise_std)
    elif family == "g":
        operator = GaussianBlur(draw(st.floats(0.1, 3.0)), noise_std)
    elif family == "m":
        operator = MotionBlur(draw(st.floats(0.5, 2.5)), draw(st.floats(-180, 180)), noise_std)
    elif family == "b":
        operator = Blur(kernel(), noise_std)
    elif family == "s":
        factor = draw(st.integers(2, 3))
        height, width = factor * height, factor * width
        operator = SuperResolution(factor, noise_std, draw(st.sampled_from(["average", "bicubic"])))
    elif family == "mri":
        is_complex, channels, coils = True, 1, draw(st.integers(1, 3))
        rows, columns = draw(st.sampled_from([(1, width), (height, 1), (height, width)]))
        maps = normal((batch, coils, height, width), seed, True)
        operator = MultiCoilMRI(mask(draw(st.sampled_from([1, batch])), 1, rows, columns), maps, noise_std)
    else:
        parts = [Inpainting(mask(batch, 1, height, width), noise_std), Blur(kernel(), 2 * noise_std)]
        operator = JointOperator(parts, (channels, height, width))
    return operator, normal((draw(st.integers(1, 2)), batch, channels, height, width), seed + 1, is_complex)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(problems(), SEEDS)
def test_the_adjoint_is_the_adjoint(problem, seed):
    operator, x = problem
    forward = operator.forward(x)
    assert forward.shape == torch.Size(operator.measurement_shape(x.shape))
    y = normal(forward.shape, seed, forward.is_complex())
    a, b = inner(forward, y), inner(x, operator.adjoint(y))
    assert torch.isclose(a, b, rtol=1e-9, atol=1e-9 * float(x.norm() * y.norm()))


@settings(deadline=None, max_examples=60, derandomize=True)
@given(problems(), SEEDS, st.floats(0.02, 2.0))
def test_the_posterior_mean_has_no_gradient(problem, seed, t):
    """It minimizes ||A x - y||^2 / (2 eta^2) + ||x - d||^2 / (2 t^2)."""
    operator, d = problem
    y = operator.forward(normal(d.shape, seed, d.is_complex()))
    mean = operator.posterior_mean(d, y[0], t)
    gradient = operator.adjoint(operator.forward(mean) - y[0]) / operator.noise_std**2 + (mean - d) / t**2
    scale = (operator.adjoint(y[0]) / operator.noise_std**2).norm() + (d / t**2).norm()
    assert gradient.norm() <= 2e-2 * scale
