"""Weights in the files that people have: wrapped, nested, averaged, beside objects that are never built."""

import codecs
import collections
import functools
import logging
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file

from alps_exp.checkpoints import save_model
from alps_exp.checkpoints.state_dicts import read_content, weights_in
from alps_exp.networks import EDMPrecond, SongUNet
from alps_exp.priors import Denoiser, load_teacher


def read_weights(path):
    return weights_in(path, read_content(path))


def under(prefix, state):
    return {prefix + name: value for name, value in state.items()}


def inside(state):
    return {name.replace("model.", "model._orig_mod.", 1): value for name, value in state.items()}


def parameters(state):
    return {name: value for name, value in state.items() if "filter" not in name}


class Settings(dict):
    """A dictionary of a class of one's own."""


HYPER = {
    "optimizer": functools.partial(torch.optim.Adam, lr=1e-3),
    "config": OmegaConf.create({"lr": [1e-3, {"a": 1}]}),
    "root": Path("/data"),
    "seed": np.int64(3),
    "rate": np.float32(0.1),
    "order": collections.defaultdict(list, {3.5: [1]}),
    "own": Settings(a=1),
    "device": torch.device("cpu"),
}
FILES = {
    "plain": lambda state, other: state,
    "DDP": lambda state, other: under("module.", state),
    "compiled, then DDP": lambda state, other: under("module._orig_mod.", state),
    "compiled inside": lambda state, other: inside(state),
    "half": lambda state, other: {name: value.double() for name, value in state.items()},
    "only EMA": lambda state, other: {"ema": state},
    "EMA of two": lambda state, other: {"model": other, "ema": state, "opt": {"state": {0: {"m": torch.ones(3)}}}},
    "averages of the parameters": lambda state, other: {"model": other, "ema": {"shadow": parameters(state)}},
    "timm": lambda state, other: {"epoch": 3, "state_dict": other, "state_dict_ema": state},
    "EMA of several rates": lambda state, other: {"net": other, "emas": [state, other], "stds": [0.05, 0.1]},
    "in a tuple": lambda state, other: (other, {"ema": state}),
    "beside objects": lambda state, other: state | {"config": OmegaConf.create({"a": 1}), "root": Path("/data")},
    "averages without dots": lambda state, other: {
        "state_dict": under("model.diffusion_model.", other)
        | {f"model_ema.diffusion_model{name.replace('.', '')}": value for name, value in state.items()}
        | {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(7)}
    },
    "with a step": lambda state, other: {**state, "step": 3},
    "nested twice": lambda state, other: {"weights": {"net": state}, "step": 7},
    "Lightning": lambda state, other: {"state_dict": under("net.", state) | {"metric.total": torch.ones(1)}},
    "hyper-parameters": lambda state, other: {"state_dict": under("net.", state), "hyper_parameters": HYPER},
}


@pytest.fixture
def weights(network, tmp_path):
    """Save an architecture, and return a network, its state and another one with what loads from a file."""
    original, other = network(3), network(3, seed=1)
    save_model(tmp_path / "architecture.safetensors", original, "teacher")
    architecture = str(tmp_path / "architecture.safetensors")
    x, scale = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)), 0.4
    expected = Denoiser(original).denoise(x, scale)

    def same(path, **options):
        denoised = load_teacher(path, architecture=architecture, **options).denoise(x, scale)
        return torch.equal(denoised, expected)

    return original.state_dict(), other.state_dict(), same


@pytest.mark.parametrize("form", FILES)
def test_the_network_is_the_same(weights, tmp_path, form):
    state, other, same = weights
    torch.save(FILES[form](state, other), tmp_path / "file.ckpt")
    assert same(tmp_path / "file.ckpt")


def test_safetensors_of_other_projects(weights, tmp_path):
    state, _, same = weights
    save_file(under("model.", {name: value.contiguous() for name, value in state.items()}), tmp_path / "a.safetensors")
    assert same(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="holds weights alone: name a teacher of their architecture"):
        load_teacher(tmp_path / "a.safetensors")


@pytest.mark.parametrize("parts", ["parameters", "all tensors"])
def test_averages_in_a_list_have_the_order_of_the_network(weights, network, tmp_path, parts):
    state, other, same = weights
    names = [name for name, _ in network(3).named_parameters()] if parts == "parameters" else list(state)
    ema = {"decay": 0.99, "shadow_params": [state[name] for name in names]}
    torch.save({"model": other, "ema": ema}, tmp_path / "file.pt")
    assert same(tmp_path / "file.pt")


