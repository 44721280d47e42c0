"""Folders of diffusers give the denoised images that its own `UNet2DModel` recorded for the same weights."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file

from alps_exp.cli.inference import weight_files
from alps_exp.networks.discrete_schedules import noise_scales
from alps_exp.priors import load_energy, load_teacher

RECORDED = np.load(Path(__file__).parents[1] / "reference" / "diffusers_seeded_outputs.npz")
SIGMAS = (0.01, 0.1, 1.0, 10.0, 100.0)
DDPM = {
    "norm_eps": 1e-6,
    "freq_shift": 1,
    "flip_sin_to_cos": False,
    "downsample_padding": 0,
    "attention_head_dim": None,
}
CASES = {
    "ddpm": (
        {"block_out_channels": [32, 64, 64], "layers_per_block": 2}
        | {"down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D"]}
        | {"up_block_types": ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D"]}
        | DDPM,
        {"beta_schedule": "linear"},
    ),
    "sample": (
        {"block_out_channels": [32, 32, 64], "layers_per_block": 1}
        | {"down_block_types": ["DownBlock2D", "DownBlock2D", "AttnDownBlock2D"]}
        | {"up_block_types": ["AttnUpBlock2D", "UpBlock2D", "UpBlock2D"]},
        {"prediction_type": "sample", "beta_schedule": "squaredcos_cap_v2"},
    ),
    "velocity": (
        {"in_channels": 1, "out_channels": 1, "block_out_channels": [32, 96], "layers_per_block": 1}
        | {"down_block_types": ["AttnDownBlock2D", "AttnDownBlock2D"], "num_class_embeds": 4}
        | {"up_block_types": ["AttnUpBlock2D", "AttnUpBlock2D"], "attention_head_dim": 16, "norm_num_groups": 8}
        | {"resnet_time_scale_shift": "scale_shift", "attn_norm_num_groups": 8},
        {"prediction_type": "v_prediction", "beta_schedule": "scaled_linear", "beta_start": 0.001, "beta_end": 0.015}
        | {"num_train_timesteps": 400},
    ),
    "residual": (
        {"block_out_channels": [32, 64], "layers_per_block": 1, "add_attention": False}
        | {"down_block_types": ["ResnetDownsampleBlock2D", "AttnDownBlock2D"], "downsample_type": "resnet"}
        | {"up_block_types": ["AttnUpBlock2D", "ResnetUpsampleBlock2D"], "upsample_type": "resnet"},
        {"beta_schedule": "sigmoid"},
    ),
}
"""Settings of the network and of the scheduler, as in their files of JSON."""


def seeded(case):
    """Draw parameters in the order of their names, of a size that keeps the signal's."""
    random = np.random.RandomState(0)
    state = {}
    shapes = dict(json.loads(str(RECORDED[f"{case}_names"])))
    for name in sorted(shapes):
        shape = shapes[name]
        value = random.standard_normal(shape)
        scaled = value / math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else 0.2 * value + name.endswith("weight")
        state[name] = torch.from_numpy(scaled.astype(np.float32))
    return state


def images(case):
    channels = CASES[case][0].get("in_channels", 3)
    return torch.from_numpy(np.random.RandomState(1).standard_normal((5, channels, 32, 32)).astype(np.float32))


def network_config(case):
    return {"_class_name": "UNet2DModel", "sample_size": 32, "in_channels": 3, "out_channels": 3, **CASES[case][0]}


def scheduler_config(case):
    return {"_class_name": "DDPMScheduler", "num_train_timesteps": 1000, **CASES[case][1]}


