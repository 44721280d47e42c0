"""The paper's numbers stand beside runs of its very tasks, and beside no others."""

import csv
import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import OmegaConf

from alps_exp.report.order import sampler_order
from alps_exp.report.paper import published, read_paper

ROOT = Path(__file__).parents[2]
NUMBERS = ROOT / "experiments" / "paper" / "results.csv"
FACES = [f"experiments/{name}/README.md" for name in ("inpainting", "deblurring")]


def beside(*overrides):
    """Return the paper's numbers beside the run that `alps restore` makes of these overrides."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("restore", list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    labels = instantiate(config.labels)
    settings = OmegaConf.to_container(config.operator)
    return published(
        read_paper(NUMBERS), labels.task, labels.operator, settings, config.operator.noise_std, labels.sampler
    )


@pytest.mark.parametrize("readme", FACES)
def test_each_command_for_a_row_gets_the_numbers_of_that_row(readme):
    table, commands = (ROOT / readme).read_text().split("## One command for each row")
    rows = re.findall(r"\| ([\d.]+ ± [\d.]+) \| ([\d.]+ ± [\d.]+) \|$", table, re.M)
    commands = re.findall(r"^ +alps restore (.*)$", commands.split("## Our numbers")[0], re.M)
    assert len(rows) == len(commands) > 0
    for row, command in zip(rows, commands, strict=True):
        found = beside(*command.split())
        texts = [f"{found[f'paper_{name}']:g} ± {found[f'paper_{name}_std']:g}" for name in ("psnr", "ssim")]
        assert texts == [" ± ".join(f"{float(number):g}" for number in cell.split(" ± ")) for cell in row], command


@pytest.mark.parametrize(
    ("command", "psnr"),
    [
        ("operator=gaussian_blur operator.sigma=2", 27.06),
        ("operator=gaussian_blur operator.sigma=1", None),
        ("operator=gaussian_blur operator.sigma=2 operator.noise_std=0.1", None),
        ("operator=inpaint_random", 25.71),
        ("operator=inpaint_random operator.mask.fraction=0.5", None),
        ("operator=inpaint_random operator.mask.fraction=[0.3,0.8]", None),
        ("operator=inpaint_both", None),
        ("operator=motion_blur", 29.49),
        ("operator=motion_blur operator.angle=0", None),
        ("operator=motion_blur operator.length=5", None),
        ("operator=retrospective_2x operator.noise_std=0.02 labels.task=mri_2x_1d", 40.85),
        ("operator=retrospective_8x operator.noise_std=0.02 labels.task=mri_2x_1d", None),
        ("operator=mri_2d_6x labels.task=mri_6x_2d", 39.51),
        ("operator=mri_2d labels.task=mri_6x_2d", None),
        ("experiment=ffhq64_gaussian_blur operator.sigma=1", None),
    ],
)
def test_numbers_are_for_the_published_settings_alone(command, psnr):
    assert beside("sampler=alps", *command.split()).get("paper_psnr") == psnr


def test_every_published_number_states_its_settings():
    with open(NUMBERS) as file:
        assert all(row["settings"] and row["data"] for row in csv.DictReader(file))


def test_settings_that_cannot_be_read_are_refused(tmp_path):
    path = tmp_path / "paper.csv"
    path.write_text(NUMBERS.read_text().replace("sigma=2", "sigma 2", 1))
    with pytest.raises(ValueError, match="sigma 2.*NAME=NUMBER"):
        read_paper(path)


def test_our_own_samplers_come_first_and_published_settings_after_their_sampler():
    names = ["dps_paper", "map", "alps_paper", "daps_paper", "alps_teacher", "dps", "alps", "daps"]
    expected = ["alps", "alps_teacher", "alps_paper", "map", "daps", "daps_paper", "dps", "dps_paper"]
    assert sorted(names, key=sampler_order) == expected
