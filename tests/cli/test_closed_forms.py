"""Restorations that need no training: closed-form priors, compositions and joint measurements from the command line."""

import json
import re

import pytest

from alps_exp.runs import RunFolder

SMALL = ["data=prior", "data.test.count=2", "num_samples=2", "logger=none", "figures=false"]
SHORT = "sampler.schedule.steps=3"
GAUSSIAN = ["energy=gaussian", "teacher=gaussian"]
MIXTURE = ["energy=mixture", "teacher=mixture"]
COMPLEX = [*MIXTURE, "energy.complex_valued=true", "teacher.complex_valued=true"]
COMPOSED = ["energy=composed", "teacher=mixture", "data.test.prior=${teacher}"]
REQUESTS = {
    "mixture": [*MIXTURE, "operator=inpaint_random", SHORT],
    "gaussian": [*GAUSSIAN, "operator=gaussian_blur", "sampler=daps", "sampler.schedule.scales=3"],
    "mri": [*COMPLEX, "operator=mri_4x", SHORT],
    "joint": [*MIXTURE, "operator=joint", SHORT],
    "composed": [*COMPOSED, "operator=inpaint_random", "sampler.annealing=static", SHORT],
}


@pytest.mark.parametrize("request_name", REQUESTS)
def test_restored_without_a_file(alps, tmp_path, request_name):
    status, out, err = alps("restore", *SMALL, *REQUESTS[request_name], f"output_root={tmp_path}")
    assert status == 0, out + err
    (records,) = tmp_path.rglob("records.jsonl")
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    assert len(lines) == 6 and all(line["status"] == "ok" for line in lines)
    (start,) = RunFolder(records.parent).starts()
    assert start.checkpoints == {} and start.data is not None


def test_the_files_of_a_composition_are_recorded(alps, models, tmp_path):
    path = next(name for name in models if name.startswith("energy.name=")).removeprefix("energy.name=")
    part = f"{{_target_:alps_exp.priors.load_energy,name:{path}}}"
    composition = ["energy=composed", f"energy.energies=[{part},{part}]", "energy.weights=[0.5,0.5]"]
    faces = ["teacher=gaussian", "teacher.channels=3", "data.test.prior=${teacher}"]
    status, out, err = alps("restore", *SMALL, *composition, *faces, SHORT, f"output_root={tmp_path}")
    assert status == 0, out + err
    (records,) = tmp_path.rglob("records.jsonl")
    (start,) = RunFolder(records.parent).starts()
    assert sorted(start.checkpoints) == ["energy.energies.0", "energy.energies.1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["energy=faces64", "teacher=mixture"], "prior that can draw"),
        ([*MIXTURE, "energy.wieght=0.5"], r"energy.wieght.*energy.weight\b"),
        ([*MIXTURE, "energy.complex_valued=1"], "complex_valued.* 1.*true.*false"),
        ([*COMPOSED, "energy.weights=[1.0]"], r"positive weight.* 2 energies.*\[1.0\]"),
        ([*MIXTURE, "operator=joint", "operator.operators=[]"], "one operator"),
    ],
)
def test_wrong_requests_get_one_line(alps, tmp_path, arguments, message):
    status, _, err = alps("restore", *SMALL, *arguments, f"output_root={tmp_path}")
    assert status == 2
    assert re.search(message, err) and "Traceback" not in err
