"""Sequential Monte Carlo against posteriors, evidences and mode weights in closed form."""

import math

import pytest
import torch
from gaussian_posterior import compare, measurement, operator_named, random_prior
from many_chains import last_state, two_modes

from alps_exp import restore
from alps_exp.estimates import Estimates, Weights, systematic_choice
from alps_exp.evaluation import exact_posterior
from alps_exp.operators import GaussianBlur, Inpainting, JointOperator
from alps_exp.priors import ComposedEnergy, two_mode_mixture
from alps_exp.report import build_table
from alps_exp.samplers import SMC, ExplicitSchedule, GeometricSchedule, KarrasSchedule
from alps_exp.samplers.gaussian_model import raised

SIGMA_MIN = 0.05
SCHEDULE = GeometricSchedule(5.0, SIGMA_MIN, 30)


def run(sampler, prior, operator, y, chains):
    last = last_state(sampler, prior, operator, y, chains)
    return Estimates(last.x, torch.ones(1), torch.ones(1), last.diagnostics, weights=last.weights)


def joint():
    """Return two measurements of unequal noise, whose weights must not enter the evidence."""
    mask = (torch.arange(9) % 2).reshape(1, 1, 3, 3)
    return JointOperator([Inpainting(mask, 0.05), GaussianBlur(0.8, 0.2)], (1, 3, 3)), torch.float64


@pytest.mark.parametrize("name", ["inpainting", "blur", "nothing", "joint", "mri_1d", "mri_2d"])
def test_on_gaussians_every_weight_is_the_evidence(name):
    """Whatever the number of scales, since every step is exact."""
    operator, dtype = joint() if name == "joint" else operator_named(name)
    prior = random_prior(dtype)
    y = measurement(operator, prior)
    estimates = run(SMC(GeometricSchedule(3.0, SIGMA_MIN, 4)), prior, operator, y, chains=4000)
    exact = exact_posterior(prior, operator, y, SIGMA_MIN)
    assert torch.allclose(estimates.weights.shares, torch.full((4000, 1), 1 / 4000, dtype=torch.float64), rtol=1e-5)
    evidence = estimates.diagnostics["log_evidence"]
    assert torch.allclose(evidence, exact.log_evidence.expand_as(evidence), atol=1e-5)
    assert estimates.diagnostics["log_evidence_std"].max() < 1e-5
    x = estimates.samples.flatten(1)
    deviations = x - x.mean(0)
    covariance = deviations.mT @ deviations.conj() / 4000 / (2 if dtype.is_complex else 1)
    ratios, error = compare((x.mean(0), covariance), (exact.mean.flatten(), exact.covariance))
    assert 0.93 < ratios.min() and ratios.max() < 1.07
    assert error < 4.5 / math.sqrt(4000)


def test_the_joint_evidence_is_that_of_the_measurements_themselves():
    """Of y_k, not of w_k y_k: by the density of one measurement after the other."""
    operator, dtype = joint()
    prior = random_prior(dtype)
    y = measurement(operator, prior)
    first, second = operator.operators
    y1, y2 = (part.reshape(1, 1, 3, 3) / weight for part, weight in zip(y.split(9, -1), operator.weights, strict=True))
    given = exact_posterior(prior, first, y1)
    expected = given.log_evidence + exact_posterior(given, second, y2).log_evidence
    assert torch.allclose(exact_posterior(prior, operator, y).log_evidence, expected, atol=1e-8)


