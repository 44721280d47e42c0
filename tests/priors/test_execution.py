"""How networks are evaluated: bfloat16 inside the preconditioning alone, and compiled to the same numbers."""

import shutil

import pytest
import torch

from alps_exp.operators import Inpainting
from alps_exp.priors import ComposedEnergy, Denoiser, Energy, NullPrior, set_execution, smooth_gaussian
from alps_exp.priors.execution import precision_of
from alps_exp.runs import config_hash
from alps_exp.samplers import ALPS, GeometricSchedule

LAST_CONVOLUTION = "aux_conv"


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.randn(2, 1, 16, 16)


def relative(x, reference):
    return float((x - reference).norm() / reference.norm())


def test_bf16_rounds_the_network_and_its_vjp_and_gives_float32(network, images):
    for prior in (Denoiser(network(1)), Energy(network(1))):
        exact, of_exact = prior.denoise_and_apply_vjp(images, 1.0, lambda d: d)
        set_execution(prior, precision="bf16")
        rough, of_rough = prior.denoise_and_apply_vjp(images, 1.0, lambda d: d)
        assert rough.dtype == of_rough.dtype == torch.float32
        assert 1e-5 < relative(rough, exact) < 0.02 and 1e-5 < relative(of_rough, of_exact) < 0.02  # bfloat16: 2^-8
        set_execution(prior)
        assert relative(prior.denoise(images, 1.0), exact) < 1e-6


def test_all_but_the_network_stays_in_float32(network, images):
    energy = Energy(network(1))
    last = [part for name, part in energy.network.named_modules() if name.endswith(LAST_CONVOLUTION)]
    for parameter in last[-1].parameters():
        torch.nn.init.zeros_(parameter)  # psi(x) = c_skip x
    operator = Inpainting((torch.rand(1, 1, 16, 16) < 0.5).float(), 0.05)

    def sample():
        y = operator.forward(images)
        return ALPS(GeometricSchedule(3.0, 0.05, 5))(energy, operator, y, 2).samples

    expected = sample()
    set_execution(energy, precision="bf16")
    assert torch.equal(sample(), expected)


def test_a_precision_is_that_of_networks(network):
    composed = ComposedEnergy([Energy(network(1)), Energy(network(1)), smooth_gaussian(size=16)], [1, 1, 1])
    set_execution(composed, precision="bf16")
    assert [part.network.precision for part in composed.parts[:2]] == ["bf16", "bf16"]
    assert precision_of(composed) == "bf16" and precision_of(smooth_gaussian()) == "float32"
    set_execution(NullPrior(), precision="bf16")
    with pytest.raises(ValueError, match="precision is bf16, and a GaussianPrior has no network"):
        set_execution(smooth_gaussian(), precision="bf16")
    set_execution(smooth_gaussian(), compile=True)


def test_a_precision_is_part_of_a_request_but_for_the_usual_one_and_compiling_is_not():
    usual = config_hash({"seed": 0}, "restore")
    same = [{"precision": "float32"}, {"compile": True}, {"compile": False, "precision": "float32"}]
    assert {config_hash({"seed": 0} | one, "restore") for one in same} == {usual}
    assert config_hash({"seed": 0, "precision": "bf16"}, "restore") != usual


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling on a CPU needs g++")
def test_compiled_networks_give_the_same_numbers(network, images):
    def numbers(prior):
        d, vjp = prior.denoise_with_vjp(images, 1.0)
        found = [prior.denoise(images, 0.5), d, vjp(d), vjp(images)]
        return found + (list(prior.energy_and_gradient(images, 0.5)) if isinstance(prior, Energy) else [])

    for prior in (Denoiser(network(1)), Energy(network(1))):
        before = numbers(prior)
        set_execution(prior, compile=True)
        for one, reference in zip(numbers(prior), before, strict=True):
            assert relative(one, reference) < 1e-5
        calls = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        numbers(prior)
        assert calls > 0 and torch._dynamo.utils.counters["stats"]["unique_graphs"] == calls
