"""Blur: kernels and transfer functions against scipy and against the published code."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch
from operator_cases import randn

from alps_exp.operators import Blur, GaussianBlur, MotionBlur
from alps_exp.operators.blur import line_kernel


@pytest.mark.parametrize("kernel_size", [(3, 3), (5, 2), (4, 4), (1, 7), (8, 9)])
@pytest.mark.parametrize("image_size", [(8, 9), (11, 10)])
def test_blur_is_circular_convolution(kernel_size: tuple[int, int], image_size: tuple[int, int]) -> None:
    kernel, x = randn(*kernel_size, seed=1), randn(*image_size, seed=2)
    expected = scipy.ndimage.convolve(x.numpy(), kernel.numpy(), mode="wrap")
    blurred = Blur(kernel, 0.1).forward(x[None, None])[0, 0]
    np.testing.assert_allclose(blurred.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_motion_blur_is_convolution_with_its_kernel() -> None:
    operator, x = MotionBlur(5, 30, 0.1), randn(12, 13, seed=2)
    expected = scipy.ndimage.convolve(x.numpy(), operator.kernel.numpy(), mode="wrap")
    np.testing.assert_allclose(operator.forward(x[None, None])[0, 0].numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sigma", [0.5, 1.5, 6.0])
def test_gaussian_blur_equals_scipy(sigma: float) -> None:
    x = randn(12, 9, seed=1)
    expected = np.fft.ifft2(scipy.ndimage.fourier_gaussian(np.fft.fft2(x.numpy()), sigma)).real
    blurred = GaussianBlur(sigma, 0.1).forward(x[None, None])[0, 0]
    np.testing.assert_allclose(blurred.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_complex_images_are_blurred_by_parts() -> None:
    x = randn(2, 1, 8, 7, seed=1, dtype=torch.complex128)
    for operator in (MotionBlur(4, 20, 0.1), GaussianBlur(1, 0.1)):
        expected = torch.complex(operator.forward(x.real), operator.forward(x.imag))
        torch.testing.assert_close(operator.forward(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("angle", [0, 30, 90, 135, -45])
@pytest.mark.parametrize("length", [0.5, 4, 5, 9.5])
def test_line_kernel_has_the_moments_of_a_line(length: float, angle: float) -> None:
    kernel = MotionBlur(length, angle, 0.1).kernel.numpy()
    rows, columns = (np.arange(size) - size // 2 for size in kernel.shape)
    direction = np.array([np.sin(np.radians(angle)), np.cos(np.radians(angle))])
    first = np.array([kernel.sum(1) @ rows, kernel.sum(0) @ columns])
    second = np.array(
        [
            [kernel.sum(1) @ rows**2, rows @ kernel @ columns],
            [rows @ kernel @ columns, kernel.sum(0) @ columns**2],
        ]
    )
    assert kernel.min() >= 0
    assert kernel.sum() == pytest.approx(1)
    np.testing.assert_allclose(first, 0, atol=1e-12)
    # A line has second moment length^2 / 12; sampling on pixels adds up to about 1/4 to a direction's own.
    np.testing.assert_allclose(second, length**2 / 12 * np.outer(direction, direction), atol=0.06 * length + 0.12)


def test_horizontal_line_covers_its_pixels_evenly() -> None:
    kernel = MotionBlur(5, 0, 0.1).kernel
    assert kernel.shape == (1, 7)
    torch.testing.assert_close(kernel[0, 2:5], torch.full((3,), 0.2, dtype=torch.float64), rtol=0.02, atol=0)
    torch.testing.assert_close(MotionBlur(5, 90, 0.1).kernel, kernel.T)


def test_kernels_equal_the_published_code(reference: dict[str, np.ndarray]) -> None:
    gaussian = GaussianBlur(1.5, 0.05).transfer_function(12, 12)
    np.testing.assert_allclose(gaussian.numpy(), reference["gaussian_blur/frequency_response"][0, 0], atol=1e-7)
    kernel = np.fft.fftshift(np.fft.ifft2(reference["motion_blur/frequency_response"][0, 0]).real)
    np.testing.assert_allclose(line_kernel(5, 30, 12, 12).numpy(), kernel, atol=1e-7)


def test_bad_input() -> None:
    image = torch.zeros(1, 3, 8, 8)
    with pytest.raises(ValueError, match="9 x 3.*8 x 8"):
        Blur(torch.ones(9, 3), 0.1).forward(image)
    with pytest.raises(ValueError, match="1 x 21.*8 x 8"):
        MotionBlur(20, 0, 0.1).solve(image, 1.0)
    with pytest.raises(ValueError, match=r"^kernel.*real finite \(kh, kw\)"):
        Blur(torch.ones(1, 1, 3, 3), 0.1)
    with pytest.raises(ValueError, match=r"^kernel.*real finite \(kh, kw\)"):
        Blur(torch.tensor([[float("nan")]]), 0.1)
    with pytest.raises(ValueError, match="^sigma.* 0$"):
        GaussianBlur(0, 0.1)
    with pytest.raises(ValueError, match="^length.* -3$"):
        MotionBlur(-3, 0, 0.1)
    with pytest.raises(ValueError, match="^angle.* inf$"):
        MotionBlur(3, float("inf"), 0.1)
