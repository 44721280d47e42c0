"""Every format restores a picture with the line that the documentation gives: that of its network from safetensors."""

import functools
import json
import math
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file

from alps_exp.checkpoints import save_model
from alps_exp.networks import ADMUNet, DhariwalUNet, DiscretePrecond, EDM2UNet, EDMPrecond
from alps_exp.networks.preconditioning import architecture_of
from alps_exp.priors import load_teacher
from alps_exp.runs import RunFolder

ROOT = Path(__file__).parents[2]
DOCUMENTED = (ROOT / "docs" / "checkpoints.md").read_text()
RECORDED = np.load(ROOT / "tests" / "reference" / "score_sde_seeded_outputs.npz")
DIFFUSERS = np.load(ROOT / "tests" / "reference" / "diffusers_seeded_outputs.npz")
SMALL = ["data.test.size=16", "sampler.schedule.steps=2", "num_samples=1", "logger=none", "figures=false"]
SMALL += ["trainer.accelerator=cpu"]
EDM = {"img_resolution": 16, "img_channels": 3, "model_channels": 16, "channel_mult": [1, 2], "num_blocks": 1}
EDM |= {"attn_resolutions": [8], "model_type": "SongUNet"}
ADM = {"img_resolution": 16, "model_channels": 32, "channel_mult": [1, 2], "num_blocks": 1, "attention_levels": [1]}
LABEL = 3


@pytest.fixture
def restored(alps, tmp_path, monkeypatch):
    """Return what restores a picture, and gives its pixels and what was said aloud."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALPS_DATA", str(tmp_path))
    (tmp_path / "models" / "score_sde").mkdir(parents=True)

    def run(line, sampler="alps_teacher"):
        root = tmp_path / f"runs{len(list(tmp_path.iterdir()))}"
        status, out, err = alps("restore", f"sampler={sampler}", *line.split(), *SMALL, f"output_root={root}")
        assert status == 0, out + err
        (records,) = root.rglob("records.jsonl")
        folder = RunFolder(records.parent)
        (image_id,) = {json.loads(line)["image_id"] for line in records.read_text().splitlines()}
        return folder.load_result(image_id).estimates["mmse"], err

    return run


def seeded(network):
    """Return a network whose every parameter is random, so that no branch is hidden by a zero."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return network


def ours(place, network):
    save_model(place / "teacher.safetensors", network, "teacher")


def our_training(place, network):
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    record = {"kind": "teacher", "architecture": architecture_of(network)}
    torch.save({"state_dict": state, "epoch": 1, "global_step": 7, "alps_exp": record}, place / "last.ckpt")


def guided_diffusion(name):
    return lambda place, network: torch.save(network.model.state_dict(), place / "models" / name)


def of_classes():
    model = {name: value for name, value in EDM.items() if name not in ("img_channels", "model_type")}
    return EDMPrecond(DhariwalUNet(**model, in_channels=3, out_channels=3, label_dim=10))


OURS = {
    "ours": ("teacher=file teacher.name=teacher.safetensors", None, ours),
    "our training": ("teacher=file teacher.name=last.ckpt", None, our_training),
    "guided diffusion": (
        "teacher=adm_ffhq256",
        lambda: DiscretePrecond(ADMUNet(**ADM)),
        guided_diffusion("ffhq_10m.pt"),
    ),
    "guided diffusion with classes": (
        "teacher=adm_imagenet64_classes teacher.class_label=3",
        lambda: DiscretePrecond(ADMUNet(**ADM, label_dim=10, new_attention_order=True), "cosine"),
        guided_diffusion("64x64_diffusion.pt"),
    ),
}
"""The line of the documentation, the network (None: a small one), and what writes its file."""


def compare(restored, tmp_path, line, network, label=None, kind="teacher", sampler="alps_teacher"):
    """Check that a documented line restores the picture of a network from safetensors; return what it says aloud."""
    assert f"`{line}`" in DOCUMENTED
    save_model(tmp_path / "plain.safetensors", network, kind)
    chosen = f" {kind}.class_label={label}" if label is not None else ""
    expected, _ = restored(f"{kind}=file {kind}.name=plain.safetensors{chosen}", sampler)
    picture, said = restored(line, sampler)
    np.testing.assert_array_equal(picture, expected)
    return said


@pytest.mark.parametrize("form", OURS)
def test_networks_from_files_of_our_own_and_of_guided_diffusion(restored, network, tmp_path, form):
    line, make, write = OURS[form]
    model = seeded(make()) if make else network(3)
    write(tmp_path, model)
    compare(restored, tmp_path, line, model, LABEL if "class_label" in line else None)


def test_networks_from_pickles_of_nvlabs(restored, network, nvlabs_pickle, tmp_path):
    nvlabs_pickle(network(3), EDM).rename(tmp_path / "models" / "edm-ffhq-64x64-uncond-ve.pkl")
    compare(restored, tmp_path, "teacher=edm_ffhq64_ve", network(3))


