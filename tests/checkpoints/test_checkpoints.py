"""Weights that come back as they went, and files that are refused."""

import os
from itertools import pairwise

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from alps_exp.checkpoints import save_model
from alps_exp.checkpoints.checkpoint import History, Origin
from alps_exp.checkpoints.model_card import write_card
from alps_exp.checkpoints.reading import read_checkpoint
from alps_exp.checkpoints.safetensors_file import lineage
from alps_exp.files import file_hash
from alps_exp.networks import EDMPrecond, SongUNet
from alps_exp.priors import Denoiser, load_energy, load_teacher


def test_saved_weights_give_the_same_outputs(network, tmp_path):
    original = network(3)
    save_model(tmp_path / "model.safetensors", original, "teacher")
    loaded = load_teacher(tmp_path / "model.safetensors")
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(loaded.denoise(x, 0.4), Denoiser(original).denoise(x, 0.4))


def test_equal_weights_make_equal_files(network, tmp_path):
    original, files = network(3), [tmp_path / f"{i}.safetensors" for i in range(8)]
    for path in files:
        save_model(path, original, "teacher")
    assert len({path.read_bytes() for path in files}) == 1


def test_half_precision_storage_loads_as_float32(network, tmp_path):
    save_model(tmp_path / "model.safetensors", network(3), "energy", torch.float16)
    state = load_energy(tmp_path / "model.safetensors").state_dict()
    assert {value.dtype for value in state.values()} == {torch.float32}


def test_half_precision_is_for_weights_not_for_the_frequencies_of_an_embedding(tmp_path):
    torch.manual_seed(0)
    sizes = {"img_resolution": 16, "in_channels": 1, "out_channels": 1, "model_channels": 16}
    original = EDMPrecond(SongUNet(**sizes, embedding_type="fourier"))
    save_model(tmp_path / "model.safetensors", original, "teacher", torch.float16)
    loaded = load_teacher(tmp_path / "model.safetensors").network
    assert torch.equal(loaded.model.map_noise.freqs, original.model.map_noise.freqs)
    assert not torch.equal(loaded.model.map_layer0.weight, original.model.map_layer0.weight)


def test_files_that_do_not_fit_are_refused(network, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, network(3), "teacher")
    with pytest.raises(ValueError, match="teacher.*energy"):
        load_energy(path)
    weights, header = load_file(path), safe_open(path, "pt").metadata()
    save_file(weights, path, header | {"architecture": header["architecture"].replace(": 16,", ": 32,", 1)})
    with pytest.raises(ValueError, match="architecture.*32x32"):
        load_teacher(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="safetensors"):
        load_teacher(path)
    with pytest.raises(ValueError, match="nobody.*safetensors.*shipped"):
        load_teacher("nobody")


def test_weights_and_card_are_written_as_a_whole_or_not_at_all(tmp_path, network, monkeypatch):
    weights, card = tmp_path / "model.safetensors", tmp_path / "model.md"
    save_model(weights, network(3), "teacher")
    write_card(card, "model", {"steps": "1"})
    before = {path: path.read_bytes() for path in (weights, card)}
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_model(weights, network(3, seed=1), "teacher")
    with pytest.raises(OSError, match="disk full"):
        write_card(card, "model", {"steps": "2"})
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_weights_tell_those_that_they_went_on_from(tmp_path, network):
    paths = [tmp_path / f"{i}.safetensors" for i in range(3)]
    save_model(paths[0], network(3), "teacher")
    for steps, (before, after) in enumerate(pairwise(paths), 10):
        save_model(after, network(3), "teacher", history=History(steps, lineage(before)))
    first, second = (file_hash(path) for path in paths[:2])
    assert lineage(paths[2])[1:] == [Origin(second, 10), Origin(first, None)]
    assert lineage(paths[2])[0] == Origin(file_hash(paths[2]), 11)
    assert read_checkpoint(paths[2]).history == History(11, [Origin(second, 10), Origin(first, None)])


def test_weights_that_are_not_finite_in_their_file_are_refused(tmp_path, network):
    model = network(3)
    next(model.parameters()).data.fill_(1e6)  # beyond float16
    with pytest.raises(ValueError, match="finite.*float16"):
        save_model(tmp_path / "model.safetensors", model, "teacher", torch.float16)
    assert not list(tmp_path.iterdir())
    save_model(tmp_path / "model.safetensors", model, "teacher")


def with_notes(path, **notes):
    header = safe_open(path, "pt").metadata()
    save_file(load_file(path), path, header | notes)


@pytest.mark.parametrize(
    "history", ["[" * 100_000, '{"steps": "x", "origins": []}', '{"steps": 1, "origins": [{"sha256": 1, "steps": 1}]}']
)
def test_a_damaged_history_is_refused_with_the_name_of_its_file(tmp_path, network, history):
    path = tmp_path / "model.safetensors"
    save_model(path, network(3), "teacher", history=History(1, []))
    with_notes(path, history=history)
    for read in (read_checkpoint, lineage):
        with pytest.raises(ValueError, match=f"the history in the header of {path} is damaged"):
            read(path)


@pytest.mark.parametrize("size", ["9" * 10_000 + " x 9", "0 x 0", "64 x 99999"])
def test_a_card_of_no_possible_size_is_refused_with_its_name(tmp_path, network, size):
    save_model(tmp_path / "model.safetensors", network(3), "teacher")
    (tmp_path / "model.md").write_bytes(f"| resolution | {size}, 3 channels |".encode() + b"\xff")
    with pytest.raises(ValueError, match=f"{tmp_path / 'model.md'} gives no possible resolution: expected"):
        load_teacher(tmp_path / "model.safetensors")
