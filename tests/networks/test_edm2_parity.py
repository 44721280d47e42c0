"""Networks of EDM2 give the denoised images and uncertainties that NVlabs' code recorded for the same weights."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from alps_exp.checkpoints import save_model
from alps_exp.networks import EDM2UNet, EDMPrecond
from alps_exp.priors import load_teacher

RECORDED = np.load(Path(__file__).parents[1] / "reference" / "edm2_seeded_outputs.npz")
SIGMAS = (0.01, 0.1, 1.0, 10.0, 100.0)
TINY = {"img_resolution": 16, "model_channels": 16, "channel_mult": [1, 2], "num_blocks": 1, "attn_resolutions": [8]}
CASES = {
    "plain": (0.5, TINY | {"channels_per_head": 8, "logvar_channels": 32}),
    "classes": (
        0.7,
        {"img_resolution": 16, "model_channels": 16, "channel_mult": [1, 2, 3], "num_blocks": 2}
        | {"attn_resolutions": [16, 4], "channels_per_head": 16, "label_dim": 5, "channel_mult_noise": 2}
        | {"channel_mult_emb": 3, "label_balance": 0.3, "concat_balance": 0.6, "res_balance": 0.4}
        | {"attn_balance": 0.2, "clip_act": 2},
    ),
    "img64_xs": (0.5, {"img_resolution": 64, "model_channels": 128, "label_dim": 1000}),
}
"""Standard deviation of the data, and arguments of the network."""
UNSAID = ("channels_per_head", "label_balance", "concat_balance", "res_balance", "attn_balance", "clip_act")


class Precond(nn.Module):
    """What NVlabs' code calls its network, with the uncertainty beside the U-Net."""

    def __init__(self, network):
        super().__init__()
        self.unet = copy.deepcopy(network.model)
        self.logvar_fourier, self.logvar_linear = self.unet.logvar_fourier, self.unet.logvar_linear
        self.unet.logvar_fourier = self.unet.logvar_linear = None


@torch.no_grad()
def seeded(module):
    """Draw all tensors in the order of their names, of sizes that matter."""
    random = np.random.RandomState(0)
    state = module.state_dict()
    for name in sorted(state):
        value = random.standard_normal(tuple(state[name].shape))
        if name.endswith(("freqs", "phases")):
            value = 2 * np.pi * value
        if name.endswith("gain"):
            value = 0.5 + 0.2 * value
        state[name].copy_(torch.as_tensor(value))
    return module


def published(case):
    """Return the seeded network of a case, with the names of NVlabs' code."""
    sigma_data, arguments = CASES[case]
    return seeded(Precond(EDMPrecond(EDM2UNet(in_channels=3, out_channels=3, **arguments), sigma_data)))


def inputs(case):
    sigma, side, classes = torch.tensor(SIGMAS), CASES[case][1]["img_resolution"], CASES[case][1].get("label_dim", 0)
    x = torch.from_numpy(np.random.RandomState(1).standard_normal((5, 3, side, side))).float()
    labels = torch.eye(classes)[torch.arange(5) % classes] if classes else None
    return x * (0.5 + sigma[:, None, None, None]), sigma, labels


def check(network, case, recorded):
    x, sigma, labels = inputs(case)
    with torch.no_grad():
        output = network(x, sigma, labels)
    side = x.shape[-1] // 4
    center = (..., slice(side, -side), slice(side, -side))
    skipped = (network.coefficients(sigma)[0] * x)[center]
    for mine, theirs, skip in zip(output[center], torch.from_numpy(RECORDED[recorded]), skipped, strict=True):
        assert (mine - theirs).norm() < 1e-5 * theirs.norm()
        assert (mine - theirs).norm() < 1e-5 * (theirs - skip).norm()


def load(path, case, **options):
    sigma_data, arguments = CASES[case]
    unsaid = {"sigma_data": sigma_data, "model": {name: arguments[name] for name in UNSAID if name in arguments}}
    label = 0 if "label_dim" in arguments else None
    return load_teacher(path, architecture=unsaid, class_label=label, **options).network


@pytest.mark.parametrize("case", [pytest.param(n, marks=pytest.mark.slow) if n == "img64_xs" else n for n in CASES])
def test_weights_alone_give_the_recorded_images_and_uncertainties(case, tmp_path):
    torch.save({"net": published(case).state_dict()}, tmp_path / "weights.pt")
    network = load(tmp_path / "weights.pt", case)
    check(network, case, case)
    logvar = network.model.logvar(torch.tensor(SIGMAS).log() / 4)
    assert np.allclose(logvar, RECORDED[f"{case}_logvar"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("precision", ["single", "half"])
def test_a_pickle_gives_the_recorded_images_also_stored_in_half_precision(precision, nvlabs_pickle, tmp_path):
    sigma_data, arguments = CASES["classes"]
    network = published("classes")
    path = nvlabs_pickle(
        network.half() if precision == "half" else network,
        arguments | {"img_channels": 3} | {"sigma_data": sigma_data, "use_fp16": True},
    )
    read = load_teacher(path, class_label=0).network
    check(read, "classes", f"classes_{precision}" if precision == "half" else "classes")
    save_model(tmp_path / "converted.safetensors", read, "teacher")
    check(
        load_teacher(tmp_path / "converted.safetensors", class_label=0).network,
        "classes",
        "classes_half" if precision == "half" else "classes",
    )


def test_a_new_network_only_scales_images_and_every_parameter_is_trained():
    """Its gains start at zero; distillation differentiates a gradient, and runs in bfloat16."""
    network = EDMPrecond(EDM2UNet(in_channels=3, out_channels=3, **CASES["plain"][1]))
    x, sigma, _ = inputs("plain")
    assert torch.equal(network(x, sigma), network.coefficients(sigma)[0] * x)
    seeded(network)
    x.requires_grad_()
    output = network(x, sigma)
    (gradient,) = torch.autograd.grad(output.square().sum(), x, create_graph=True)
    gradient.square().sum().backward()
    assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in network.parameters())
    network.precision = "bf16"
    assert 0 < (network(x, sigma) - output).norm() < 0.03 * output.norm()
