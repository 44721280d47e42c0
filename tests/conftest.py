"""Small random networks that stand for trained ones, and pickles of them as NVlabs' code writes them."""

import collections
import os
import pathlib
import pickle
import sys
import types

import numpy as np
import pytest
import torch

from alps_exp.networks import EDMPrecond, SongUNet


@pytest.fixture(scope="session", autouse=True)
def hash_cache(tmp_path_factory):
    """Keep what is known of temporary files out of the user's cache, and matplotlib's fonts where they are."""
    kept = os.environ.get("MPLCONFIGDIR") or str(pathlib.Path.home() / ".cache" / "matplotlib")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLCONFIGDIR", kept)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


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


def reconstruct(description):
    raise AssertionError("only ever named")


reconstruct.__module__, reconstruct.__qualname__ = "torch_utils.persistence", "_reconstruct_persistent_obj"


@pytest.fixture
def gpu():
    """Return the GPU, or skip the test where there is none."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device("cuda")


class Persistent:
    """Pickles an object as NVlabs' classes do: its source, class name and state."""

    def __init__(self, class_name, state, source):
        self.description = {
            "type": "class",
            "version": 6,
            "module_src": source,
            "class_name": class_name,
            "state": state,
        }

    def __reduce__(self):
        return reconstruct, (self.description,)


def persistent(module, source, **state):
    """Return a module of ours, and all below, in NVlabs' form; containers are torch's there too."""
    children = {name: persistent(child, source) for name, child in module.named_children()}
    if isinstance(module, torch.nn.ModuleDict):
        container = torch.nn.ModuleDict()
        container._modules = children
        return container
    state |= {
        "training": False,
        "_parameters": dict(module._parameters),
        "_buffers": collections.OrderedDict(module._buffers),
        "_non_persistent_buffers_set": set(),
        "_modules": children,
        "skip_scale": np.sqrt(0.5),
    }
    return Persistent(type(module).__name__, state, source)


@pytest.fixture
def nvlabs_object(tmp_path, monkeypatch):
    """Return what makes a network of ours one of NVlabs' for pickling, with source that would leave a file behind."""
    monkeypatch.setitem(sys.modules, "torch_utils.persistence", types.ModuleType("torch_utils.persistence"))
    monkeypatch.setitem(sys.modules, "torch_utils", types.ModuleType("torch_utils"))
    sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj = reconstruct
    source = f"open({str(tmp_path / 'ran')!r}, 'w').close()"

    def made(network, kwargs, positional=()):
        state = {"_init_args": positional, "_init_kwargs": kwargs, "sigma_min": 0.002, "sigma_max": 80.0}
        return persistent(network, source, **state)

    yield made
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def nvlabs_pickle(tmp_path, nvlabs_object):
    """Return what writes a pickle of a network of ours as NVlabs would."""

    def write(network, kwargs, positional=(), **content):
        path = tmp_path / "network.pkl"
        loss = Persistent("EDMLoss", {"_init_args": (), "_init_kwargs": {}, "P_mean": -1.2}, "")
        parts = {name: nvlabs_object(p, {}) if isinstance(p, torch.nn.Module) else p for name, p in content.items()}
        content = {"ema": nvlabs_object(network, kwargs, positional), "loss_fn": loss, "augment_pipe": None, **parts}
        path.write_bytes(pickle.dumps(content, protocol=4))
        return path

    return write
