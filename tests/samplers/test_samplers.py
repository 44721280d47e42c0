"""What all samplers promise: keyed noise, results that do not depend on the batch, exact counts."""

import math
from abc import ABCMeta
from inspect import isabstract

import pytest
import torch

from alps_exp import samplers
from alps_exp.operators import Inpainting
from alps_exp.priors import Denoiser, Energy
from alps_exp.randomness import KeyedNoise, torch_generator
from alps_exp.samplers import (
    ALPS,
    CSGM,
    DAPS,
    DDNM,
    DPS,
    MALA,
    MAP,
    MMPS,
    ULA,
    DiffPIR,
    ExplicitSchedule,
    GeometricSchedule,
    KarrasSchedule,
    PiGDM,
    PnPULA,
    REDDiff,
)

SHORT = GeometricSchedule(3.0, 0.05, 4)
SAMPLERS = {
    "alps static": (ALPS(SHORT, annealing="static"), 4, 4),
    "alps diffused": (ALPS(SHORT, annealing="diffused"), 4, 4),
    "alps teacher": (ALPS(SHORT, prior_kind="teacher"), 4, 0),
    "alps paper": (ALPS(KarrasSchedule(10.0, 0.1, 2, 5.0, inner_steps=2), "reference", "static"), 4, 4),
    "map": (MAP(SHORT, max_iterations=2, products=1), None, None),
    "daps": (DAPS(KarrasSchedule(10.0, 0.1, 2, 7.0), ode_steps=2), 4, 0),
    "dps": (DPS(KarrasSchedule(10.0, 0.01, 4, 7.0)), 4, 4),
    "diffpir": (DiffPIR(SHORT), 4, 0),
    "pigdm": (PiGDM(SHORT), 4, 4),
    "pigdm by the score": (PiGDM(SHORT, adaptive_weight=False), 4, 4),
    "mmps": (MMPS(SHORT, iterations=3), 4, 12),
    "mmps energy": (MMPS(SHORT, iterations=2, prior_kind="energy"), 4, 20),
    "ddnm": (DDNM(SHORT), 4, 0),
    "red diff": (REDDiff(SHORT), 4, 0),
    "csgm": (CSGM(SHORT), 4, 0),
    "ula": (ULA(SHORT), 4, 4),
    "mala": (MALA(SHORT), 8, 8),
    "pnp ula": (PnPULA(SHORT), 4, 0),
    "map by majorization": (MAP(SHORT, max_iterations=2, optimizer="majorize", products=1), None, None),
}


@pytest.fixture(params=SAMPLERS, ids=lambda name: name.replace(" ", "-"))
def case(request, network):
    sampler, forward, vjp = SAMPLERS[request.param]
    prior = (Energy if sampler.prior_kind == "energy" else Denoiser)(network(3))
    torch.manual_seed(0)
    masks = (torch.rand(4, 1, 16, 16) < 0.4).float()
    truth = torch.rand(4, 3, 16, 16) * 2 - 1
    return sampler, prior, masks, truth, forward, vjp


def restore(sampler, prior, masks, truth, ids, dtype=torch.float64):
    operator = Inpainting(masks[ids], noise_std=0.1)
    y = operator.forward(truth[ids].to(dtype))
    return sampler(prior.to(dtype), operator, y, num_samples=2, seed=3, image_ids=[f"image{i}" for i in ids])


def test_an_image_and_its_calls_are_the_same_alone_in_a_batch_and_in_micro_batches(case):
    sampler, prior, masks, truth, forward, vjp = case
    together = restore(sampler, prior, masks, truth, [0, 1, 2, 3])
    calls = together.nfe_forward, together.nfe_vjp
    assert tuple(2 * each.sum() for each in calls) == (prior.calls.forward, prior.calls.vjp)
    if forward is not None:
        assert [each.tolist() for each in calls] == [[forward] * 4, [vjp] * 4]
    alone = restore(sampler, prior, masks, truth, [2])
    assert torch.allclose(alone.samples[:, 0], together.samples[:, 2], rtol=1e-10, atol=1e-10)
    assert (alone.nfe_forward, alone.nfe_vjp) == (calls[0][2], calls[1][2])
    sampler.micro_batch = 4
    try:
        parts = restore(sampler, prior, masks, truth, [0, 1, 2, 3])
    finally:
        sampler.micro_batch = None
    assert torch.allclose(parts.samples, together.samples, rtol=1e-10, atol=1e-10)


def test_in_float32_it_is_the_same_to_a_thousandth_of_a_decibel(case):
    sampler, prior, masks, truth, _, _ = case
    together = restore(sampler, prior, masks, truth, [0, 1, 2, 3], torch.float32).mean
    alone = restore(sampler, prior, masks, truth, [2], torch.float32).mean[0]
    errors = [(x - truth[2]).square().mean() for x in (alone, together[2])]
    assert abs(10 * torch.log10(errors[0] / errors[1])) < 1e-3


def test_samples_without_the_noise_of_the_last_step_are_those_of_samplers_that_draw_none(case):
    sampler, prior, masks, truth, _, _ = case
    estimates = restore(sampler, prior, masks, truth, [0, 1])
    if isinstance(sampler, (ALPS, DPS, DiffPIR, PiGDM, MMPS, DDNM)):
        draws = isinstance(sampler, ALPS) and sampler.noise == "calibrated"
        assert torch.equal(estimates.noiseless, estimates.samples) != draws
    else:
        assert estimates.noiseless is None


