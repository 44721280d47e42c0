import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from alps_exp.crops import center_crop
from alps_exp.evaluation import complex_nmse, image_metrics, nmse, spread_and_error, ssim


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def faces(generator, *shape, noise=0.3):
    truth = torch.rand(*shape, generator=generator) * 2 - 1
    return truth + noise * torch.randn(*shape, generator=generator), truth


def brains(generator, *shape):
    truth = torch.randn(*shape, dtype=torch.complex64, generator=generator) / 3
    return truth + 0.1 * torch.randn(*shape, dtype=torch.complex64, generator=generator), truth


def skimage_ssim(estimate, truth, data_range):
    return structural_similarity(
        estimate,
        truth,
        data_range=data_range,
        channel_axis=0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )


def test_faces_agree_with_scikit_image_after_clipping(generator):
    estimates, truths = faces(generator, 3, 3, 24, 20)
    metrics = image_metrics(estimates, truths)
    for i, (estimate, truth) in enumerate(zip(estimates.clamp(-1, 1).double(), truths.double(), strict=True)):
        a, b = estimate.numpy(), truth.numpy()
        assert metrics["psnr"][i].item() == pytest.approx(peak_signal_noise_ratio(b, a, data_range=2), abs=1e-5)
        assert metrics["ssim"][i].item() == pytest.approx(skimage_ssim(a, b, 2), abs=1e-9)
        assert metrics["nmse"][i].item() == pytest.approx(((a - b) ** 2).sum() / (b**2).sum(), rel=1e-9)


@pytest.mark.parametrize("maximum", [1.0, 2.5])
def test_complex_images_agree_with_scikit_image_by_magnitude(generator, maximum):
    estimate, truth = brains(generator, 1, 24, 20)
    metrics = image_metrics(estimate, truth, maximum)
    a, b = np.abs(estimate.numpy().astype("c16")), np.abs(truth.numpy().astype("c16"))
    assert a.max() > 1, "the case must tell whether magnitudes are clipped"
    assert metrics["psnr"].item() == pytest.approx(peak_signal_noise_ratio(b, a, data_range=maximum), abs=1e-5)
    # fastMRI calls structural_similarity with its defaults
    assert metrics["ssim"].item() == pytest.approx(structural_similarity(b[0], a[0], data_range=maximum), abs=1e-9)
    assert metrics["nmse"].item() == pytest.approx(((a - b) ** 2).sum() / (b**2).sum(), rel=1e-9)


def test_metrics_inside_a_crop_are_those_of_the_cropped_images(generator):
    estimate, truth = brains(generator, 2, 1, 25, 20)
    inside = image_metrics(estimate, truth, crop=(12, 13))
    expected = image_metrics(estimate[..., 6:18, 3:16], truth[..., 6:18, 3:16])
    assert all(torch.equal(inside[name], expected[name]) for name in expected)
    with pytest.raises(ValueError, match="26 x 20.*25 x 20"):
        center_crop(truth, (26, 20))


def test_complex_nmse_alone_sees_the_phase(generator):
    truth = torch.ones(1, 12, 12, dtype=torch.complex64)
    assert complex_nmse(1j * truth, truth).item() == pytest.approx(2)
    assert nmse(1j * truth, truth).item() == pytest.approx(0)
    assert image_metrics(1j * truth, truth)["psnr"].item() > 100
    estimate, truth = brains(generator, 1, 12, 12)
    a, b = estimate.numpy(), truth.numpy()
    assert complex_nmse(estimate, truth).item() == pytest.approx((abs(a - b) ** 2).sum() / (abs(b) ** 2).sum())


def test_psnr_of_a_known_error():
    truth = torch.zeros(3, 12, 12)
    assert image_metrics(truth + 0.2, truth)["psnr"].item() == pytest.approx(20, abs=1e-5)


