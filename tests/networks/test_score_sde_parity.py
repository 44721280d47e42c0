"""Networks of score_sde, recognized from their weights, give the denoised images that Song's code recorded."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from alps_exp.networks import SongUNet
from alps_exp.networks.discrete_schedules import noise_scales
from alps_exp.priors import load_energy, load_teacher

RECORDED = np.load(Path(__file__).parents[1] / "reference" / "score_sde_seeded_outputs.npz")
GEOMETRIC = [0.01, 0.1, 1.0, 10.0, 100.0]
STEPS = (0, 1, 100, 500, 999)
CASES = {
    "ve": ({}, GEOMETRIC),
    "ve_residual": ({}, GEOMETRIC),
    "ve_centered": ({"centered": True, "scale_by_sigma": False}, GEOMETRIC),
    "ve_steps": ({"sde": "ve"}, [2 * 50 * (0.01 / 50) ** (k / 999) for k in (999, 700, 400, 100, 0)]),
    "vp": ({}, GEOMETRIC),
    "vp_steps": ({"sde": "vp", "continuous": False}, noise_scales("linear", 1000)[list(STEPS)].tolist()),
    "subvp": ({"sde": "subvp"}, GEOMETRIC),
}
"""What the weights do not say, and the noise scales, in the units of images in [-1, 1]."""


def seeded(case):
    """Draw parameters in the order of their names, of a size that keeps the signal's; return them in their own."""
    random = np.random.RandomState(0)
    state = {}
    shapes = dict(json.loads(str(RECORDED[f"{case}_names"])))
    for name in sorted(shapes):
        shape = shapes[name]
        value = random.standard_normal(shape)
        if name.endswith(".0.W"):
            value *= 16
        elif len(shape) > 1:
            value /= math.sqrt(shape[0] if name.endswith(".W") else math.prod(shape[1:]))
        else:
            value = 0.2 * value + name.endswith("weight")
        state[name] = torch.from_numpy(value.astype(np.float32))
    return {name: state[name] for name in shapes}


@pytest.fixture
def file(tmp_path):
    """Return what writes a file as score_sde does: weights of DataParallel, and averages as a list."""

    def write(case, change=lambda state: state):
        averages = change(seeded(case))
        sigmas = torch.tensor(np.geomspace(50.0, 0.01, 1000))
        model = {"sigmas": sigmas} | {name: value + 0.1 for name, value in averages.items()}
        fourier = "all_modules.0.W"
        if fourier in model:
            model[fourier] = averages[fourier]
        shadow = [value for name, value in averages.items() if name != fourier]
        content = {
            "optimizer": {"state": {}, "param_groups": []},
            "model": {f"module.{name}": value for name, value in model.items()},
            "ema": {"decay": 0.999, "num_updates": 7, "shadow_params": shadow},
            "step": 7,
        }
        path = tmp_path / "checkpoint_7.pth"
        torch.save(content, path)
        return path

    return write


def given(case, **changed):
    return {"model": {"img_resolution": 32}} | CASES[case][0] | changed


@pytest.mark.parametrize("case", CASES)
def test_the_averaged_network_is_that_of_the_original_code(case, file):
    teacher = load_teacher(file(case), architecture=given(case))
    sigma = torch.tensor(CASES[case][1])
    images = torch.from_numpy(np.random.RandomState(1).standard_normal((5, 3, 32, 32)).astype(np.float32))
    noisy = images * sigma.clamp(min=1)[:, None, None, None]
    denoised = torch.cat([teacher.denoise(x[None], float(s)) for x, s in zip(noisy, sigma, strict=True)])[..., 16:]
    expected = torch.from_numpy(RECORDED[case])
    for mine, theirs, x in zip(denoised, expected, noisy[..., 16:], strict=True):
        assert (mine - theirs).norm() < 1e-5 * theirs.norm()
        assert (mine - theirs).norm() < 1e-5 * (theirs - x).norm() + 2e-7 * x.norm()


def test_the_key_chooses_the_weights_without_averaging(file):
    path = file("vp")
    averaged, last = (load_teacher(path, architecture=given("vp"), key=key) for key in (None, "model"))
    names = [dict(teacher.named_parameters()) for teacher in (averaged, last)]
    assert all(torch.allclose(names[1][name], value + 0.1) for name, value in names[0].items())


def test_what_the_weights_do_not_say_is_said_aloud(file, caplog):
    load_teacher(file("vp"), architecture={"model": {"img_resolution": 32}, "continuous": True})
    assert "sde (vp), beta_min (0.1), beta_max (20), resample_filter ([1, 1])" in caplog.text
    assert "continuous" not in caplog.text


def test_the_scales_of_steps_come_from_the_file(file):
    teacher = load_teacher(file("ve_steps"), architecture=given("ve_steps"))
    network = next(module for module in teacher.modules() if isinstance(getattr(module, "model", None), SongUNet))
    labels = network.coefficients(torch.tensor([1000.0, 100.0, 2 * math.sqrt(0.5), 0.02, 0.001]))[-1]
    assert torch.allclose(labels, torch.tensor([0.0, 0.0, 499.5, 999.0, 999.0]), atol=1e-3)


def rename(old, new):
    return lambda state: {name.replace(old, new): value for name, value in state.items()}


def without(name):
    return lambda state: {other: value for other, value in state.items() if other != name}


@pytest.mark.parametrize(
    ("case", "change", "settings", "message"),
    [
        ("ve", dict, {"model": {}}, r"as \+teacher\.architecture\.model\.img_resolution=256"),
        ("ve", dict, {"sde": "edm"}, "architecture.sde is 'edm', expected one of ve, vp, subvp"),
        ("vp", dict, {"centered": False}, "supported for images in .-1, 1. alone: centered=true"),
        ("vp", rename("Conv_2.weight", "NIN_0.W"), {}, "expected resblock_type=biggan"),
        ("vp", without("all_modules.0.weight"), {}, "all_modules.0.weight is missing"),
        ("vp", without("all_modules.3.Conv_1.bias"), {}, "all_modules.3.Conv_1.bias is missing"),
        ("ve", dict, {"model": {"img_resolution": 33}}, "not a multiple of"),
        ("vp", dict, {"sigma_typo": 1.0}, "sigma_typo"),
        ("vp", dict, {"skip_rescale": False}, "only networks with skip_rescale=true"),
    ],
)
def test_other_weights_are_refused_with_what_helps(file, case, change, settings, message):
    with pytest.raises(ValueError, match=message):
        load_teacher(file(case, change), architecture=given(case, **settings))


def test_weights_of_score_sde_are_no_energy(file):
    with pytest.raises(ValueError, match="teacher"):
        load_energy(file("ve"), architecture=given("ve"))