@pytest.mark.parametrize("kind", [x for x in vars(samplers).values() if isinstance(x, ABCMeta) and not isabstract(x)])
def test_what_a_sampler_has_can_be_asked(kind):
    sampler = kind()
    assert all(hasattr(sampler, attribute) for attribute in dir(sampler))
    assert sampler.last_scale == sampler.schedule()[-1]


def test_noise_is_keyed_by_seed_image_and_sample():
    def draw(seed, ids, samples):
        return KeyedNoise(seed, ids, samples).draw(torch.zeros(len(ids), 1, 32, 32))

    both = draw(0, ["a", "b"], 3)
    assert torch.equal(both[:, 1], draw(0, ["b"], 3)[:, 0])
    assert torch.equal(both[:2], draw(0, ["a", "b"], 2))
    different = [both[0, 0], both[1, 0], both[0, 1], draw(1, ["a"], 1)[0, 0]]
    assert all(not torch.equal(a, b) for i, a in enumerate(different) for b in different[:i])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
def test_noise_of_a_chain_is_one_stream_whatever_is_drawn_with_it(dtype, monkeypatch):
    """Not what other chains there are, nor how many draws are made at once, nor in which shapes they are taken."""
    shapes = [(1, 5, 7), (2, 3, 3), (1, 40, 40), (1, 5, 7), (3, 1, 1)]

    def numbers(samples, first=0, together=True):
        noise = KeyedNoise(0, ["a", "b"], samples, first)
        if not together:
            shape = (1, 1, sum(math.prod(shape) for shape in shapes))
            return noise.draw(torch.zeros(2, *shape, dtype=dtype)).flatten(2)
        return torch.cat([noise.draw(torch.zeros(2, *shape, dtype=dtype)).flatten(2) for shape in shapes], dim=2)

    usual = numbers(3)
    assert torch.equal(usual, numbers(3, together=False))
    assert torch.equal(usual[1:2], numbers(1, first=1))
    monkeypatch.setattr("alps_exp.randomness.NUMBERS_AHEAD", 1)
    assert torch.equal(usual, numbers(3))
    generator = torch_generator(0, "b", 2)
    one = torch.view_as_real(usual) if dtype.is_complex else usual
    plain = torch.randn(-(-one[2, 1].numel() // 16) * 16, generator=generator, dtype=dtype.to_real())
    assert torch.equal(one[2, 1].flatten(), plain[: one[2, 1].numel()])


def test_complex_noise_has_unit_variance_in_each_part():
    noise = KeyedNoise(0, ["a"], 1)
    draw = noise.draw(torch.zeros(1, 1, 256, 256, dtype=torch.complex128))
    assert abs(draw.real.std() - 1) < 0.01 and abs(draw.imag.std() - 1) < 0.01


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ALPS(noise="loud"), "noise is 'loud', expected calibrated"),
        (lambda: ALPS(annealing="simulated"), "annealing is 'simulated', expected static or diffused"),
        (lambda: ALPS(noise="reference", annealing="diffused"), "anneals the static posterior"),
        (lambda: ALPS(annealing="static", moment_matching=2), "matching is 2 with annealing=static"),
        (lambda: GeometricSchedule(0.1, 1.0, 5), "0 < sigma_min < sigma_max, got 1.0 and 0.1"),
        (lambda: GeometricSchedule(1.0, 0.1, 1), "at least 2 scales, got 1"),
        (lambda: DAPS(ode_steps=0), "ode_steps must be at least 1, got 0"),
        (lambda: DAPS(langevin_steps=-1), "langevin_steps must be at least 0, got -1"),
        (lambda: DAPS(step_size=0), "step_size must be a positive finite number, got 0"),
        (lambda: DAPS(likelihood_std=-1), "likelihood_std must be a positive finite number, got -1"),
        (lambda: DiffPIR(weight=0), "weight must be a positive finite number, got 0"),
        (lambda: DiffPIR(zeta=1.5), r"zeta must lie in \[0, 1\], got 1.5"),
        (lambda: PiGDM(eta=-1), r"eta must lie in \[0, 1\], got -1"),
        (lambda: PiGDM(prior_std=0), "prior_std must be a positive finite number, got 0"),
        (lambda: MMPS(iterations=0), "iterations must be at least 1, got 0"),
        (lambda: DDNM(threshold=0), "threshold must be a positive finite number, got 0"),
        (lambda: REDDiff(learning_rate=0), "learning_rate must be a positive finite number, got 0"),
        (lambda: CSGM(step_size=0), "step_size must be a positive finite number, got 0"),
        (lambda: DPS(step_size=-1.0), "step_size must be a positive finite number, got -1.0"),
        (lambda: PnPULA(bound=0), "bound must be a positive finite number, got 0"),
        (lambda: MAP(products=0), "products must be at least 1, got 0"),
        (lambda: MAP(memory=0), "memory must be at least 1, got 0"),
        (lambda: ExplicitSchedule((), ()), "0 < sigma_min < sigma_max"),
        (lambda: DPS(micro_batch=0), "micro_batch must be at least 1, got 0"),
    ],
)
def test_impossible_requests_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