@pytest.mark.parametrize("complex_valued", [False, True])
def test_modes_have_their_mass_and_errors_cover(complex_valued):
    """40 runs of 100 chains, each as an image: mean and scatter of weight and evidence against closed forms."""
    prior = two_mode_mixture(2, complex_valued=complex_valued, height=0.8, std=0.15)
    operator = Inpainting(torch.tensor([[[[1, 0], [0, 0]]]]), 0.5)
    y = 0.1 * prior.means[:1] * operator.mask
    exact = exact_posterior(prior, operator, y, SIGMA_MIN)
    runs = 40
    estimates = SMC(SCHEDULE)(prior, operator, y.expand(runs, -1, -1, -1), num_samples=100)
    first = exact.responsibilities(estimates.samples, 1e-6)[..., 0]
    weight, error = estimates.expectation(first)
    of_evidence = [estimates.diagnostics[name][0] for name in ("log_evidence", "log_evidence_std")]
    for (values, errors), truth in (((weight, error), exact.weights[0]), (of_evidence, exact.log_evidence)):
        assert abs(values.mean() - truth) < 0.01 + 3 * values.std() / math.sqrt(runs)
        assert 0.75 < ((values - truth) / errors).square().mean().sqrt() < 1.3
    assert 0.2 < exact.weights[0] < 0.8 and error.mean() < 0.08


def test_weights_bring_the_mode_that_annealing_misplaces():
    prior, operator, y = two_modes(0.02)
    exact = exact_posterior(prior, operator, y, SIGMA_MIN)
    estimates = run(SMC(GeometricSchedule(5.0, SIGMA_MIN, 50)), prior, operator, y, chains=4000)
    low, error = estimates.expectation((estimates.samples < 0).double()[..., 0, 0, 0])
    assert abs(low - exact.weights[0]) < 3 * error < 0.03
    assert abs(estimates.mean - exact.mean) < 6 * error
    assert abs(estimates.std.square() / exact.covariance - 1) < 0.1


def test_weights_by_hand():
    weights = Weights(torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0, 2, 2]))
    x = torch.tensor([1.0, 2.0, 4.0])
    mean = 0.5 + 0.6 + 0.8
    of_mean = 3 / 2 * ((0.5 * (1 - mean)) ** 2 + (0.3 * (2 - mean) + 0.2 * (4 - mean)) ** 2)
    second = 0.5 * (1 - mean) ** 2 + 0.3 * (2 - mean) ** 2 + 0.2 * (4 - mean) ** 2
    assert weights.mean(x).item() == pytest.approx(mean)
    assert weights.std_of_mean(x).item() == pytest.approx(of_mean**0.5)
    assert weights.std(x).item() == pytest.approx((second + of_mean) ** 0.5)
    assert (weights.effective_sample_size.item(), weights.surviving.item()) == (pytest.approx(2), 2)
    assert weights.std_of_log_evidence.item() == pytest.approx(((3 * 0.5 - 1) / 2) ** 0.5)
    assert weights.resampled(x).tolist() == [1, 1, 4]  # at 1/6, 3/6 and 5/6 of the total weight


def test_equal_weights_of_independent_chains_are_no_weights():
    x = torch.randn(6, 2, 1, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.complex128)
    weights = Weights(torch.full((6, 2), 1 / 6), torch.arange(6)[:, None].expand(6, 2))
    calls = torch.ones(2)
    plain, weighted = Estimates(x, calls, calls), Estimates(x, calls, calls, weights=weights)
    assert torch.allclose(plain.mean, weighted.mean, atol=1e-7) and torch.allclose(plain.std, weighted.std, atol=1e-6)
    for of_plain, of_weighted in zip(plain.expectation(x.real), weighted.expectation(x.real), strict=True):
        assert torch.allclose(of_plain, of_weighted, atol=1e-6)
    assert torch.equal(weighted.equally_weighted().samples, x)
    assert torch.allclose(weights.effective_sample_size, torch.tensor([6.0, 6.0]))


def test_systematic_choice_takes_each_as_often_as_its_weight_says():
    shares = torch.rand(50, 3, generator=torch.Generator().manual_seed(0)).double().square()
    shares = shares / shares.sum(0)
    offsets = torch.linspace(0, 1, 201, dtype=torch.float64)
    counts = torch.zeros(50, 3)
    for offset in offsets:
        chosen = systematic_choice(shares, offset.expand(3))
        of_one = torch.stack([torch.bincount(chosen[:, i], minlength=50) for i in range(3)], dim=1)
        assert ((of_one - 50 * shares).abs() < 1).all()
        counts += of_one / len(offsets)
    assert torch.allclose(counts.double(), 50 * shares, atol=0.02)


