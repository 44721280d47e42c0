"""Damaged photographs, which are measurements: repaired without a PSNR, by the operator that keeps to their masks."""

import numpy as np
import pytest
from PIL import Image

from alps_exp.runs import RunFolder

GAUSSIAN = [f"{kind}{rest}" for kind in ("energy", "teacher") for rest in ("=gaussian", ".channels=3")]
SMALL = ["data=folder", "data.test.size=16", "data.test.measured=true", *GAUSSIAN, "logger=none", "figures=false"]
SMALL += ["num_samples=2", "sampler.schedule.steps=2"]


@pytest.fixture
def photograph(tmp_path):
    """Write a picture of 16 x 16 with a transparent corner; return its path and pixels."""
    pixels = np.random.default_rng(0).integers(90, 160, (16, 16, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    pixels[:5, :6, 3] = 0
    Image.fromarray(pixels, "RGBA").save(tmp_path / "photo.png")
    return tmp_path / "photo.png", pixels


def test_a_damaged_photograph_is_repaired(alps, photograph, tmp_path):
    path, pixels = photograph
    request = ["restore", *SMALL, f"data.test.path={path}", "operator=inpaint_measured", f"output_root={tmp_path}"]
    status, out, err = alps(*request)
    assert status == 0 and "psnr" not in out, out + err
    (records,) = tmp_path.rglob("records.jsonl")
    result = RunFolder(records.parent).load_result("photo")
    there = pixels[..., 3] == 255
    seen = pixels[..., :3].transpose(2, 0, 1) / 127.5 - 1
    np.testing.assert_allclose(result.measurement[:, there], seen[:, there], atol=1e-6)  # no noise is added
    assert not result.measurement[:, ~there].any() and result.truth is None
    assert np.abs(result.estimates["mmse"] - seen)[:, there].max() < 0.1


@pytest.mark.parametrize("operator", ["inpaint_random", "gaussian_blur", "denoise"])
def test_an_operator_that_takes_missing_pixels_for_measured_is_refused(alps, photograph, tmp_path, operator):
    request = ["restore", *SMALL, f"data.test.path={photograph[0]}", f"operator={operator}"]
    status, _, err = alps(*request, f"output_root={tmp_path}")
    assert status == 2 and "choose operator=inpaint_measured" in err and not list(tmp_path.rglob("photo.h5"))