@pytest.fixture
def pipeline(tmp_path):
    """Return what writes a case as a pipeline of diffusers is saved, with changes to its parts."""

    def write(case, weights=dict, config=(), scheduler=(), index=()):
        folder = tmp_path / case
        (folder / "unet").mkdir(parents=True)
        (folder / "scheduler").mkdir()
        save_file(weights(seeded(case)), folder / "unet" / "diffusion_pytorch_model.safetensors")
        parts = {"unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "DDPMScheduler"]}
        files = {
            "unet/config.json": network_config(case) | dict(config),
            "scheduler/scheduler_config.json": scheduler_config(case) | dict(scheduler),
            "model_index.json": {"_class_name": "DDPMPipeline", **parts, **dict(index)},
        }
        for name, content in files.items():
            (folder / name).write_text(json.dumps(content))
        return folder

    return write


def load(path, case, **options):
    return load_teacher(path, class_label=2 if "num_class_embeds" in CASES[case][0] else None, **options)


@pytest.mark.parametrize("case", CASES)
def test_denoised_images_are_those_of_diffusers(case, pipeline):
    teacher = load(pipeline(case), case)
    noisy = images(case) * torch.tensor(SIGMAS).clamp(min=1)[:, None, None, None]
    denoised = torch.cat([teacher.denoise(x[None], s) for x, s in zip(noisy, SIGMAS, strict=True)])[..., 16:]
    for mine, theirs, x in zip(denoised, torch.from_numpy(RECORDED[case]), noisy[..., 16:], strict=True):
        assert (mine - theirs).norm() < 1e-5 * theirs.norm()
        assert (mine - theirs).norm() < 1e-5 * (theirs - x).norm() + 2e-7 * x.norm()


def test_schedules_are_those_of_diffusers():
    """Theirs are in single precision, which rounds the rates of the first steps."""
    for case, (_, scheduler) in CASES.items():
        steps = scheduler.get("num_train_timesteps", 1000)
        name = {"squaredcos_cap_v2": "cosine"}.get(scheduler["beta_schedule"], scheduler["beta_schedule"])
        rates = {} if name == "cosine" else {"beta_start": 1e-4, "beta_end": 0.02} | scheduler
        scales = noise_scales(name, steps, rates.get("beta_start"), rates.get("beta_end"))
        assert np.allclose(scales, RECORDED[f"{case}_scales"], rtol=2e-3)


def former(weights):
    """Return weights with the names of attention before version 0.17 of diffusers."""
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    return {
        next((name.replace(f".{new}.", f".{old}.") for new, old in names.items() if f".{new}." in name), name): value
        for name, value in weights.items()
    }


def test_layouts_and_names_of_other_versions_are_the_same_network(pipeline, tmp_path):
    folder = pipeline("ddpm")
    x = images("ddpm")
    expected = load(folder, "ddpm").denoise(x, 2.0)
    flat = tmp_path / "flat"
    flat.mkdir()
    for name in ("unet/config.json", "scheduler/scheduler_config.json"):
        (flat / Path(name).name).write_text((folder / name).read_text())
    torch.save(former(seeded("ddpm")), flat / "diffusion_pytorch_model.bin")
    for path in (folder / "unet", folder / "unet" / "diffusion_pytorch_model.safetensors", flat):
        assert torch.equal(load(path, "ddpm").denoise(x, 2.0), expected), path


def test_what_a_network_without_a_scheduler_does_not_say_is_said_aloud(pipeline, caplog):
    folder = pipeline("ddpm")
    (folder / "scheduler" / "scheduler_config.json").unlink()
    load(folder / "unet", "ddpm", architecture={"schedule": "linear", "M": 1000})
    assert "do not say beta_start (0.0001), beta_end (0.02), prediction (epsilon)" in caplog.text


def without(name):
    return lambda weights: {other: value for other, value in weights.items() if other != name}


KEY = "down_blocks.1.attentions.1.to_k.weight"
BIAS = "up_blocks.2.resnets.0.conv_shortcut.bias"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": without(KEY)}, f"{KEY} is missing"),
        (
            {"weights": without("mid_block.attentions.0.to_out.0.bias")},
            "mid_block.attentions.0.to_out.0.bias is missing",
        ),
        ({"weights": lambda w: w | {BIAS: torch.zeros(7)}}, f"{BIAS} has the shape 7, its config.json describes 32"),
        ({"weights": lambda w: w | {"wings.weight": torch.zeros(7)}}, "wings.weight is not of the network"),
        ({"config": {"layers_per_block": 3}}, "down_blocks.0.resnets.2.* is missing"),
        ({"config": {"_class_name": "UNet2DConditionModel"}}, "UNet2DConditionModel.*cross attention.*UNet2DModel"),
        ({"config": {"time_embedding_type": "fourier"}}, "time_embedding_type is fourier.*the .pth of score_sde"),
        ({"config": {"time_embedding_type": "learned"}}, "time_embedding_type is learned, supported is positional"),
        ({"config": {"act_fn": "gelu"}}, "act_fn is gelu, supported is silu or swish"),
        ({"config": {"down_block_types": ["SkipDownBlock2D"] * 3}}, "SkipDownBlock2D, supported are DownBlock2D"),
        ({"config": {"up_block_types": ["UpBlock2D"] * 3}}, "attention on other levels"),
        ({"config": {"in_channels": 6}}, "6 channels in and 3 out"),
        ({"config": {"sample_size": None}}, "\\+teacher.architecture.model.img_resolution=256"),
        ({"config": {"block_out_channels": [30, 64, 64]}}, "cannot be split into 32 groups"),
        ({"scheduler": {"beta_schedule": "laplace"}}, "beta_schedule laplace, supported are linear"),
        ({"scheduler": {"trained_betas": [0.1, 0.2]}}, "trained_betas"),
        ({"scheduler": {"rescale_betas_zero_snr": True}}, "rescale_betas_zero_snr"),
        ({"scheduler": {"beta_end": 2}}, "expected 0 < beta < 1"),
        (
            {"scheduler": {"prediction_type": "flow_prediction"}},
            "prediction is 'flow_prediction', expected one of epsilon",
        ),
        ({"index": {"vqvae": ["diffusers", "VQModel"]}}, "pipeline with vqvae.*codes.*pixels"),
    ],
)
def test_other_folders_are_refused_with_what_helps(changes, message, pipeline):
    with pytest.raises(ValueError, match=message) as refusal:
        load(pipeline("ddpm", **changes), "ddpm")
    assert "\n" not in str(refusal.value)


