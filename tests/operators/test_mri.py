"""Multi-coil MRI: the forward model against sigpy, its two solvers against each other, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
import sigpy.mri
import torch
from operator_cases import BATCH, COILS, ETA, HEIGHT, WIDTH, randn, random_mask, smooth_maps, two_sets

from alps_exp.operators import MultiCoilMRI

COMPLEX = torch.complex128


def test_forward_and_adjoint_equal_sigpy() -> None:
    mask, maps = random_mask(BATCH, 1, HEIGHT, WIDTH, seed=1), smooth_maps(COMPLEX)
    operator = MultiCoilMRI(mask, maps, ETA)
    x = randn(BATCH, 1, HEIGHT, WIDTH, seed=2, dtype=COMPLEX)
    y = randn(BATCH, COILS, HEIGHT, WIDTH, seed=3, dtype=COMPLEX)
    kspace, images = operator.forward(x), operator.adjoint(y)
    for index in range(BATCH):
        sense = sigpy.mri.linop.Sense(maps[index].numpy(), weights=mask[index, 0].numpy())
        np.testing.assert_allclose(kspace[index].numpy(), sense * x[index, 0].numpy(), atol=1e-12)
        np.testing.assert_allclose(images[index, 0].numpy(), sense.H * y[index].numpy(), atol=1e-12)


def test_sets_of_maps_add_up_in_the_coils() -> None:
    mask, maps = random_mask(BATCH, 1, HEIGHT, WIDTH, seed=1), two_sets(COMPLEX)
    operator = MultiCoilMRI(mask, maps, ETA)
    x = randn(BATCH, 2, HEIGHT, WIDTH, seed=2, dtype=COMPLEX)
    y = randn(BATCH, COILS, HEIGHT, WIDTH, seed=3, dtype=COMPLEX)
    kspace, images = operator.forward(x), operator.adjoint(y)
    for index in range(BATCH):
        senses = [sigpy.mri.linop.Sense(maps[index, m].numpy(), weights=mask[index, 0].numpy()) for m in range(2)]
        expected = sum(sense * x[index, m].numpy() for m, sense in enumerate(senses))
        np.testing.assert_allclose(kspace[index].numpy(), expected, atol=1e-12)
        for m, sense in enumerate(senses):
            np.testing.assert_allclose(images[index, m].numpy(), sense.H * y[index].numpy(), atol=1e-12)


def test_folded_field_of_view_is_unfolded_by_two_sets_and_not_by_one() -> None:
    """An object of twice the field of view, seen by every coil at both of its halves."""
    maps = two_sets(COMPLEX)[:1]
    object_halves = randn(1, 2, HEIGHT, WIDTH, seed=2, dtype=COMPLEX)
    full = torch.ones(1, 1, HEIGHT, WIDTH)
    y = MultiCoilMRI(full, maps, ETA).forward(object_halves)
    unfolded = MultiCoilMRI(full, maps, ETA).solve(MultiCoilMRI(full, maps, ETA).adjoint(y), 1e3)
    torch.testing.assert_close(unfolded, object_halves, rtol=0, atol=1e-4)
    one_set = MultiCoilMRI(full, maps[:, 0], ETA)
    estimate = one_set.solve(one_set.adjoint(y), 1e3)
    assert one_set.misfit(estimate, y) > 20 * y.numel()


def test_acceleration_is_exact() -> None:
    mask = torch.zeros(2, 1, 1, WIDTH)
    mask[0, ..., 0], mask[1, ..., :3] = 1, 1
    operator = MultiCoilMRI(mask, smooth_maps(COMPLEX)[:1], ETA)
    torch.testing.assert_close(operator.acceleration, torch.tensor([7, 7 / 3], dtype=torch.float64))


def test_forward_and_adjoint_equal_the_published_code(reference: dict[str, np.ndarray]) -> None:
    arrays = {name: torch.from_numpy(reference[f"mri/{name}"]) for name in ("truth", "kspace", "forward", "adjoint")}
    mask, maps = (torch.from_numpy(reference[f"mri/{name}"]) for name in ("mask", "sensitivity_maps"))
    operator = MultiCoilMRI(mask.real, maps, 0.05)
    torch.testing.assert_close(operator.forward(arrays["truth"]), arrays["forward"], rtol=0, atol=1e-12)
    torch.testing.assert_close(operator.adjoint(arrays["kspace"]), arrays["adjoint"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("mask_size", [(1, WIDTH), (HEIGHT, 1)])
@pytest.mark.parametrize("t", [0.1, 3.0, torch.logspace(-1, 1, BATCH)])
def test_blocks_equal_conjugate_gradients(mask_size: tuple[int, int], t: float) -> None:
    mask, maps = random_mask(BATCH, 1, *mask_size, seed=1), smooth_maps(COMPLEX)
    b = randn(2, BATCH, 1, HEIGHT, WIDTH, seed=2, dtype=COMPLEX)
    blocks = MultiCoilMRI(mask, maps, ETA).solve(b, t)
    iterations = MultiCoilMRI(mask, maps, ETA, tolerance=1e-9, solver="cg").solve(b, t)
    torch.testing.assert_close(blocks, iterations, rtol=1e-7, atol=1e-7 * float(blocks.abs().max()))


def test_maps_and_mask_may_be_shared_by_the_batch() -> None:
    x = randn(3, 4, 1, HEIGHT, WIDTH, seed=2, dtype=COMPLEX)
    for mask_size in ((1, WIDTH), (HEIGHT, WIDTH)):
        mask, maps = random_mask(1, 1, *mask_size, seed=1), smooth_maps(COMPLEX)[:1]
        shared = MultiCoilMRI(mask, maps, ETA)
        repeated = MultiCoilMRI(mask.expand(4, -1, -1, -1), maps.expand(4, -1, -1, -1), ETA)
        assert torch.equal(shared.forward(x), repeated.forward(x))
        torch.testing.assert_close(shared.solve(x, 1.0), repeated.solve(x, 1.0), rtol=1e-10, atol=1e-10)


def test_published_noise_leaves_out_the_coils() -> None:
    mask = random_mask(BATCH, 1, HEIGHT, WIDTH, seed=1)
    z, t = randn(BATCH, 1, HEIGHT, WIDTH, seed=2, dtype=COMPLEX), 0.3
    noise = MultiCoilMRI(mask, smooth_maps(COMPLEX), ETA).posterior_noise(z, t)

    def shifted(values: np.ndarray, transform: str) -> np.ndarray:
        values = np.fft.ifftshift(values, axes=(-2, -1))
        return np.fft.fftshift(getattr(np.fft, transform)(values, norm="ortho"), axes=(-2, -1))

    variance = 1 / (mask.numpy() / ETA**2 + 1 / t**2)
    np.testing.assert_allclose(
        noise.numpy(), shifted(np.sqrt(variance) * shifted(z.numpy(), "fft2"), "ifft2"), atol=1e-12
    )


def test_iteration_limit_is_an_error() -> None:
    mask, maps = random_mask(1, 1, HEIGHT, WIDTH, seed=1), smooth_maps(COMPLEX)[:1]
    operator = MultiCoilMRI(mask, maps, ETA, max_iterations=5)
    with pytest.raises(RuntimeError, match="5 iterations.*1 of 1"):
        operator.solve(randn(1, 1, HEIGHT, WIDTH, seed=2, dtype=COMPLEX), 10.0)


def test_bad_input() -> None:
    mask, maps = torch.ones(2, 1, HEIGHT, WIDTH), smooth_maps(COMPLEX)[:2]
    with pytest.raises(ValueError, match="^sensitivity_maps.*complex"):
        MultiCoilMRI(mask, maps.real, ETA)
    with pytest.raises(ValueError, match="^sensitivity_maps.*complex"):
        MultiCoilMRI(mask, maps[0], ETA)
    for wrong in (mask[..., :-1], mask.expand(2, 3, HEIGHT, WIDTH), torch.ones(3, 1, HEIGHT, WIDTH)):
        with pytest.raises(ValueError, match="^mask.*sensitivity_maps"):
            MultiCoilMRI(wrong, maps, ETA)
    with pytest.raises(ValueError, match="^mask.*0 and 1"):
        MultiCoilMRI(0.5 * mask, maps, ETA)
    with pytest.raises(ValueError, match="^tolerance.*positive"):
        MultiCoilMRI(mask, maps, ETA, tolerance=0)
    with pytest.raises(ValueError, match="^solver.*auto.*cg.*direct"):
        MultiCoilMRI(mask, maps, ETA, solver="direct")


def test_tensors_that_do_not_fit() -> None:
    operator = MultiCoilMRI(torch.ones(2, 1, HEIGHT, WIDTH), smooth_maps(COMPLEX)[:2], ETA)
    for image in (torch.zeros(2, 1, HEIGHT, WIDTH), torch.zeros(2, 2, HEIGHT, WIDTH, dtype=COMPLEX)):
        with pytest.raises(ValueError, match="^image.*complex"):
            operator.forward(image)
    with pytest.raises(ValueError, match="^mask of shape .* shape"):
        operator.forward(torch.zeros(3, 1, HEIGHT, WIDTH, dtype=COMPLEX))
    with pytest.raises(ValueError, match=r"^k-space.*3, 8, 7\)"):
        operator.adjoint(torch.zeros(2, 4, HEIGHT, WIDTH, dtype=COMPLEX))
    with pytest.raises(ValueError, match="does not fit"):
        operator.adjoint(torch.zeros(3, COILS, HEIGHT, WIDTH, dtype=COMPLEX))
