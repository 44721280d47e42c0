import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alps_exp.runs import Record

CONTRACT = (
    "image_id task operator noise_std sampler seed estimate sample_index num_samples antithetic psnr ssim nmse lpips"
    " spread error spread_noiseless error_noiseless nfe_forward nfe_vjp seconds peak_memory_mib"
    " energy data_misfit truth_misfit truth_residual"
    " prepared_noise_std weight effective_sample_size ancestors log_evidence log_evidence_std volume regions"
    " certificate conformal warnings flags status"
).split()


def record(**changes):
    values = {"seed": 0, "psnr": 0.1 + 0.2, "ssim": 0.5, "nmse": 1e-17, "seconds": 1.5, "nfe_forward": 50}
    return Record("a", "blur", "gaussian_blur", 0.05, "alps", estimate="mmse", **(values | changes))


def test_a_line_has_the_fields_of_the_contract_in_order_and_reads_back_exactly():
    line = record().to_json()
    assert list(json.loads(line)) == CONTRACT
    assert '"psnr": 0.30000000000000004' in line and '"nmse": 1e-17' in line and '"lpips": null' in line
    assert Record.from_json(line) == record()


def test_a_line_of_an_earlier_version_lacks_what_is_new():
    line = json.loads(record().to_json())
    del line["peak_memory_mib"]
    assert Record.from_json(json.dumps(line)) == record()


TEXT = st.text('aé脳"\\\0\n\x85\u2028', max_size=6)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
OTHERS = ("ancestors", "volume", "regions", "certificate", "conformal", "warnings", "flags", "status")
RESULTS = [name for name in CONTRACT[10:] if name not in OTHERS]
SHARE = {
    "name": TEXT,
    "slices": st.integers(1, 9),
    "reference": st.sampled_from(["RSS", "combined coils"]),
    **dict.fromkeys(("pixels", "squared_error", "squared_reference", "ssim"), NUMBERS),
}
BOUNDS = {
    "images": st.integers(0, 9),
    "levels": st.lists(NUMBERS, min_size=2, max_size=2),
    "pixel_share": NUMBERS,
    **dict.fromkeys(("half_width", "error", "psnr", "ssim"), st.lists(st.none() | NUMBERS, min_size=2, max_size=2)),
    "covered": st.none() | st.lists(NUMBERS, min_size=2, max_size=2),
}


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
        antithetic=st.booleans(),
        ancestors=st.none() | st.integers(1, 9),
        volume=st.none() | st.fixed_dictionaries(SHARE),
        regions=st.none() | st.dictionaries(TEXT, st.dictionaries(TEXT, NUMBERS, max_size=2), max_size=2),
        conformal=st.none() | st.fixed_dictionaries(BOUNDS),
        warnings=st.lists(TEXT, max_size=2),
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


ODD = [
    ("task", 7, "task is of type int, expected str"),
    ("task", None, "task is of type NoneType, expected str"),
    ("sampler", ["alps"], "sampler is of type list"),
    ("image_id", True, "image_id is of type bool"),
    ("image_id", "a" * 1001, "image_id has 1,001 characters, expected at most 1,000"),
    ("noise_std", "loud", r"noise_std is of type str, expected float or list\[float\] or null"),
    ("noise_std", [[1], ["a"]], "noise_std is of type list"),
    ("seed", None, "seed is of type NoneType, expected int"),
    ("estimate", ["mmse"], "estimate is of type list"),
    ("num_samples", "8", "num_samples is of type str, expected int"),
    ("num_samples", 10**400, "num_samples must be at most 1,000,000"),
    ("psnr", "good", "psnr is of type str, expected float or null"),
    ("psnr", 10**400, "psnr is of type int, expected float or null"),
    ("psnr", math.nan, "psnr is not a finite number"),
    ("psnr", -math.inf, "psnr is not a finite number"),
    ("regions", {"a": {"mean": math.inf}}, "regions is not a finite number"),
    ("regions", {"a": 7}, "regions is of type dict"),
    ("volume", {}, "volume is of type dict, expected a dictionary of name, slices, reference, pixels, .* or null"),
    ("volume", [[[]]], "volume is of type list"),
    ("flags", [["a"]], r"flags is of type list, expected list\[str\]"),
    ("warnings", 7, "warnings is of type int"),
    ("status", 7, "status is of type int"),
    ("hunter2", 1, "it has a field that no record of this version has"),
]


@pytest.mark.parametrize(("name", "value", "message"), ODD)
def test_a_value_of_another_type_is_named(name, value, message):
    line = json.dumps(json.loads(record().to_json()) | {name: value})
    with pytest.raises(ValueError, match=f"^not a record: {message}"):
        Record.from_json(line)


@pytest.mark.parametrize(
    "line", ["hunter2", '"hunter2"', '{"hunter2": 1}', "[" * 100_000, "9" * 5000, '{"psnr": 1e400}']
)
def test_a_line_that_is_no_record_is_not_quoted(line):
    """It may be of another file, to which `records.jsonl` is a link."""
    with pytest.raises(ValueError, match="^not a record: ") as refused:
        Record.from_json(line)
    assert "hunter2" not in str(refused.value) and len(str(refused.value)) < 200


def test_a_volume_that_a_slice_belongs_to_has_its_fields():
    share = {"name": "a", "slices": 2, "reference": "RSS", "pixels": 4, "squared_error": 1.0, "squared_reference": 2.0}
    assert record(volume=share | {"ssim": 0.5}).volume["slices"] == 2
    for wrong in (share, share | {"ssim": 0.5, "more": 1}, share | {"ssim": 0.5, "reference": "x"}):
        with pytest.raises(TypeError, match="volume"):
            record(volume=wrong)


def test_the_reason_of_a_failure_is_not_too_long_and_can_be_printed():
    status = record().failed("a\x1b[2J" + "b" * 10_000).status
    assert status.startswith("a\N{REPLACEMENT CHARACTER}[2Jbb") and status.endswith("b\N{HORIZONTAL ELLIPSIS}")
    assert len(status) == 500