@pytest.fixture
def fourier(tmp_path):
    """Return a network of random frequencies, and the path of another of its architecture."""

    def made(seed):
        torch.manual_seed(seed)
        sizes = {"img_resolution": 16, "in_channels": 3, "out_channels": 3, "model_channels": 16}
        return EDMPrecond(SongUNet(**sizes, channel_mult=(1, 2), num_blocks=1, embedding_type="fourier"))

    save_model(tmp_path / "architecture.safetensors", made(1), "teacher")
    return made(0), str(tmp_path / "architecture.safetensors")


def test_random_frequencies_are_taken_from_beside_averages(fourier, tmp_path):
    network, architecture = fourier
    model = {name: value + 0.1 for name, value in network.state_dict().items()}
    model["model.map_noise.freqs"] = network.model.map_noise.freqs
    shadow = [parameter.data for parameter in network.parameters()]
    torch.save({"model": under("module.", model), "ema": {"shadow_params": shadow}}, tmp_path / "file.pt")
    state = load_teacher(tmp_path / "file.pt", architecture=architecture).network.state_dict()
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize("form", ["a list", "names"])
def test_random_frequencies_that_are_nowhere_are_asked_for(fourier, tmp_path, form):
    network, architecture = fourier
    named = {name: parameter.data for name, parameter in network.named_parameters()}
    torch.save({"ema": [*named.values()] if form == "a list" else named}, tmp_path / "file.pt")
    with pytest.raises(ValueError, match=r"model\.map_noise\.freqs of the architecture is missing"):
        load_teacher(tmp_path / "file.pt", architecture=architecture)


def test_averages_in_a_list_have_the_order_of_the_weights_beside_them(weights, tmp_path):
    state, other, same = weights
    names = sorted(state)
    shadow = [state[name] for name in names if "filter" not in name]
    torch.save({"model": {name: other[name] for name in names}, "ema": shadow}, tmp_path / "file.pt")
    assert same(tmp_path / "file.pt")


def test_averages_that_do_not_fit_are_left_and_it_is_said(weights, tmp_path, caplog):
    state, other, same = weights
    torch.save({"model": state, "ema": dict([*other.items()][1:])}, tmp_path / "file.pt")
    assert same(tmp_path / "file.pt")
    assert "takes the weights under the key model, since those under ema do not fit" in caplog.text
    with pytest.raises(ValueError, match=f"{next(iter(other))} of the architecture is missing"):
        same(tmp_path / "file.pt", key="ema")


def test_what_counts_beside_weights_is_left(weights, tmp_path):
    state, _, same = weights
    torch.save(under("module.", state) | {"n_averaged": torch.tensor(5)}, tmp_path / "file.pt")
    assert same(tmp_path / "file.pt")
    torch.save(state | {"temperature": torch.tensor(0.5)}, tmp_path / "file.pt")
    with pytest.raises(ValueError, match="temperature is no tensor of the architecture"):
        same(tmp_path / "file.pt")


def test_names_that_wrappers_alone_tell_apart_are_two_networks(weights, tmp_path):
    state, other, same = weights
    torch.save(state | under("_orig_mod.", other), tmp_path / "file.pt")
    with pytest.raises(ValueError, match=r"2 networks: choose teacher\.prefix='' or teacher\.prefix=_orig_mod\."):
        same(tmp_path / "file.pt")
    assert same(tmp_path / "file.pt", prefix="")


def test_an_optimizer_is_no_average(weights, tmp_path, caplog):
    state, _, same = weights
    moments = {"state": {"avg": {name: value * 0 for name, value in state.items()}}, "param_groups": []}
    torch.save({"optimizer": moments, "model": state}, tmp_path / "file.pt")
    assert same(tmp_path / "file.pt") and not caplog.text


def test_a_tensor_that_is_missing_is_named_and_none_that_is_there(weights, tmp_path):
    state, _, same = weights
    first, last = [*state][0], [*state][-1]
    torch.save({name: value for name, value in state.items() if name not in (first, last)}, tmp_path / "file.pt")
    with pytest.raises(ValueError, match="2 of the .* tensors of the architecture are missing: ") as refused:
        same(tmp_path / "file.pt")
    assert {name for name in state if name in str(refused.value)} == {first, last}