def test_networks_with_classes_from_pickles_of_nvlabs(restored, nvlabs_pickle, tmp_path):
    model, arguments = seeded(of_classes()), EDM | {"model_type": "DhariwalUNet", "label_dim": 10}
    nvlabs_pickle(model, arguments).rename(tmp_path / "models" / "edm-imagenet-64x64-cond-adm.pkl")
    compare(restored, tmp_path, "teacher=edm_imagenet64_adm teacher.class_label=3", model, LABEL)


def test_networks_from_the_state_of_a_training_of_nvlabs(restored, network, nvlabs_object, tmp_path):
    model = network(3)
    optimizer = torch.optim.Adam(model.parameters())
    model.model(torch.zeros(1, 3, 16, 16), torch.zeros(1)).sum().backward()
    optimizer.step()
    content = {"net": nvlabs_object(model, EDM), "optimizer_state": optimizer.state_dict()}
    torch.save(content, tmp_path / "training-state-000100.pt")
    line = "teacher=file teacher.name=training-state-000100.pt"
    assert "in training" in compare(restored, tmp_path, line, model)


class Precond(torch.nn.Module):
    """What NVlabs' code of EDM2 calls its network."""

    def __init__(self, unet):
        super().__init__()
        self.unet = unet


def test_networks_from_pickles_of_edm2(restored, nvlabs_pickle, tmp_path):
    sizes = {"img_resolution": 16, "model_channels": 32, "channel_mult": [1, 2], "num_blocks": 1, "label_dim": 208}
    sizes |= {"logvar_channels": 0}
    model = seeded(EDMPrecond(EDM2UNet(in_channels=3, out_channels=3, **sizes)))
    path = nvlabs_pickle(Precond(model.model), {"img_channels": 3, **sizes})
    path.rename(tmp_path / "models" / "edm2-img64-s-1073741-0.075.pkl")
    compare(restored, tmp_path, "teacher=edm2_img64 teacher.class_label=207", model, 207)


def test_networks_from_folders_of_diffusers(restored, tmp_path):
    folder = tmp_path / "models" / "ddpm-celebahq-256"
    folder.mkdir()
    network = {"_class_name": "UNet2DModel", "sample_size": 32, "in_channels": 3, "out_channels": 3}
    network |= {"block_out_channels": [32, 32, 64], "layers_per_block": 1, "down_block_types": ["DownBlock2D"] * 2}
    network["down_block_types"] += ["AttnDownBlock2D"]
    network["up_block_types"] = ["AttnUpBlock2D", "UpBlock2D", "UpBlock2D"]
    (folder / "config.json").write_text(json.dumps(network))
    scheduler = {"_class_name": "DDPMScheduler", "beta_schedule": "linear", "num_train_timesteps": 1000}
    (folder / "scheduler_config.json").write_text(json.dumps(scheduler))
    save_file(random_tensors(DIFFUSERS, "sample"), folder / "diffusion_pytorch_model.safetensors")
    compare(restored, tmp_path, "teacher=ddpm_celebahq256", load_teacher(folder).network)


def random_tensors(recorded, case):
    """Return tensors of the names and shapes of a recorded network."""
    torch.manual_seed(0)
    shapes = dict(json.loads(str(recorded[f"{case}_names"])))
    return {name: torch.randn(shape) / max(8, math.prod(shape[1:])) ** 0.5 for name, shape in shapes.items()}


SCORE_SDE = {
    "ve": ("teacher=score_sde_ffhq256_ve", "ffhq_256_ncsnpp_continuous.pth"),
    "vp": ("teacher=score_sde_cifar10_vp", "cifar10_ddpmpp_continuous.pth"),
    "subvp": ("teacher=score_sde_cifar10_subvp", "cifar10_ddpmpp_continuous_subvp.pth"),
}


@pytest.mark.parametrize("sde", ["ve", "vp", pytest.param("subvp", marks=pytest.mark.slow)])
def test_networks_of_score_sde(restored, tmp_path, sde):
    line, file = SCORE_SDE[sde]
    averages = random_tensors(RECORDED, sde)
    model = {f"module.{name}": value + 0.1 for name, value in averages.items()}
    fixed = [name for name in averages if name.endswith(".0.W")]
    model |= {f"module.{name}": averages[name] for name in fixed}
    shadow = [value for name, value in averages.items() if name not in fixed]
    path = tmp_path / "models" / "score_sde" / file
    torch.save({"model": model, "ema": {"decay": 0.999, "shadow_params": shadow}, "step": 7}, path)
    torch.save(averages, tmp_path / "averages.pth")
    architecture = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / f"{line.replace('=', '/')}.yaml").architecture)
    compare(restored, tmp_path, line, load_teacher(tmp_path / "averages.pth", architecture).network)


def test_the_energy_of_the_authors(restored, network, nvlabs_pickle, tmp_path):
    nvlabs_pickle(network(3, seed=1), EDM).rename(tmp_path / "models" / "edm-ffhq-64x64-uncond-ve.pkl")
    weights = {f"net.{name}": value for name, value in network(3).state_dict().items()}
    torch.save(weights, tmp_path / "models" / "best_model_epoch_36.pth")
    compare(restored, tmp_path, "energy=published", network(3), kind="energy", sampler="alps")


