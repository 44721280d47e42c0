"""`alps checkpoint`: inspects and converts, with one clear line for what it cannot."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from alps_exp.checkpoints import save_model
from alps_exp.checkpoints.diffusers_folder import diffusers_names
from alps_exp.cli import checkpoint as verb
from alps_exp.files import file_hash
from alps_exp.networks import ADMUNet, DiscretePrecond
from alps_exp.networks.preconditioning import architecture_of
from alps_exp.priors import load_energy, load_teacher


@pytest.fixture
def files(tmp_path, network):
    """Return a folder with a teacher, the weights of an energy alone, and a checkpoint of our training."""
    save_model(tmp_path / "teacher.safetensors", network(3), "teacher")
    energy = network(3, seed=1)
    weights = {f"net.{name}": value for name, value in energy.state_dict().items()}
    torch.save(weights, tmp_path / "energy.pth")
    record = {"kind": "energy", "architecture": architecture_of(energy)}
    state = {f"network.{name}": value for name, value in energy.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 1, "global_step": 7, "alps_exp": record}, tmp_path / "last.ckpt")
    return tmp_path


def test_inspect_says_what_a_file_is_and_writes_nothing(alps, files, monkeypatch):
    monkeypatch.chdir(files)
    before = sorted(files.rglob("*"))
    for path, facts in {
        "teacher.safetensors": ("teacher", "EDMPrecond, sigma_data 0.5", "SongUNet, img_resolution 16", "16 x 16"),
        "energy.pth": ("state dict", "net.model", "not in the file: name a teacher"),
        "last.ckpt": ("Lightning checkpoint", "energy", "global_step", "16 x 16, 3 channels"),
    }.items():
        status, out, _ = alps("checkpoint", "inspect", f"path={path}")
        assert status == 0 and all(fact in out for fact in facts)
    assert sorted(files.rglob("*")) == before


@pytest.mark.parametrize(
    ("source", "more"), [("energy.pth", ["architecture=teacher.safetensors", "kind=energy"]), ("last.ckpt", [])]
)
def test_convert_writes_weights_and_card_that_load(alps, files, monkeypatch, source, more):
    monkeypatch.chdir(files)
    status, _, err = alps("checkpoint", "convert", f"path={source}", "output=new/energy.safetensors", *more)
    assert status == 0, err
    weights = torch.load(files / "energy.pth", weights_only=True)
    converted = load_file(files / "new/energy.safetensors")
    assert all(torch.equal(converted[name.removeprefix("net.")], value) for name, value in weights.items())
    assert load_energy(files / "new/energy.safetensors").channels == 3
    card = (files / "new/energy.md").read_text()
    assert "# energy: energy" in card and "| source sha256 |" in card and "| preconditioning | EDMPrecond" in card
    status, _, err = alps("checkpoint", "convert", f"path={source}", "output=new/energy.safetensors", *more)
    assert status == 2 and "new/energy.safetensors is there already" in err


def test_what_is_read_is_never_named_as_what_to_remove(alps, files, monkeypatch):
    monkeypatch.chdir(files)
    status, _, err = alps("checkpoint", "convert", "path=teacher.safetensors")
    assert status == 2 and "teacher.safetensors is the file that is read: name the one to write with output=PATH" in err


def test_a_folder_of_diffusers_is_converted_to_a_file_beside_it(alps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {"_class_name": "UNet2DModel", "sample_size": 8, "in_channels": 3, "out_channels": 3}
    config |= {"block_out_channels": [32], "layers_per_block": 1, "norm_num_groups": 8}
    config |= {"down_block_types": ["DownBlock2D"], "up_block_types": ["UpBlock2D"], "add_attention": False}
    Path("unet").mkdir()
    Path("unet/config.json").write_text(json.dumps(config))
    arguments = {"channel_mult": [1], "num_blocks": 1, "attention_levels": [], "norm_groups": 8, "out_channels": 3}
    model = ADMUNet(8, model_channels=32, middle_attention=False, scale_shift=False, **arguments)
    theirs = {diffusers_names(name, 2)[0]: value for name, value in model.state_dict().items()}
    save_file(theirs, "unet/diffusion_pytorch_model.safetensors")
    status, out, err = alps("checkpoint", "convert", "path=unet")
    assert status == 0 and out.split()[-1] == str(tmp_path / "unet.safetensors"), err
    x, sigma = torch.randn(2, 3, 8, 8), torch.tensor([0.5, 5.0])
    read = load_teacher("unet.safetensors").network
    assert torch.equal(read(x, sigma), DiscretePrecond(model, beta_start=1e-4, beta_end=0.02).eval()(x, sigma))


def test_a_conversion_that_breaks_off_between_its_files_is_repeated(alps, files, monkeypatch):
    monkeypatch.chdir(files)
    request = ["checkpoint", "convert", "path=last.ckpt", "output=new.safetensors"]
    with monkeypatch.context() as patch:
        patch.setattr(verb, "write_atomically", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        assert alps(*request)[0] == 1 and not (files / "new.safetensors").exists()
    assert alps(*request)[0] == 0
    assert f"| sha256 | {file_hash(files / 'new.safetensors')} |" in (files / "new.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["convert", "path=nowhere.pkl"], "nowhere.pkl.*path=PATH"),
        (["convert", "path=energy.pth"], "energy.pth.*weights alone.*teacher"),
        (["convert", "path=energy.pth", "architecture=teacher.safetensors"], "kind=teacher.*kind=energy"),
        (["convert", "path=energy.pth", "architecture=brain64", "kind=energy"], "energy.pth.*architecture"),
        (["convert", "path=last.ckpt", "kind=teacher"], "kind.*teacher.*last.ckpt"),
        (["convert", "path=torn.ckpt"], "torn.ckpt.*truncated"),
        (["inspect", "path=text.pkl"], "text.pkl is a text.*expected the weights of a network"),
        (["inspct", "path=last.ckpt"], "action.*'inspct'.*inspect, convert"),
        (["inspect"], "path"),
        (["inspect", "path=last.ckpt", "kind=prior"], "kind.*'prior'"),
    ],
)
def test_wrong_requests_get_one_line_and_leave_nothing(alps, files, monkeypatch, arguments, message):
    monkeypatch.chdir(files)
    (files / "torn.ckpt").write_bytes((files / "last.ckpt").read_bytes()[:-500])
    (files / "text.pkl").write_text("no weights at all here")
    before = sorted(files.rglob("*"))
    status, _, err = alps("checkpoint", *arguments)
    lines = [line for line in err.splitlines() if line.startswith("alps: ")]
    assert status == 2 and len(lines) == 1 and re.search(message, lines[0]) and "Traceback" not in err
    assert sorted(files.rglob("*")) == before


def test_a_published_teacher_that_is_not_there_is_told_where_to_get(alps, monkeypatch, tmp_path):
    monkeypatch.setenv("ALPS_DATA", str(tmp_path))
    place = tmp_path / "models" / "edm-ffhq-64x64-uncond-ve.pkl"
    request = ["sampler=dps", "teacher=edm_ffhq64_ve", "logger=none", f"output_root={tmp_path}"]
    status, _, err = alps("restore", *request)
    assert status == 2 and f"alps: no file {place}: download https://nvlabs-fi-cdn.nvidia.com/edm/pretrained/" in err