def test_there_is_a_choice_and_it_is_said(weights, tmp_path, caplog):
    state, other, same = weights
    torch.save({"model": state, "ema": other}, tmp_path / "file.pt")
    with caplog.at_level(logging.WARNING):
        assert not same(tmp_path / "file.pt")
    assert "takes the weights under the key ema (choose teacher.key=model or teacher.key=ema)" in caplog.text
    caplog.clear()
    assert same(tmp_path / "file.pt", key="model") and not caplog.text
    with pytest.raises(ValueError, match=r"no weights under key=net: choose teacher\.key=model or teacher\.key=ema"):
        same(tmp_path / "file.pt", key="net")


def test_one_of_several_networks_is_chosen_by_its_prefix(weights, tmp_path):
    state, other, same = weights
    torch.save({"state_dict": under("net.", other) | under("net_ema.", state)}, tmp_path / "file.ckpt")
    assert (
        same(tmp_path / "file.ckpt")
        and same(tmp_path / "file.ckpt", prefix="net_ema.")
        and not same(tmp_path / "file.ckpt", prefix="net.")
    )
    with pytest.raises(ValueError, match=r"no network after prefix=ema\.: choose teacher\.prefix=net\. or"):
        same(tmp_path / "file.ckpt", prefix="ema.")


def test_without_an_average_among_several_networks_there_is_no_default(weights, tmp_path):
    state, other, same = weights
    torch.save(state | under("other.", other), tmp_path / "file.pth")
    with pytest.raises(ValueError, match=r"holds 2 networks: choose teacher\.prefix='' or teacher\.prefix=other\."):
        same(tmp_path / "file.pth")
    assert same(tmp_path / "file.pth", prefix="") and not same(tmp_path / "file.pth", prefix="other.")


def test_a_whole_module_is_refused_with_the_cure(weights, network, tmp_path):
    torch.save(network(3), tmp_path / "module.pt")
    with pytest.raises(ValueError, match=r"an object of alps_exp.*EDMPrecond: save the network's state_dict\(\)"):
        weights[2](tmp_path / "module.pt")