def under(prefix, state):
    return {prefix + name: value for name, value in state.items()}


def wrapped(state, name):
    """Return weights with names in which one module of two is wrapped."""
    return {re.sub(r"(enc|map_layer0)\.", rf"\1.{name}.", key): value for key, value in state.items()}


def averages(state):
    return [value for name, value in state.items() if "resample_filter" not in name]


HYPER = {
    "optimizer": functools.partial(torch.optim.Adam, lr=1e-3),
    "config": OmegaConf.create({"lr": [1e-3, {"a": 1}]}),
    "root": Path("/data"),
    "rate": np.float32(0.1),
}
WEIGHTS = "teacher=file teacher.name=weights.pth teacher.architecture=faces64"
KEY, PREFIX = "teacher.key=model", "teacher.prefix=net_ema."
FAST = {
    "plain": (lambda state, other: state, ""),
    "one of several, chosen": (lambda state, other: {"ema": other, "model": state, "step": torch.tensor(3)}, KEY),
    "several networks": (lambda state, other: {"state_dict": under("net_ema.", state) | under("net.", other)}, PREFIX),
    "averages as a list": (lambda state, other: {"model": other, "ema": {"shadow_params": averages(state)}}, ""),
    "wrapped inside": (lambda state, other: under("module.", wrapped(state, "_checkpoint_wrapped_module")), ""),
    "Lightning": (lambda state, other: {"state_dict": under("net.", state), "hyper_parameters": HYPER}, ""),
}
SLOW = {
    "DDP": (lambda state, other: under("module.", state), ""),
    "compiled": (lambda state, other: under("_orig_mod.", state), ""),
    "compiled, then DDP": (lambda state, other: under("module._orig_mod.", state), ""),
    "compiled inside": (lambda state, other: wrapped(state, "_orig_mod"), ""),
    "sharded": (lambda state, other: under("_fsdp_wrapped_module.", wrapped(state, "_fsdp_wrapped_module")), ""),
    "half": (lambda state, other: {name: value.half() for name, value in state.items()}, ""),
    "double": (lambda state, other: {name: value.double() for name, value in state.items()}, ""),
    "only EMA": (lambda state, other: {"ema": state}, ""),
    "model_state_dict": (lambda state, other: {"model_state_dict": state, "optimizer_state_dict": {"state": {}}}, ""),
    "several rates": (lambda state, other: {"net": other, "emas": [state, other]}, ""),
    "averages of all": (lambda state, other: {"net": other, "ema": {"shadow_params": list(state.values())}}, ""),
    "averages alone": (lambda state, other: [*state.values()], ""),
    "two networks, one averaged": (lambda state, other: under("net.", other) | under("net_ema.", state), ""),
    "and a metric": (lambda state, other: {"state_dict": under("net.", state) | {"metric.total": torch.ones(1)}}, ""),
    "without buffers": (lambda state, other: {k: v for k, v in state.items() if "resample_filter" not in k}, ""),
    "and objects": (lambda state, other: state | {"config": OmegaConf.create({"a": 1}), "root": Path("/data")}, ""),
}
WRAPPINGS = FAST | SLOW


@pytest.fixture
def faces(tmp_path):
    """Return a network like that of faces64, its weights, and others."""
    network = load_teacher("faces64").network
    state = {name: value.clone() for name, value in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        parameter.mul_(1.01)
        state[name] = parameter.copy_(parameter.half()).clone()
    return network, state, {name: value + 0.01 for name, value in state.items()}


@pytest.mark.parametrize("form", [*FAST, *[pytest.param(form, marks=pytest.mark.slow) for form in SLOW]])
def test_weights_as_people_have_them(restored, faces, tmp_path, form):
    network, state, other = faces
    make, more = WRAPPINGS[form]
    torch.save(make(state, other), tmp_path / "weights.pth")
    compare_weights(restored, tmp_path, network, more)


@pytest.mark.parametrize("form", [pytest.param(form, marks=pytest.mark.slow) for form in FAST])
def test_weights_in_files_from_before_torch_1_6(restored, faces, tmp_path, form):
    network, state, other = faces
    make, more = WRAPPINGS[form]
    torch.save(make(state, other), tmp_path / "weights.pth", _use_new_zipfile_serialization=False)
    compare_weights(restored, tmp_path, network, more)


def compare_weights(restored, tmp_path, network, more=""):
    assert f"`{WEIGHTS}`" in DOCUMENTED and (not more or f"`{more}`" in DOCUMENTED)
    save_model(tmp_path / "plain.safetensors", network, "teacher")
    expected, _ = restored("teacher=file teacher.name=plain.safetensors")
    picture, _ = restored(f"{WEIGHTS} {more}")
    np.testing.assert_array_equal(picture, expected)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["safetensors", "pickle"])
def test_weights_of_other_containers(restored, faces, tmp_path, form):
    network, state, _ = faces
    if form == "safetensors":
        save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "weights.pth")
    else:
        (tmp_path / "weights.pth").write_bytes(pickle.dumps(state, protocol=4))
    compare_weights(restored, tmp_path, network)
