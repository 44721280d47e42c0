import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alps_exp.runs import Record

CONTRACT = (
    "image_id task operator noise_std sampler seed estimate sample_index num_samples psnr ssim nmse lpips"
    " spread error nfe_forward nfe_vjp seconds energy data_misfit truth_misfit truth_residual"
    " prepared_noise_std volume regions warnings flags status"
).split()


def record(**changes):
    values = {"seed": 0, "psnr": 0.1 + 0.2, "ssim": 0.5, "nmse": 1e-17, "seconds": 1.5, "nfe_forward": 50}
    return Record("a", "blur", "gaussian_blur", 0.05, "alps", estimate="mmse", **(values | changes))


def test_a_line_has_the_fields_of_the_contract_in_order_and_reads_back_exactly():
    line = record().to_json()
    assert list(json.loads(line)) == CONTRACT
    assert '"psnr": 0.30000000000000004' in line and '"nmse": 1e-17' in line and '"lpips": null' in line
    assert Record.from_json(line) == record()


TEXT = st.text('aé脳"\\\0\n\x85\u2028', max_size=6)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
RESULTS = [name for name in CONTRACT[9:] if name not in ("flags", "status")]


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.builds(
        Record,
        image_id=TEXT,
        task=TEXT,
        operator=TEXT,
        noise_std=st.none() | NUMBERS | st.lists(NUMBERS, max_size=3),
        sampler=TEXT,
        seed=st.integers(),
        estimate=st.sampled_from(["sample", "mmse", "map", "point"]),
        sample_index=st.none() | st.integers(0, 9),
        num_samples=st.integers(1, 9),
        flags=st.lists(TEXT, max_size=2),
        status=TEXT,
        **dict.fromkeys(RESULTS, st.none() | NUMBERS),
    )
)
def test_every_record_of_finite_numbers_is_one_line_that_reads_back(written):
    line = written.to_json()
    assert len(line.splitlines()) == 1
    assert Record.from_json(line) == written and written.checked() is written


def test_numbers_of_numpy_and_torch_become_plain_ones():
    line = record(psnr=torch.tensor(20.5), seed=np.int64(3), ssim=np.float32(0.5)).to_json()
    assert '"psnr": 20.5' in line and '"seed": 3,' in line
    assert Record.from_json(line).ssim == 0.5


@pytest.mark.parametrize("name", ["psnr", "ssim", "nmse", "spread", "error", "energy", "data_misfit"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_a_failure_with_a_reason(name, value):
    bad = record(**{name: torch.tensor(value)})
    with pytest.raises(ValueError):
        bad.to_json()
    checked = bad.checked()
    assert checked.status == f"{name} is {value}"
    results = [checked.psnr, checked.ssim, checked.nmse, checked.spread, checked.error, checked.energy]
    assert results == [None] * 6
    assert (checked.seconds, checked.nfe_forward) == (1.5, 50)


def test_a_good_record_is_left_alone():
    good = record()
    assert good.checked() is good


def test_the_reason_of_a_failure_is_one_line():
    assert record().failed("CUDA out of\n  memory").status == "CUDA out of memory"
    assert record().failed(" \n").status == "unknown reason"


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="'mean'.*sample, mmse, map, point"):
        Record("a", "blur", "gaussian_blur", 0.05, "alps", 0, "mean")
    for line in ("{", "[]", '{"image_id": "a"}', '{"image": 1}'):
        with pytest.raises(ValueError, match="not a record"):
            Record.from_json(line)
