"""Parity of networks and preconditionings with the recorded outputs of NVlabs'."""

from pathlib import Path

import numpy as np
import pytest
import torch

from alps_exp.networks import DhariwalUNet, EDMPrecond, SongUNet, VEPrecond, VPPrecond, iDDPMPrecond
from alps_exp.networks.preconditioning import architecture_of, build

RECORDED = Path(__file__).parents[1] / "reference" / "edm_reference_outputs.npz"
TINY = dict(
    img_resolution=16,
    in_channels=3,
    out_channels=3,
    model_channels=16,
    channel_mult=(1, 2),
    num_blocks=1,
    attn_resolutions=(8,),
)
NCSNPP = dict(embedding_type="fourier", encoder_type="residual", channel_mult_noise=2, resample_filter=(1, 3, 3, 1))


RECORDED_NETWORKS = {
    "ddpmpp_edm": EDMPrecond(SongUNet(**TINY), sigma_data=0.5),
    "ncsnpp_ve": VEPrecond(SongUNet(**TINY, **NCSNPP)),
    "ddpmpp_vp_labels": VPPrecond(
        SongUNet(**TINY | {"in_channels": 2, "out_channels": 2, "attn_resolutions": ()}, label_dim=4, augment_dim=9)
    ),
    "adm_iddpm": iDDPMPrecond(DhariwalUNet(**TINY | {"model_channels": 32, "out_channels": 6})),
}


@pytest.mark.parametrize(("name", "network"), RECORDED_NETWORKS.items())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_networks_load_by_name_and_give_the_recorded_outputs(name, network, dtype):
    arrays = np.load(RECORDED)
    recorded = {key.removeprefix(f"{name}/"): torch.from_numpy(arrays[key]) for key in arrays if key.startswith(name)}
    network.float().load_state_dict(
        {k.removeprefix("state/"): v for k, v in recorded.items() if k.startswith("state/")}
    )
    labels = recorded["class_labels"].to(dtype) if "class_labels" in recorded else None
    x, sigma, expected = recorded["x"].to(dtype), recorded["sigma"], recorded["output"]
    with torch.no_grad():
        output = network.to(dtype).eval()(x, sigma, labels)
        skipped = network.coefficients(sigma.to(dtype))[0] * x
    assert output.dtype == dtype
    for difference, size in ((output - expected, expected), (output - expected, expected - skipped)):
        assert (difference.flatten(1).norm(dim=1) < 1e-5 * size.flatten(1).norm(dim=1))[sigma > 0.01].all()
    assert (output - expected).norm() < 1e-5 * expected.norm()


def test_iddpm_asks_for_the_nearest_step_of_the_cosine_schedule():
    network = RECORDED_NETWORKS["adm_iddpm"].double()
    sigma = torch.logspace(-2.5, 2, 500, dtype=torch.float64)
    step = (network.M - 1 - network.coefficients(sigma)[3]).long()
    nearest = (network.u - sigma[:, None]).abs().amin(1)
    assert torch.equal((network.u[step] - sigma).abs(), nearest)
    fresh = iDDPMPrecond(DhariwalUNet(**TINY | {"out_channels": 6}))
    recorded = torch.from_numpy(np.load(RECORDED)["adm_iddpm/state/u"])
    assert torch.allclose(fresh.u, recorded, rtol=1e-3)


def test_adm_starts_as_the_identity_of_its_skips():
    network = DhariwalUNet(**TINY | {"model_channels": 64}, label_dim=3)
    x, label = torch.randn(2, 3, 16, 16), torch.zeros(2)
    assert torch.equal(network(x, label, torch.eye(3)[:2]), torch.zeros_like(x))
    assert all((p == 0).all() for name, p in network.named_parameters() if ".conv1." in name or ".proj." in name)
    assert "proj.weight" in " ".join(network.state_dict())


def test_group_norm_has_a_quarter_as_many_groups_as_channels_up_to_32():
    network = SongUNet(**TINY)
    assert network.enc["16x16_block0"].norm0.groups == 4
    assert SongUNet(**{**TINY, "model_channels": 128}).enc["16x16_block0"].norm0.groups == 32


def test_skip_architecture_runs_and_depends_on_its_auxiliary_branch():
    torch.manual_seed(0)
    network = SongUNet(**TINY, encoder_type="skip", decoder_type="skip")
    x, label = torch.randn(2, 3, 16, 16), torch.zeros(2)
    before = network(x, label)
    torch.nn.init.ones_(network.enc["8x8_aux_skip"].weight)
    assert (network(x, label) - before).abs().max() > 0