def test_an_image_and_its_calls_are_the_same_alone_in_a_batch_and_in_micro_batches():
    prior = two_mode_mixture(4).double()
    masks = (torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0)) < 0.5).double()
    truth = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(1)).double()

    def restore_images(*images, micro_batch=None):
        sampler = SMC(GeometricSchedule(3.0, 0.1, 4), micro_batch=micro_batch)
        operator = Inpainting(masks[list(images)], noise_std=0.3)
        return sampler(prior, operator, operator.forward(truth[list(images)]), 12, image_ids=[f"i{i}" for i in images])

    together = restore_images(0, 1, 2)
    # 3 scales with noise, and one start for the 12 chains; 16 products each.
    assert together.nfe_forward.tolist() == pytest.approx([3 + 1 / 12] * 3)
    assert together.nfe_vjp.tolist() == pytest.approx([16 * (3 + 1 / 12)] * 3)
    before = prior.calls.forward, prior.calls.vjp
    alone = restore_images(2)
    spent = prior.calls.forward - before[0], prior.calls.vjp - before[1]
    assert (12 * alone.nfe_forward.item(), 12 * alone.nfe_vjp.item()) == pytest.approx(spent)
    for other, image in ((alone, 0), (restore_images(0, 1, 2, micro_batch=5), 2)):
        assert torch.allclose(other.samples[:, image], together.samples[:, 2], atol=1e-8)
        assert torch.allclose(other.weights.shares[:, image], together.weights.shares[:, 2], atol=1e-8)
        for name in ("log_evidence", "ancestors"):
            assert torch.allclose(other.diagnostics[name][:, image], together.diagnostics[name][:, 2], atol=1e-8)


def test_a_jacobian_that_is_no_covariance_is_raised_to_one():
    generator = torch.Generator().manual_seed(0)
    matrices = torch.randn(5, 2, 4, 4, dtype=torch.float64, generator=generator)
    matrices = matrices + matrices.mT
    good = torch.eye(4, dtype=torch.float64) * 0.5
    matrices[1, 1] = good
    found = raised(matrices, 0.0, -0.1)
    assert torch.equal(found[1, 1], good)
    values, before = torch.linalg.eigvalsh(found), torch.linalg.eigvalsh(matrices)
    wrong = before[..., 0] < -0.1
    assert wrong.sum() > 4 and torch.allclose(values[wrong], before[wrong].clamp(min=0), atol=1e-9)


def test_a_larger_error_of_the_denoiser_widens_the_steps_and_the_evidence_stays():
    prior, operator, y = two_modes(0.02)
    exact = exact_posterior(prior, operator, y, SIGMA_MIN)
    schedule = GeometricSchedule(5.0, SIGMA_MIN, 100)
    found = [run(SMC(schedule, denoiser_error=error), prior, operator, y, chains=2000) for error in (0.0, 0.1)]
    widened, _ = (1 / estimates.weights.effective_sample_size for estimates in reversed(found))
    assert widened > 1 / found[0].weights.effective_sample_size
    for estimates in found:
        assert abs(estimates.diagnostics["log_evidence"][0] - exact.log_evidence) < 0.1


def test_few_ancestors_certify_nothing_and_say_so(tmp_path, caplog):
    prior, operator = two_mode_mixture(11), Inpainting(torch.ones(1, 1, 11, 11), noise_std=0.1)
    truth, sampler = prior.sample(1, torch.Generator().manual_seed(0)), SMC(GeometricSchedule(steps=4))
    made = restore(truth, operator, sampler, prior, tmp_path, num_samples=9)
    (mmse,) = [record for record in made.folder.records() if record.estimate == "mmse"]
    assert mmse.ancestors <= 9 and "convergence" in mmse.flags
    assert any("fewer than 10 chains" in warning for warning in mmse.warnings)
    assert "fewer than 10 chains" in caplog.text
    assert build_table([tmp_path])["flagged"].max() > 0


