"""Parity of SongUNet with the recorded outputs of NVlabs' networks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from alps_exp.priors import EDMPrecond, SongUNet

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
NCSNPP = dict(
    embedding_type="fourier", encoder_type="residual", channel_mult_noise=2, resample_filter=(1, 3, 3, 1)
)


def recorded(name):
    """Return the state dict, inputs, sigma and output of a recorded network."""
    arrays = np.load(RECORDED)
    tensors = {k.removeprefix(f"{name}/"): torch.from_numpy(arrays[k]) for k in arrays if k.startswith(name)}
    inputs = [tensors.pop(k) for k in ("x", "sigma", "output")]
    prefix = "state/"
    return {k.removeprefix(prefix): v for k, v in tensors.items()}, *inputs


def test_ddpmpp_with_edm_preconditioning_gives_the_recorded_output():
    state, x, sigma, output = recorded("ddpmpp_edm")
    network = EDMPrecond(SongUNet(**TINY), sigma_data=0.5)
    network.load_state_dict(state)
    with torch.no_grad():
        assert (network(x, sigma) - output).norm() < 1e-5 * output.norm()


def test_ncsnpp_gives_the_recorded_output_of_the_ve_preconditioned_network():
    state, x, sigma, output = recorded("ncsnpp_ve")
    network = SongUNet(**TINY, **NCSNPP)
    network.load_state_dict({name.removeprefix("model."): value for name, value in state.items()})
    with torch.no_grad():
        denoised = x + sigma[:, None, None, None] * network(x, (sigma / 2).log())
    assert (denoised - output).norm() < 1e-5 * output.norm()


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
        ({"embedding_type": "rotary"}, "embedding_type is 'rotary', expected one of positional, fourier"),
        ({"img_resolution": 15}, "img_resolution 15 is not a multiple of 2"),
    ],
)
def test_impossible_architectures_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        SongUNet(**{**TINY, **change})


def test_images_that_do_not_fit_the_network_are_refused():
    network = EDMPrecond(SongUNet(**TINY))
    with pytest.raises(ValueError, match="trained on 3 channels, the images have 2"):
        network(torch.zeros(1, 2, 16, 16), torch.ones(1))
    with pytest.raises(ValueError, match="1 x 16, the model needs more than 1 a side"):
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
