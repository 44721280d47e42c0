"""Antithetic chains: each has its own law, and a pair's mean is the chain without noise."""

import pytest
import torch

from alps_exp import restore
from alps_exp.estimates import Estimates, sample_std, std_of_mean
from alps_exp.operators import Inpainting
from alps_exp.priors import smooth_gaussian
from alps_exp.randomness import KeyedNoise
from alps_exp.samplers import ALPS, DAPS, MALA, MAP, SMC, GeometricSchedule

SIZE = 8
SCHEDULE = GeometricSchedule(sigma_max=5.0, sigma_min=0.05, steps=30)


@pytest.fixture
def problem():
    mask = (torch.rand(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) < 0.5).double()
    operator = Inpainting(mask, noise_std=0.1)
    x = torch.randn(2, 1, SIZE, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return smooth_gaussian(size=SIZE).double(), operator, operator.forward(x)


def test_pairs_have_opposite_noise_keyed_by_the_even_chain():
    x = torch.zeros(2, 1, 4, 4)
    alone, paired = KeyedNoise(0, "ab", 5), KeyedNoise(0, "ab", 5, antithetic=True)
    for _ in range(3):
        single, pairs = alone.draw(x), paired.draw(x)
        assert torch.equal(pairs[::2], single[::2])
        assert torch.equal(pairs[1::2], -pairs[:4:2])


@pytest.mark.parametrize("first", [1, 2, 3])
def test_a_chain_does_not_depend_on_which_others_are_drawn(problem, first):
    """As where several processes share the samples of an image."""
    prior, operator, y = problem
    sampler = ALPS(SCHEDULE)
    whole = sampler(prior, operator, y, 6, antithetic=True).samples
    part = sampler(prior, operator, y, 3, first_sample=first, antithetic=True).samples
    assert torch.allclose(part, whole[first : first + 3], atol=1e-12)


def test_the_mean_of_a_pair_is_the_chain_without_noise(problem):
    prior, operator, y = problem
    pair = ALPS(SCHEDULE)(prior, operator, y, 2, antithetic=True)
    still = ALPS(SCHEDULE, noise="none")(prior, operator, y, 1)
    assert torch.allclose(pair.mean, still.mean, atol=1e-9)
    assert not torch.allclose(pair.samples[0], pair.samples[1], atol=1e-2)


def test_the_standard_deviation_by_pairs_is_that_of_independent_chains(problem):
    prior, operator, y = problem
    sampler = ALPS(SCHEDULE)
    pairs = sampler(prior, operator, y, 2000, antithetic=True)
    independent = sampler(prior, operator, y, 2000, seed=1)
    ratio = pairs.std.square().mean().sqrt() / independent.std.square().mean().sqrt()
    assert ratio.item() == pytest.approx(1, abs=0.01)
    error = (pairs.mean - independent.mean).abs().mean() / independent.std.mean()
    assert error < 0.05
    assert std_of_mean(pairs.samples, antithetic=True).mean() < 0.2 * std_of_mean(independent.samples).mean()


def test_the_estimators_by_hand():
    samples = torch.tensor([1.0, 3.0, 6.0, 4.0])  # pairs of mean 2 and 5, half differences 1 and 1
    assert sample_std(samples, antithetic=True).item() == pytest.approx((4.5 + 1) ** 0.5)
    assert std_of_mean(samples, antithetic=True).item() == pytest.approx((4.5 / 2) ** 0.5)
    with_one_alone = torch.cat([samples, torch.tensor([100.0])])
    assert sample_std(with_one_alone, antithetic=True).item() == pytest.approx((4.5 + 1) ** 0.5)
    assert std_of_mean(with_one_alone, antithetic=True).item() == pytest.approx((8 * 4.5 + 5.5) ** 0.5 / 5)


def test_a_single_pair_has_a_mean_and_no_standard_deviation():
    calls = torch.ones(1)
    pair = Estimates(torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1, 1), calls, calls, antithetic=True)
    assert pair.mean.item() == 2
    with pytest.raises(ValueError, match="at least 4 antithetic samples, got 2"):
        _ = pair.std


@pytest.mark.parametrize("sampler", [SMC(SCHEDULE), MAP(SCHEDULE), MALA(SCHEDULE)])
def test_samplers_that_draw_by_chance_refuse_pairs(problem, sampler):
    with pytest.raises(ValueError, match=f"the chains of {type(sampler).__name__} are no antithetic pairs"):
        sampler(*problem, 4, antithetic=True)


@pytest.mark.parametrize(("count", "has_spread"), [(2, False), (5, True)])
def test_a_run_of_pairs_says_so_and_gives_a_spread_if_it_has_one(tmp_path, count, has_spread):
    operator = Inpainting((torch.rand(1, 1, 12, 12) < 0.5).float(), noise_std=0.1)
    images = 0.3 * torch.randn(2, 1, 12, 12)
    sampler = DAPS(SCHEDULE, ode_steps=2, langevin_steps=2)
    run = restore(images, operator, sampler, smooth_gaussian(size=12), tmp_path, num_samples=count, antithetic=True)
    means = run.records[run.records["estimate"] == "mmse"]
    assert run.records["antithetic"].all() and means["spread"].notna().all() == has_spread
    assert (run.folder.load_result("0000").std is not None) == has_spread


@pytest.mark.parametrize("sampler", [SMC(SCHEDULE), MAP(SCHEDULE), MALA(SCHEDULE)])
def test_a_run_that_cannot_have_pairs_is_refused(tmp_path, sampler):
    operator, prior = Inpainting(torch.ones(1, 1, 12, 12), noise_std=0.1), smooth_gaussian(size=12)
    with pytest.raises(ValueError, match="are no antithetic pairs: give antithetic=false"):
        restore(torch.zeros(1, 1, 12, 12), operator, sampler, prior, tmp_path, num_samples=4, antithetic=True)


def test_intervals_need_independent_samples(tmp_path):
    operator = Inpainting(torch.ones(1, 1, SIZE, SIZE), noise_std=0.1)
    with pytest.raises(ValueError, match="antithetic=false"):
        arguments = (torch.zeros(1, 1, SIZE, SIZE), operator, ALPS(SCHEDULE), smooth_gaussian(size=SIZE), tmp_path)
        restore(*arguments, num_samples=19, interval=0.9, antithetic=True)
