"""Networks of guided diffusion, recognized from their weights, give the outputs that OpenAI's code recorded."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from alps_exp.networks import ADMUNet, DiscretePrecond
from alps_exp.networks.discrete_schedules import noise_scales
from alps_exp.priors import load_energy, load_teacher

RECORDED = Path(__file__).parents[1] / "reference" / "adm_seeded_outputs.npz"
STEPS = (0, 1, 100, 500, 999)
FFHQ = {"model_channels": 32, "channel_mult": [1, 1, 2, 2, 4, 4], "num_blocks": 1, "attention_levels": [4]}
CASES = {
    "ffhq": ("linear", FFHQ | {"head_channels": 32}),
    "classes": (
        "cosine",
        {"model_channels": 32, "channel_mult": [1, 2, 3, 4], "num_blocks": 2, "attention_levels": [1, 2, 3]}
        | {"head_channels": 32, "new_attention_order": True, "label_dim": 10},
    ),
    "plain": (
        "linear",
        {"model_channels": 32, "channel_mult": [1, 2, 3], "num_blocks": 1, "attention_levels": [1, 2], "heads": 4}
        | {"head_channels": 0, "scale_shift": False, "resampling": "conv", "out_channels": 3},
    ),
    "pooled": (
        "linear",
        {"model_channels": 64, "channel_mult": [0.5, 1, 1], "num_blocks": 2, "attention_levels": []}
        | {"resampling": "pool", "head_channels": 64, "out_channels": 3},
    ),
}
"""Schedule and arguments of the network."""
UNSAID = ("head_channels", "heads", "new_attention_order")


def seeded(names_and_shapes):
    """Draw parameters in the order of their names, of a size that keeps the signal's."""
    random = np.random.RandomState(0)
    state = {}
    for name in sorted(names_and_shapes):
        shape = names_and_shapes[name]
        value = random.standard_normal(shape)
        scaled = value / math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else 0.2 * value + name.endswith("weight")
        state[name] = torch.from_numpy(scaled.astype(np.float32))
    return state


def images():
    return torch.from_numpy(np.random.RandomState(1).standard_normal((len(STEPS), 3, 32, 32)).astype(np.float32))


def network_of(case):
    schedule, arguments = CASES[case]
    return DiscretePrecond(ADMUNet(img_resolution=32, **arguments), schedule)


@pytest.fixture
def file(tmp_path):
    """Return what writes the weights of a case as OpenAI's code saves them."""

    def write(case, change=lambda state: state):
        state = seeded({name: value.shape for name, value in network_of(case).model.state_dict().items()})
        path = tmp_path / f"{case}.pt"
        torch.save(change(state), path)
        return path

    return write


def unsaid(case):
    schedule, arguments = CASES[case]
    model = {name: value for name, value in arguments.items() if name in UNSAID}
    return {"schedule": schedule, "model": {"img_resolution": 32, **model}}


@pytest.mark.parametrize("case", CASES)
def test_outputs_are_those_of_the_original_code(case, file):
    schedule, arguments = CASES[case]
    label = 3 if "label_dim" in arguments else None
    teacher = load_teacher(file(case), architecture=unsaid(case), class_label=label)
    sigma = noise_scales(schedule, 1000)[list(STEPS)].float()
    noisy = images() * sigma.clamp(min=1)[:, None, None, None]
    denoised = torch.cat([teacher.denoise(x[None], float(s)) for x, s in zip(noisy, sigma, strict=True)])
    expected = torch.from_numpy(np.load(RECORDED)[case])
    for mine, theirs, s, x in zip(denoised, expected, sigma, noisy, strict=True):
        assert (mine - theirs).norm() < 1e-5 * theirs.norm()
        assert (mine - theirs).norm() < 1e-4 * (theirs - x).norm() + 1e-6 * x.norm() / float(s)


def test_the_schedules_are_those_of_the_original_code():
    recorded = np.load(RECORDED)
    for schedule in ("linear", "cosine"):
        assert np.allclose(noise_scales(schedule, 1000), recorded[schedule], rtol=1e-10)


def test_between_two_steps_the_label_is_interpolated_and_beyond_the_ends_it_stays():
    network = network_of("plain")
    scales = noise_scales("linear", 1000)
    middle = (scales[7] * scales[8]).sqrt()
    sigma = torch.stack([middle, scales[0] / 5, scales[-1] * 5, scales[321]])
    steps = network.coefficients(sigma)[-1]
    assert torch.allclose(steps, torch.tensor([7.5, 0.0, 999.0, 321.0], dtype=torch.float64), atol=1e-9)


def test_what_the_weights_do_not_say_is_said_aloud(file, caplog):
    load_teacher(file("ffhq"), architecture={"model": {"img_resolution": 32, "head_channels": 32}})
    assert "schedule (linear), new_attention_order (False)" in caplog.text and "head_channels" not in caplog.text


def rename(old, new):
    return lambda state: {name.replace(old, new): value for name, value in state.items()}


@pytest.mark.parametrize(
    ("case", "change", "given", "message"),
    [
        ("plain", dict, {}, r"add its side in pixels, as \+teacher\.architecture\.model\.img_resolution=256"),
        ("plain", dict, {"model": {"num_blocks": 3}}, "num_blocks is 3, the shapes of the weights say 1"),
        ("plain", dict, {"schedule": "quadratic"}, "schedule is 'quadratic', expected one of linear, cosine"),
        (
            "ffhq",
            rename("input_blocks.2.0", "input_blocks.2.0.transformer_blocks"),
            {},
            "a latent diffusion network, which works on codes",
        ),
        (
            "ffhq",
            lambda state: state | {"input_blocks.0.0.weight": torch.zeros(32, 3, 3)},
            {},
            "expected one for images",
        ),
        (
            "ffhq",
            lambda s: {k: v for k, v in s.items() if k != "middle_block.1.norm.bias"},
            {},
            "middle_block.1.norm.bias",
        ),
        ("ffhq", dict, {"model": {"head_channels": 48}}, "cannot be split into heads"),
        ("classes", dict, {}, r"has 10 classes: teacher\.class_label=0 to 9"),
    ],
)
def test_other_weights_are_refused_with_what_helps(file, case, change, given, message):
    needed = {"model": {"img_resolution": 32, "head_channels": 32}} if "resolution" not in message else {}
    given = given | {"model": needed.get("model", {}) | given.get("model", {})}
    with pytest.raises(ValueError, match=message):
        load_teacher(file(case, change), architecture=given)


def test_weights_of_guided_diffusion_are_no_energy(file):
    with pytest.raises(ValueError, match="teacher"):
        load_energy(file("ffhq"), architecture=unsaid("ffhq"))