def test_other_schedulers_are_refused_with_their_name(pipeline):
    folder = pipeline("ddpm")
    (folder / "scheduler" / "scheduler_config.json").write_text('{"_class_name": "ScoreSdeVeScheduler"}')
    with pytest.raises(ValueError, match="ScoreSdeVeScheduler, expected .* DDPMScheduler"):
        load(folder, "ddpm")


def test_folders_without_a_network_or_with_two_are_refused_with_what_to_give(pipeline, tmp_path):
    with pytest.raises(ValueError, match="without config.json or unet/config.json"):
        load_teacher(tmp_path)
    folder = pipeline("ddpm")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    (folder / "unet").rename(folder / "unet_ema")
    (folder / "unet").mkdir()
    (folder / "unet" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=f"2 networks: give {folder}/unet_ema or {folder}/unet"):
        load_teacher(folder)
    (folder / "unet_ema" / weights.name).rename(folder / "unet_ema" / "diffusion_pytorch_model.fp16.safetensors")
    with pytest.raises(ValueError, match="but config.json, diffusion_pytorch_model.fp16.safetensors: give the file"):
        load_teacher(folder / "unet_ema")
    named = load_teacher(folder / "unet_ema" / "diffusion_pytorch_model.fp16.safetensors")
    assert named.channels == 3
    (folder / "unet_ema" / "config.json").write_text("[" * 10**5)
    with pytest.raises(ValueError, match="config.json is damaged"):
        load_teacher(folder / "unet_ema")
    (folder / "unet_ema" / "config.json").unlink()
    with pytest.raises(ValueError, match="weights of diffusers without config.json"):
        load_teacher(folder / "unet_ema" / "diffusion_pytorch_model.fp16.safetensors")


def test_the_descriptions_beside_the_weights_are_files_of_a_run(pipeline):
    folder = pipeline("ddpm")
    config = OmegaConf.create({"_target_": "alps_exp.priors.load_teacher", "name": str(folder)})
    files = weight_files("teacher", config)
    assert files == {
        "teacher": folder / "unet" / "diffusion_pytorch_model.safetensors",
        "teacher.config": folder / "unet" / "config.json",
        "teacher.scheduler_config": folder / "scheduler" / "scheduler_config.json",
    }


def test_weights_of_diffusers_are_no_energy(pipeline):
    with pytest.raises(ValueError, match="teacher"):
        load_energy(pipeline("ddpm"))
