"""Pickles of every kind of EDM network give the outputs that NVlabs' code recorded for the same weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from alps_exp.checkpoints import save_model
from alps_exp.checkpoints.reading import read_checkpoint
from alps_exp.networks import DhariwalUNet, EDMPrecond, SongUNet, VEPrecond, VPPrecond, iDDPMPrecond

RECORDED = Path(__file__).parents[1] / "reference" / "edm_seeded_outputs.npz"
SIGMAS = (0.002, 0.05, 1.0, 10.0, 80.0)

TINY = {"img_resolution": 16, "model_channels": 16, "channel_mult": [1, 2], "num_blocks": 1, "attn_resolutions": [8]}
SKIPS = {"encoder_type": "skip", "decoder_type": "skip", "resample_filter": [1, 3, 3, 1]}
NCSNPP = {
    "embedding_type": "fourier",
    "encoder_type": "residual",
    "channel_mult_noise": 2,
    "resample_filter": [1, 3, 3, 1],
}
HEADS = TINY | {"model_channels": 32, "channel_mult": [1, 4]}
FFHQ64 = {"img_resolution": 64, "model_channels": 128, "channel_mult": [1, 2, 2, 2], "augment_dim": 9, "dropout": 0.05}

CASES = {
    "ddpmpp_edm": (EDMPrecond, {"sigma_data": 0.7}, SongUNet, TINY | {"label_dim": 3, "augment_dim": 9}),
    "ncsnpp_edm": (EDMPrecond, {}, SongUNet, TINY | NCSNPP | {"augment_dim": 9}),
    "ncsnpp_ve": (VEPrecond, {}, SongUNet, TINY | NCSNPP | {"decoder_type": "skip", "label_dim": 3}),
    "skips_vp": (VPPrecond, {"M": 500, "beta_min": 0.2}, SongUNet, TINY | SKIPS),
    "adm_edm": (EDMPrecond, {}, DhariwalUNet, HEADS | {"label_dim": 5, "augment_dim": 9}),
    "adm_vp": (VPPrecond, {}, DhariwalUNet, TINY | {"model_channels": 32}),
    "adm_iddpm": (iDDPMPrecond, {"M": 100}, DhariwalUNet, TINY | {"model_channels": 32, "label_dim": 5}),
    "ddpmpp_iddpm": (iDDPMPrecond, {"C_2": 0.01}, SongUNet, TINY | {"channel_mult": [1, 2, 2]}),
    "ffhq64": (EDMPrecond, {}, SongUNet, FFHQ64 | NCSNPP),
}
"""Preconditioning and network, each with its arguments."""
THEIR_DEFAULTS = {
    (EDMPrecond, DhariwalUNet),
    (iDDPMPrecond, DhariwalUNet),
    (VEPrecond, SongUNet),
    (VPPrecond, SongUNet),
}
"""Where NVlabs' pickles need not name the network."""


def seed_parameters(network):
    """Draw all parameters and frequencies, in the order of their names, of a size that keeps the signal's."""
    random = np.random.RandomState(0)
    state = network.state_dict()
    for name in sorted(name for name in state if not name.endswith("resample_filter") and name != "u"):
        shape = tuple(state[name].shape)
        value = random.standard_normal(shape)
        if name.endswith("freqs"):
            value = 16 * value
        elif len(shape) > 1:
            value = value / np.sqrt(np.prod(shape[1:]))
        else:
            value = 0.2 * value + name.endswith("weight")
        state[name].copy_(torch.from_numpy(value))
    return network.eval().requires_grad_(False)


def directly(name):
    """Return the network of a case, built without a file, and the arguments that NVlabs' code makes it from."""
    kind, own, architecture, arguments = CASES[name]
    outputs = 6 if kind is iDDPMPrecond else 3
    network = kind(architecture(in_channels=3, out_channels=outputs, **arguments), **own)
    named = {} if (kind, architecture) in THEIR_DEFAULTS else {"model_type": architecture.__name__}
    return seed_parameters(network), {"img_channels": 3, **own, **named, **arguments}


def inputs(name):
    """Return images, noise scales, class labels and augmentation labels."""
    random, arguments = np.random.RandomState(1), CASES[name][3]
    sigma = torch.tensor(SIGMAS)
    x = torch.from_numpy(random.standard_normal((5, 3, arguments["img_resolution"], arguments["img_resolution"])))
    classes, augmentations = arguments.get("label_dim", 0), arguments.get("augment_dim", 0)
    labels = torch.eye(classes)[torch.arange(5) % classes] if classes else None
    augment = torch.from_numpy(random.standard_normal((5, augmentations))).float() if augmentations else None
    return x.float() * (0.5 + sigma[:, None, None, None]), sigma, labels, augment


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n == "ffhq64" else n for n in CASES])
def test_a_converted_pickle_gives_the_recorded_outputs(nvlabs_pickle, tmp_path, name):
    network, arguments = directly(name)
    read = read_checkpoint(nvlabs_pickle(network, arguments)).network
    save_model(tmp_path / "converted.safetensors", read, "teacher")
    converted = read_checkpoint(tmp_path / "converted.safetensors").network.eval().requires_grad_(False)
    x, sigma, labels, augment = inputs(name)
    with torch.no_grad():
        output = converted(x, sigma, labels, augment)
        assert torch.equal(output, network(x, sigma, labels, augment))
        skipped = converted.coefficients(sigma)[0] * x
    expected = torch.from_numpy(np.load(RECORDED)[name])
    difference, raw = (output - expected).flatten(1).norm(dim=1), (expected - skipped).flatten(1).norm(dim=1)
    assert (difference < 1e-5 * expected.flatten(1).norm(dim=1)).all()
    assert (difference < 2e-5 * raw).all()


@pytest.mark.parametrize("name", ["ddpmpp_edm", "adm_edm"])
def test_labels_matter(name):
    network, _ = directly(name)
    x, sigma, labels, augment = inputs(name)
    with torch.no_grad():
        output = network(x, sigma, labels, augment)
        for other in ((labels.roll(1, 1), augment), (labels, None), (None, augment)):
            change = (network(x, sigma, *other) - output).flatten(1).norm(dim=1)
            assert (change > 1e-4 * output.flatten(1).norm(dim=1)).all()
