"""What a run reports to a sweeper: means in closed form, and none where there is none."""

import math

import pytest

from alps_exp.runs import Record, RunFolder
from alps_exp.runs.objective import VALIDATION, direction_of, means_of, objective_value, save_validation


def record(image_id, estimate="mmse", **numbers):
    return Record(image_id, "task", "operator", 0.1, "alps", 0, estimate, **numbers)


RECORDS = [
    record("a", psnr=20.0, spread=3.0, error=1.0, seconds=1.0, nfe_forward=10.0, peak_memory_mib=5.0, flags=["misfit"]),
    record("a", "sample", psnr=10.0, seconds=1.0, nfe_forward=10.0),
    record("a", "sample", psnr=14.0, seconds=1.0, nfe_forward=10.0),
    record("b", psnr=26.0, spread=4.0, error=2.0, seconds=2.0, nfe_forward=10.0, peak_memory_mib=7.0),
    record("c", seconds=6.0, nfe_forward=10.0),  # without a truth
]


def test_means_are_over_the_images_and_spread_over_error_is_of_sums_of_squares():
    means = means_of(RECORDS)
    assert means["mmse/psnr"] == 23 and means["sample/psnr"] == 12
    assert means["mmse/flagged"] == pytest.approx(1 / 3) and means["sample/flagged"] == 0
    assert means["mmse/spread_error"] == pytest.approx(math.sqrt(25 / 5))
    assert means["mmse/miscalibration"] == pytest.approx(math.log(5) / 2)
    assert (means["seconds"], means["nfe_forward"], means["peak_memory_mib"]) == (3, 10, 7)
    assert not {"mmse/ssim", "sample/spread_error", "map/psnr", "nfe_vjp"} & means.keys()


def test_a_spread_too_small_is_as_miscalibrated_as_one_too_large():
    few, many = (means_of([record("a", spread=spread, error=1.0)]) for spread in (0.25, 4.0))
    assert few["mmse/miscalibration"] == pytest.approx(many["mmse/miscalibration"])
    assert means_of([record("a", spread=1.0, error=1.0)])["mmse/miscalibration"] == 0
    assert "mmse/miscalibration" not in means_of([record("a", spread=0.0, error=1.0)])


def test_a_failed_image_is_in_no_mean_and_leaves_the_run_without_an_objective(tmp_path):
    run = RunFolder(tmp_path)
    records = [*RECORDS, record("d", psnr=0.0).failed("lost")]
    assert means_of(records)["mmse/psnr"] == 23
    for lines, fits in ((RECORDS, True), (records, False)):
        (tmp_path / "records.jsonl").write_text("".join(f"{line.to_json()}\n" for line in lines))
        if fits:
            assert objective_value(run, "mmse/psnr") == 23
        else:
            with pytest.raises(ValueError, match=r"images failed \(d\)"):
                objective_value(run, "mmse/psnr")
    (tmp_path / "records.jsonl").write_text(f"{RECORDS[-1].to_json()}\n")
    with pytest.raises(ValueError, match="no mmse/psnr, only mmse/flagged"):
        objective_value(run, "mmse/psnr")


@pytest.mark.parametrize("damage", ["[]", "{", '{"validation/gap": "x"}', '{"validation/gap": NaN}'])
def test_the_validation_of_a_training_comes_back_exactly_and_damage_is_no_number(tmp_path, damage):
    run = RunFolder(tmp_path)
    with pytest.raises(ValueError, match="no validation/gap, only none"):
        objective_value(run, "validation/gap")
    save_validation(run, {"gap": 0.1 + 0.2})
    assert objective_value(run, "validation/gap") == 0.1 + 0.2
    (tmp_path / VALIDATION).write_text(damage)
    with pytest.raises(ValueError, match="validation"):
        objective_value(run, "validation/gap")


def test_only_psnr_and_ssim_are_maximized():
    names = ["mmse/psnr", "sample/ssim", "mmse/nmse", "map/flagged", "mmse/miscalibration", "validation/gap"]
    assert [direction_of(name) for name in names] == ["maximize"] * 2 + ["minimize"] * 4
