"""K-space of a phantom under smooth coils, with white noise of a known level."""

import numpy as np

NOISE = 0.02


def to_kspace(image):
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image, (-2, -1)), norm="ortho"), (-2, -1))


def phantom(rows, columns):
    """Return an ellipse with three discs, 1 to 1.9 at the brightest, and the coordinates of its pixels in [-1, 1]."""
    y, x = np.mgrid[:rows, :columns]
    y, x = (y - rows // 2) / (rows / 2), (x - columns // 2) / (columns / 2)
    image = (np.hypot(y / 0.85, x / 0.7) < 1) * 1.0
    for cy, cx, radius, value in ((0.3, 0.2, 0.2, -0.5), (-0.3, -0.2, 0.25, 0.6), (0.1, -0.35, 0.1, 0.9)):
        image += value * (np.hypot(y - cy, x - cx) < radius)
    return image * np.exp(1j * (0.6 * x + 0.3 * y)), y, x


def coil_maps(y, x, coils):
    """Return smooth maps (coils, H, W) whose squares sum to 1."""
    angles = 2 * np.pi * np.arange(coils) / coils
    maps = np.stack(
        [
            np.exp(-((y - 1.3 * np.sin(a)) ** 2 + (x - 1.3 * np.cos(a)) ** 2) / 2.5) * np.exp(1j * (a + x * np.cos(a)))
            for a in angles
        ]
    )
    return maps / np.sqrt((np.abs(maps) ** 2).sum(0))


def kspace_of(rows, columns, coils, noise=NOISE, seed=0):
    """Return k-space (coils, H, W), the image (H, W) and the maps."""
    image, y, x = phantom(rows, columns)
    maps = coil_maps(y, x, coils) if coils > 1 else np.ones((1, rows, columns), complex)
    normals = np.random.default_rng(seed).standard_normal((2, coils, rows, columns))
    return (to_kspace(maps * image) + noise * (normals[0] + 1j * normals[1])).astype(np.complex64), image, maps