def test_records_and_table_go_by_the_weights(tmp_path):
    prior = two_mode_mixture(11, width=3.0)
    operator = Inpainting(torch.zeros(1, 1, 11, 11).index_fill(3, torch.tensor([0]), 1), noise_std=0.3)
    truth = prior.sample(1, torch.Generator().manual_seed(1))
    made = restore(
        truth,
        operator,
        SMC(GeometricSchedule(steps=20)),
        prior,
        tmp_path,
        num_samples=20,
        interval=0.8,
        save_samples=True,
    )
    mmse, *samples = made.folder.records()
    weights = torch.tensor([record.weight for record in samples])
    assert mmse.weight is None and weights.sum().item() == pytest.approx(1)
    assert weights.std() > 0.001 and (weights.diff() <= 0).all()
    stored = made.folder.load_result(mmse.image_id)
    x = torch.as_tensor(stored.samples)
    relation = Weights(weights, torch.zeros(20, dtype=torch.long))
    assert torch.allclose(torch.as_tensor(stored.estimates["mmse"]), relation.mean(x), atol=1e-5)
    rows = build_table([tmp_path]).set_index("estimate")
    expected = sum(record.psnr * record.weight for record in samples)
    assert rows.loc["sample", "psnr"] == pytest.approx(expected)
    assert made.numbers["sample/psnr"] == pytest.approx(expected)
    assert rows.loc["mmse", "psnr"] == pytest.approx(mmse.psnr)
    assert mmse.log_evidence == pytest.approx(made.numbers["mmse/log_evidence"])
    exact = exact_posterior(prior, operator, torch.as_tensor(stored.measurement)[None], SIGMA_MIN)
    assert abs(mmse.log_evidence - exact.log_evidence) < 4 * mmse.log_evidence_std + 0.1


def test_a_measurement_that_is_not_finite_is_not_passed_over():
    prior, operator, y = two_modes(0.02)
    with pytest.raises(FloatingPointError, match="not finite"):
        run(SMC(SCHEDULE), prior, operator, y / 0, chains=4)


@pytest.mark.parametrize(
    "arguments", [{"resample_below": 1.5}, {"denoiser_error": -1.0}, {"schedule": KarrasSchedule(inner_steps=2)}]
)
def test_impossible_settings_are_refused(arguments):
    with pytest.raises(ValueError, match="got"):
        SMC(**arguments)


def test_what_it_cannot_sample_is_refused_with_the_cure():
    prior, operator, y = two_modes(0.02)
    with pytest.raises(ValueError, match="at least 2, got 1"):
        SMC(SCHEDULE)(prior, operator, y)
    with pytest.raises(ValueError, match="composed energy.*sampler=alps"):
        SMC(SCHEDULE)(ComposedEnergy([prior, prior], [0.5, 0.5]), operator, y, 4)
    large = Inpainting(torch.ones(1, 1, 64, 64), 0.3)
    with pytest.raises(ValueError, match="at most, got 4,096: give smaller images"):
        SMC(SCHEDULE)(prior, large, torch.zeros(1, 1, 64, 64), 4)
    middle = Inpainting(torch.ones(1, 1, 32, 32), 0.3)
    with pytest.raises(ValueError, match=r"15\.6 GiB .* of at most 1: give fewer num_samples"):
        SMC(SCHEDULE)(prior, middle, torch.zeros(1, 1, 32, 32), 2000)


def test_a_scale_repeated_in_a_list_is_refused():
    with pytest.raises(ValueError, match="repeated"):
        SMC(ExplicitSchedule((1.0, 0.5), (1, 2)))
