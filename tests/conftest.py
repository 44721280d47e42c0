"""Small random networks that stand for trained ones."""

import pytest
import torch

from alps_exp.priors import EDMPrecond, SongUNet


def small_network(channels: int, seed: int = 0, size: int = 16) -> EDMPrecond:
    """Return a network whose every parameter is random, so that no branch is hidden by a zero."""
    torch.manual_seed(seed)
    model = SongUNet(
        img_resolution=size,
        in_channels=channels,
        out_channels=channels,
        model_channels=16,
        channel_mult=(1, 2),
        num_blocks=1,
        attn_resolutions=(8,),
    )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return EDMPrecond(model)


@pytest.fixture(scope="session")
def network():
    return small_network
