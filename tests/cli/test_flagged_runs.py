"""Flags of real runs: MAP that did not converge, MAP whose prior overrules the data, and those that are right.

The images are 150 times the prior's where it says `FAR`: then no image explains them and the prior's law.
"""

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from alps_exp.checkpoints.model_card import write_card
from alps_exp.operators import Inpainting
from alps_exp.priors import smooth_gaussian
from alps_exp.restoration import Labels, Restoration, RestorationSettings
from alps_exp.runs import RunFolder
from alps_exp.samplers import Sampler

SMALL = [
    "data=prior",
    "data.test.count=2",
    "energy=gaussian",
    "teacher=gaussian",
    "logger=none",
    "figures=false",
    "num_samples=4",
]
FAR = ["data.test.prior=${teacher}", "teacher.std=30", "operator.noise_std=0.5"]
HURRIED = ["sampler.max_iterations=0"]
PATIENT = ["sampler.max_iterations=60"]


@pytest.fixture
def restore(alps, tmp_path):
    """Return what restores by a request, and gives the flags of every record and the rows of the table."""

    def run(*arguments):
        status, out, err = alps("restore", *SMALL, *arguments, f"output_root={tmp_path / 'out'}")
        assert status == 0, out + err
        (records,) = tmp_path.rglob("records.jsonl")
        lines = [json.loads(line) for line in records.read_text().splitlines()]
        assert all(line["status"] == "ok" for line in lines)
        status, out, err = alps("table", f"runs={tmp_path / 'out'}", f"output={tmp_path / 'table'}", "figures=false")
        assert status == 0, out + err
        return lines, pd.read_csv(tmp_path / "table" / "table.csv")

    return run


@pytest.mark.parametrize(
    ("arguments", "flags"),
    [
        ([], []),
        (HURRIED, ["convergence"]),
        ([*FAR, *PATIENT], ["misfit", "energy"]),
        ([*FAR, *HURRIED, "sampler.schedule.steps=2"], ["misfit", "energy", "convergence"]),
    ],
)
def test_map_says_what_is_wrong_with_it(restore, arguments, flags):
    lines, table = restore("operator=gaussian_blur", "sampler=map", *arguments)
    assert [line["flags"] for line in lines] == [flags] * 2
    assert (lines[0]["data_misfit"] > 1.2 * 256 / 2) == ("misfit" in flags)
    assert list(table["flagged"]) == [2 if flags else 0]
    told = f"2 of 2 estimates flagged ({', '.join(sorted(flags))})" if flags else "ok"
    start = "2 of 2: sigma_max 5 is below 3 standard deviations of the image; " if "teacher.std=30" in arguments else ""
    assert list(table["status"]) == [start + told]


@pytest.mark.parametrize(
    ("scale", "told"),
    [
        (0.01, "sigma_min 0.03 is above an eighth of the image's peak"),
        (1, None),
        (100, "sigma_max 2.5 is below 3 standard deviations of the image"),
    ],
)
def test_images_of_a_scale_that_the_schedule_was_not_made_for(restore, scale, told):
    prior = [
        f"{kind}.{name}={value * scale}"
        for kind in ("energy", "teacher")
        for name, value in (("std", 0.3), ("floor", 0.05))
    ]
    lines, table = restore("operator=inpaint_random", *prior, f"operator.noise_std={0.005 * scale}", "figures=false")
    assert [line["warnings"] for line in lines if line["estimate"] == "mmse"] == [[told] if told else []] * 2
    assert not any(line["warnings"] for line in lines if line["estimate"] == "sample")
    assert table.set_index("estimate")["status"]["mmse"].startswith(f"2 of 2: {told}" if told else "ok")


def test_images_of_another_size_than_the_model_was_made_for(alps, models, tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
    request = ["restore", *models, "data=folder", f"data.test.path={tmp_path / 'images'}", "num_samples=2"]
    request += ["operator=inpaint_random", "sampler.schedule.steps=2", "logger=none", "trainer.accelerator=cpu"]
    for size, warned in ((32, True), (16, False), (32, False)):
        if (size, warned) == (32, False):  # the card of weights that were trained on says another size than the network
            write_card(tmp_path / "small-energy.md", "small", {"resolution": "32 x 32, 3 channels"})
            request += ["seed=1"]
        status, _, err = alps(*request, f"data.test.size={size}", f"output_root={tmp_path / 'out'}")
        assert status == 0, err
        assert ("warning: 2 of 2 images: images of 32 x 32 pixels, a model of 16 x 16" in err) == warned


def test_posterior_means_and_classical_estimates_that_are_right_are_not_flagged(restore):
    lines, table = restore("operator=inpaint_random", "sampler=alps", "data.test.count=4")
    assert len(lines) == 20 and not any(line["flags"] for line in lines)
    assert list(table["status"]) == ["ok", "ok"]


@pytest.mark.parametrize(
    ("operator", "flagged"), [("inpaint_random", 0), ("gaussian_blur", 2)], ids=["fits by zeros", "is blurred twice"]
)
def test_the_adjoint_is_flagged_where_it_does_not_explain_the_data(restore, operator, flagged):
    _, table = restore(f"operator={operator}", "sampler=zero_filled", "operator.noise_std=0.01")
    assert list(table["flagged"]) == [flagged]


class Halting(Sampler):
    """Gives the mean of the prior, and says that the second chain of the first image did not converge."""

    def chain(self, problem):
        x = torch.zeros(problem.noise.num_samples, *problem.y.shape)
        converged = torch.ones(x.shape[:2])
        converged[1, 0] = 0
        yield problem.state(x, 1.0, diagnostics={"converged": converged})


def test_a_mean_has_not_converged_if_one_of_its_samples_has_not(tmp_path):
    operator = partial(Inpainting, mask=torch.ones(1, 1, 16, 16), noise_std=1e3)
    settings = RestorationSettings(Labels("task", "inpainting", "halting"), num_samples=3, seed=0)
    sampler = Halting(lambda: [1.0], "energy", None)
    module = Restoration(smooth_gaussian(), operator, sampler, RunFolder(tmp_path), settings)
    results = module.restore({"image": torch.randn(2, 1, 16, 16), "image_id": ["a", "b"]})
    stopped = [["convergence" in record.flags for record in result.records] for result in results]
    assert stopped == [[True, False, True, False], [False] * 4]