class Command:
    """Runs a command where a pickle of it is loaded by Python's own means."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_what_a_file_would_run_does_not_run(weights, tmp_path):
    state, _, same = weights
    trace = tmp_path / "trace"
    torch.save({"state_dict": state, "hyper_parameters": Command(f"touch {trace}")}, tmp_path / "file.ckpt")
    assert same(tmp_path / "file.ckpt") and not trace.exists()
    torch.save(Command(f"touch {trace}"), tmp_path / "file.pt")
    with pytest.raises(ValueError, match="holds no state dict"):
        same(tmp_path / "file.pt")
    assert not trace.exists()


@pytest.mark.parametrize("forgery", ["no such storage", "compressed", "out of bounds", "own storage", "cut"])
def test_a_forged_archive_is_refused(weights, tmp_path, forgery):
    state, _, same = weights
    torch.save({"state_dict": state, "hyper_parameters": Path("/data")}, tmp_path / "good.ckpt")
    forged = tmp_path / "forged.ckpt"
    with zipfile.ZipFile(tmp_path / "good.ckpt") as good, zipfile.ZipFile(forged, "w") as bad:
        for name in good.namelist():
            content = good.read(name)
            if forgery == "own storage" and name.endswith("data.pkl"):
                content = content.replace(b"FloatStorage", b"system_Float")
            if forgery == "no such storage" and name.endswith("data/3"):
                continue
            if forgery == "out of bounds" and name.endswith("data/3"):
                content = content[:4]
            if forgery == "cut" and name.endswith("data.pkl"):
                content = content[: len(content) // 2]
            bad.writestr(name, content, zipfile.ZIP_DEFLATED if forgery == "compressed" else zipfile.ZIP_STORED)
    with pytest.raises(ValueError, match="is refused, as truncated, damaged or unsafe"):
        same(forged)


def pickled(path, content, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", content)


def test_what_would_crash_hang_or_fill_the_memory_is_refused(weights, tmp_path):
    same, path = weights[2], tmp_path / "file.pth"
    pickled(path, b"\x80\x02})" + b"\x85" * 10**6 + b"K\x01s.")  # hashing this key would end the interpreter
    with pytest.raises(ValueError, match="holds no state dict"):
        same(path)
    pickled(path, b"\x80\x02X" + (10**8).to_bytes(4, "little") + b"a" * 10**8 + b".", zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="it is compressed"):
        same(path)
    fan = {}
    fan.update({f"k{i}": fan for i in range(3000)})
    torch.save(fan, path)
    with pytest.raises(ValueError, match="holds no state dict"):
        same(path)
    torch.save({"weight": torch.zeros(1).expand(10**12)}, path)
    with pytest.raises(ValueError, match="is refused"):
        same(path)


@pytest.mark.parametrize("form", FILES)
def test_files_from_before_torch_1_6_give_the_same_network(weights, tmp_path, form):
    state, other, same = weights
    torch.save(FILES[form](state, other), tmp_path / "file.ckpt", _use_new_zipfile_serialization=False)
    assert same(tmp_path / "file.ckpt")


class Called:
    """Is read by calling a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: [Called(bytearray, 1 << 40)], "holds no state dict"),
        (lambda: [Called(codecs.encode, "a", "bz2")], "holds no state dict"),
        (lambda: Called(os.system, "exit"), r"an object of \w+\.system"),
        (lambda: torch.zeros(1).expand(10**12), "is out of bounds for 1 elements"),
    ],
)
def test_old_files_build_nothing_and_nobody_is_told_to_let_them(weights, tmp_path, content, message):
    torch.save(content(), tmp_path / "file.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=f"file.pt.*{message}") as refused:
        weights[2](tmp_path / "file.pt")
    assert "weights_only" not in str(refused.value)


@pytest.mark.parametrize("forgery", ["cut", "longer than the file", "of another length", "not listed"])
def test_a_forged_old_file_is_refused(weights, tmp_path, forgery):
    path, tensor = tmp_path / "file.pt", torch.arange(4.0)
    torch.save({"w": tensor}, path, _use_new_zipfile_serialization=False)
    good = path.read_bytes()
    key = str(tensor.untyped_storage()._cdata).encode()
    if forgery == "cut":
        bad = good[:-4]
    elif forgery == "longer than the file":
        bad = good.replace(b"K\x04N", b"M\xff\xffN")
    elif forgery == "of another length":
        bad = good.replace((4).to_bytes(8, "little"), (5).to_bytes(8, "little"))
    else:
        bad = key.translate(bytes.maketrans(b"0123456789", b"1234567890")).join(good.rsplit(key, 1))
    assert bad != good
    path.write_bytes(bad)
    with pytest.raises(ValueError, match="is refused, as truncated, damaged or unsafe: a storage|its list of storages"):
        weights[2](path)


def test_a_storage_is_read_once_however_often_it_is_named(tmp_path):
    whole = torch.arange(8.0)
    torch.save({"a": whole[:4], "b": whole[2:], "c": whole.reshape(2, 4).T}, tmp_path / "file.pt")
    found = read_weights(tmp_path / "file.pt").found[""]
    assert torch.equal(found["b"], whole[2:]) and torch.equal(found["c"], whole.reshape(2, 4).T)
    assert len({tensor.untyped_storage().data_ptr() for tensor in found.values()}) == 1


def laughs():
    """Return a list of ten times the same list, and so on: small in memory, endless as text."""
    value = ["ha"]
    for _ in range(30):
        value = [value] * 10
    return value


def test_lists_without_end_are_never_made_into_text(weights, tmp_path):
    state, _, same = weights
    torch.save({"state_dict": state, "epoch": laughs(), "global_step": 3}, tmp_path / "file.ckpt")
    assert read_weights(tmp_path / "file.ckpt").notes == {"global_step": "3", "averaged": "no"}
    for record in ({"kind": laughs()}, {"kind": "teacher", "architecture": {"model": {"embedding_type": laughs()}}}):
        torch.save({"state_dict": state, "alps_exp": record}, tmp_path / "file.ckpt")
        with pytest.raises(ValueError, match=r"file\.ckpt.*(kind is teacher or energy|embedding_type .*a word)"):
            load_teacher(tmp_path / "file.ckpt")
    torch.save({"state_dict": 7, "a": state, "alps_exp": {"kind": "teacher"}}, tmp_path / "file.ckpt")
    with pytest.raises(ValueError, match="weights under state_dict"):
        load_teacher(tmp_path / "file.ckpt")


def test_names_are_shown_on_one_line_without_escapes_and_cut(tmp_path):
    torch.save({"\x1b[2Ja\nkind energy": {"w" * 10**6: torch.ones(1), "\x1b": torch.ones(1)}}, tmp_path / "file.pt")
    (key, names), *_ = read_weights(tmp_path / "file.pt").found.items()
    assert key == "\N{REPLACEMENT CHARACTER}[2Ja kind energy"
    assert [len(name) for name in names] == [200, 1] and all(name.isprintable() for name in names)
    torch.save({"\x1b" * 10**6: 1}, tmp_path / "file.pt")
    with pytest.raises(ValueError, match="holds no state dict") as refused:
        read_weights(tmp_path / "file.pt")
    assert str(refused.value).isprintable() and len(str(refused.value)) < 1000