def test_patches_keep_the_size_and_leave_the_parameter_names():
    plain = SongUNet(**TINY)
    patched = SongUNet(**{**TINY, "img_resolution": 32}, patch_size=2)
    assert set(plain.state_dict()) == set(patched.state_dict())
    assert patched(torch.randn(1, 3, 32, 48), torch.zeros(1)).shape == (1, 3, 32, 48)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embedding_type": "rotary"}, "embedding_type.*'rotary'.*positional, fourier"),
        ({"img_resolution": 15}, "img_resolution.* 15 .*multiple of 2"),
    ],
)
def test_impossible_architectures_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        SongUNet(**{**TINY, **change})


def test_images_that_do_not_fit_the_network_are_refused():
    network = EDMPrecond(SongUNet(**TINY))
    with pytest.raises(ValueError, match="3.*channels.* 2"):
        network(torch.zeros(1, 2, 16, 16), torch.ones(1))
    with pytest.raises(ValueError, match="1 x 16"):
        network(torch.zeros(1, 3, 1, 16), torch.ones(1))


@pytest.mark.parametrize(("height", "width"), [(13, 18), (16, 15), (23, 9), (3, 3)])
def test_sides_that_the_levels_do_not_divide_are_continued_by_reflection(height, width):
    torch.manual_seed(0)
    model = SongUNet(**{**TINY, "channel_mult": (1, 2, 2), "attn_resolutions": ()})
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    network, sigma = EDMPrecond(model), torch.tensor([0.2, 3.0])
    x = torch.randn(2, 3, height, width)
    rows, columns = -height % 4, -width % 4
    top, left = rows // 2, columns // 2
    continued = np.pad(x, ((0, 0), (0, 0), (top, rows - top), (left, columns - left)), mode="reflect")
    with torch.no_grad():
        whole = network(torch.from_numpy(continued), sigma)
        assert torch.equal(network(x, sigma), whole[..., top : top + height, left : left + width])


DESCRIBED = {"preconditioning": "iDDPMPrecond", "network": "SongUNet", "M": 10, "model": TINY}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_blocks": 10**6}, "num_blocks is 1,000,000, expected at most 100,000"),
        ({"num_blocks": 90_000}, "num_blocks is 90,000 on 2 levels, expected at most 1,000 blocks in all"),
        ({"channel_mult": [1] * 1000}, "channel_mult has 1,000 parts, expected at most 100"),
        ({"model_channels": 10**400}, "model_channels is too large, expected at most 100,000"),
        ({"dropout": float("nan")}, "dropout is nan"),
        ({"num_blocks": "text"}, "num_blocks is or holds a str, expected a number"),
        ({"embedding_type": [["text"]]}, "embedding_type is or holds a list, expected a word"),
        ({"attn_resolutions": [[8]]}, "attn_resolutions is or holds a list, expected a number"),
        ({"channel_mult_noise": 10_000}, "embedding of the noise has 160,000 channels, expected at most 100,000"),
        ({"model_channels": 8000}, "the network has [0-9,]{14} weights, more than the 1,000,000 bytes of the file"),
        ({"label_dim": 10**5}, "the network has [0-9,]{9} weights, more than"),
        ({"wings": 2}, "wings"),
    ],
)
def test_descriptions_that_no_file_can_mean_are_refused_before_anything_is_built(change, message):
    with pytest.raises((TypeError, ValueError), match=message):
        build({**DESCRIBED, "model": {**TINY, **change}}, file_size=10**6)


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({**DESCRIBED, "M": 10**9}, "M is 1,000,000,000, expected at most 100,000"),
        ({**DESCRIBED, "network": "x" * 1000}, "network is 'x{99}, expected one of SongUNet, DhariwalUNet"),
        ({**DESCRIBED, "model": 7}, "an architecture is a table"),
        (7, "an architecture is a table"),
    ],
)
def test_descriptions_of_other_forms_are_refused(described, message):
    with pytest.raises((TypeError, ValueError), match=message):
        build(described)


@pytest.mark.parametrize("network", RECORDED_NETWORKS.values())
def test_a_network_as_large_as_its_file_is_built_and_counting_it_leaves_the_random_numbers(network):
    described, weights = architecture_of(network), sum(parameter.numel() for parameter in network.parameters())
    torch.manual_seed(0)
    built = build(described, weights)
    torch.manual_seed(0)
    again = type(network.model)(**network.model.arguments)
    assert all(torch.equal(built.model.state_dict()[name], value) for name, value in again.state_dict().items())
    with pytest.raises(ValueError, match=f"{weights:,} weights"):
        build(described, weights - 1)