def test_an_image_has_the_same_metrics_alone_and_in_any_batch(generator):
    estimates, truths = faces(generator, 2, 4, 3, 16, 16)
    batch = image_metrics(estimates, truths[0])
    for name, values in batch.items():
        assert values.shape == (2, 4)
        alone = image_metrics(estimates[1, 2], truths[0, 2])[name]
        assert values[1, 2].item() == pytest.approx(alone.item(), rel=1e-12)


def test_spread_equals_error_on_average_when_truth_is_one_more_sample(generator):
    """Truth and samples drawn from one Gaussian, so the pooled ratio is 1 for every S, here within 1 %."""
    for num_samples in (2, 5):
        draws = torch.randn(num_samples + 1, 200, 1, 24, 24, generator=generator)
        samples, truth = draws[:-1], draws[-1]
        spread, error = spread_and_error(samples, truth)
        assert spread is not None
        ratio = spread.square().sum().sqrt() / error.square().sum().sqrt()
        assert spread.shape == (200,)
        assert ratio.item() == pytest.approx(1, abs=0.01)


def test_spread_and_error_count_one_real_degree_of_freedom(generator):
    """Complex noise whose parts have standard deviation 0.3 has the spread and error of real noise of 0.3."""
    draws = 0.3 * torch.view_as_complex(torch.randn(1001, 1, 12, 12, 2, generator=generator))
    samples, truth = draws[:-1], draws[-1]
    spread, error = spread_and_error(samples, truth)
    assert spread is not None
    assert spread.item() == pytest.approx(0.3, rel=0.01)
    assert error.item() == pytest.approx(truth.abs().square().mean().div(2).sqrt().item(), rel=0.01)


def test_spread_by_hand():
    samples = torch.tensor([[0.0, -1.0], [2.0, 3.0]]).reshape(2, 1, 1, 2)  # means 1 and 1, variances 2 and 8
    spread, error = spread_and_error(samples, torch.zeros(1, 1, 2))
    assert spread is not None
    assert spread.item() == pytest.approx((1.5 * 5) ** 0.5)
    assert error.item() == pytest.approx(1)


def test_too_few_samples_have_no_spread():
    image = torch.zeros(1, 1, 12, 12)
    assert spread_and_error(image, image[0])[0] is None
    for count, is_known in ((2, False), (3, False), (4, True)):
        spread, error = spread_and_error(image.expand(count, 1, 12, 12), image[0], antithetic=True)
        assert (spread is not None) == is_known and error.item() == 0


@pytest.mark.parametrize("num_samples", [4, 5, 8])
def test_spread_of_antithetic_pairs_equals_error_on_average(generator, num_samples):
    """Pairs m + h and m - h with variances 0.3 and 0.7, and a truth of variance 1: the pooled ratio is 1 within 1 %."""
    pairs = -(-num_samples // 2)
    middle, half, truth = (torch.randn(n, 400, 1, 24, 24, generator=generator) for n in (pairs, pairs, 1))
    middle, half = 0.3**0.5 * middle, 0.7**0.5 * half
    samples = torch.stack([middle + half, middle - half], 1).flatten(0, 1)[:num_samples]
    spread, error = spread_and_error(samples, truth[0], antithetic=True)
    assert spread is not None
    ratio = spread.square().sum().sqrt() / error.square().sum().sqrt()
    assert ratio.item() == pytest.approx(1, abs=0.01)
    naive, _ = spread_and_error(samples, truth[0])
    assert naive is not None and naive.mean() > 1.03 * spread.mean()


def test_mistakes_are_named():
    real, image = torch.zeros(3, 12, 12), torch.zeros(1, 12, 12, dtype=torch.complex64)
    with pytest.raises(ValueError, match="real.*complex"):
        image_metrics(image, real)
    with pytest.raises(ValueError, match="3 x 12 x 12.*1 x 12 x 12"):
        image_metrics(real[:1], real)
    with pytest.raises(ValueError, match="11 x 11.*12 x 10"):
        ssim(real[..., :10], real[..., :10])
