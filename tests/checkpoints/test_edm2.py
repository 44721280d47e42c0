"""Files of EDM2: what is refused, and the precision in which NVlabs' code computes with the gains that it stores."""

import pytest
import torch
from torch import nn

from alps_exp.checkpoints.edm2 import with_rounded_gains
from alps_exp.networks import EDM2UNet
from alps_exp.priors import load_energy, load_teacher

ARGUMENTS = {"img_resolution": 16, "model_channels": 32, "channel_mult": [1, 2], "num_blocks": 1}


class Precond(nn.Module):
    """What NVlabs' code calls its network."""

    def __init__(self, channels, **arguments):
        super().__init__()
        self.unet = EDM2UNet(in_channels=channels, out_channels=channels, **ARGUMENTS, logvar_channels=0, **arguments)


class StabilityVAEEncoder(nn.Module):
    """What encodes the images of latent networks."""


@pytest.fixture
def file(tmp_path):
    """Return what writes weights as users save them, changed."""

    def write(change=dict, **arguments):
        state = {name: value.clone() for name, value in Precond(3, **arguments).state_dict().items()}
        torch.save({"model": change(state)}, tmp_path / "weights.pt")
        return tmp_path / "weights.pt"

    return write


def test_size_classes_and_attention_are_read_from_names_and_shapes(file, caplog):
    teacher = load_teacher(file(attn_resolutions=[8], label_dim=7), class_label=6)
    model = teacher.network.model.arguments
    expected = {**ARGUMENTS, "channel_mult": (1, 2), "attn_resolutions": (8,), "label_dim": 7, "in_channels": 3}
    assert {name: model[name] for name in expected} == expected
    told = "sigma_data (0.5), channels_per_head (64), label_balance (0.5), concat_balance (0.5), res_balance (0.3)"
    assert told in caplog.text


def test_gains_in_half_precision_are_rounded_as_they_are_used():
    gain = torch.tensor(0.3, dtype=torch.float16)
    names = {"enc.b.emb_gain": "enc.b.emb_linear.weight", "out_gain": "out_conv.weight"}
    for name, layer in names.items():
        weight = torch.zeros(5, 3, 3, 3) if name == "out_gain" else torch.zeros(5, 27)
        rounded = with_rounded_gains({name: gain, layer: weight})[name]
        assert rounded / 27**0.5 == pytest.approx(float(gain / 27**0.5), rel=1e-7)
        assert rounded != float(gain)
        assert with_rounded_gains({name: gain.float(), layer: weight})[name] == gain.float()


def without(name):
    return lambda state: {other: value for other, value in state.items() if other != name}


def reshaped(name, *shape):
    return lambda state: state | {name: torch.zeros(*shape)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("unet.dec.8x8_block0.conv_res0.weight"), "dec.8x8_block0.conv_res0.weight of the architecture is"),
        (without("unet.enc.16x16_conv.weight"), "enc.16x16_conv.weight of a network of EDM2 is missing"),
        (without("unet.emb_noise.weight"), "emb_noise.weight of a network of EDM2 is missing"),
        (reshaped("unet.enc.8x8_block0.conv_res0.weight", 4, 64, 3, 3), "enc.8x8_block0.conv_res0.weight"),
        (reshaped("unet.out_conv.weight", 4, 32, 3, 3), "gives 4 channels, expected 3"),
        (reshaped("unet.enc.16x16_conv.weight", 32, 5, 3, 3), "gives 3 channels, expected 4"),
    ],
)
def test_other_weights_are_refused_with_what_helps(change, message, file):
    with pytest.raises(ValueError, match=message):
        load_teacher(file(change))


def test_networks_on_latent_codes_are_refused_by_channels_and_by_encoder(file, nvlabs_pickle, tmp_path):
    torch.save(Precond(4).state_dict(), tmp_path / "latent.pt")
    with pytest.raises(ValueError, match="latent codes of 4 channels.* 512 x 512 .*edm2-img64"):
        load_teacher(tmp_path / "latent.pt")
    for channels, more in ((4, {}), (3, {"encoder": StabilityVAEEncoder()})):
        path = nvlabs_pickle(Precond(channels), ARGUMENTS | {"img_channels": channels}, **more)
        with pytest.raises(ValueError, match=f"latent codes of {channels} channels"):
            load_teacher(path)


def test_a_network_of_classes_needs_one(file):
    with pytest.raises(ValueError, match=r"has 7 classes: teacher\.class_label=0 to 6"):
        load_teacher(file(label_dim=7))


def test_settings_that_the_weights_contradict_are_refused(file):
    with pytest.raises(ValueError, match="num_blocks is 3, the shapes of the weights say 1"):
        load_teacher(file(), architecture={"model": {"num_blocks": 3}})


def test_weights_of_edm2_are_no_energy(file):
    with pytest.raises(ValueError, match="teacher"):
        load_energy(file())
