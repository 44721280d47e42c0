"""`alps bench`: writes what it measured, compares it, and refuses what it cannot do."""

import json

import pytest

from alps_exp.benchmarks.comparison import save
from alps_exp.benchmarks.timing import Row


def test_the_command_writes_what_it_measured_and_compares_it(alps, tmp_path):
    request = ["bench", "parts=[loading]", "repeats=2", f"output={tmp_path}"]
    status, out, err = alps(*request)
    assert status == 0, err
    assert "images/s" in out and "images/s" in (tmp_path / "bench.md").read_text()
    found = json.loads((tmp_path / "bench.json").read_text())
    (measured,) = found["rows"]
    assert measured["value"] > 1 and measured["low"] <= measured["value"] <= measured["high"]
    fast = tmp_path / "fast.json"
    save(fast, found["machine"], [Row(**{**measured, "value": 1e9, "low": 1e9, "high": 1e9})])
    status, out, err = alps(*request, f"baseline={fast}")
    assert status == 1 and "slower than the baseline" in out
    save(fast, found["machine"] | {"cores": 0}, [Row(**{**measured, "value": 1e-9, "low": 1e-9, "high": 1e-9})])
    status, out, err = alps(*request, f"baseline={fast}")
    assert status == 0 and "of another machine" in out and "nothing became slower" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["parts=[stepps]"], "there is no part 'stepps' of the benchmark: did you mean steps?"),
        (["repeats=0"], "repeats"),
        (["baseline=nowhere.json"], "nowhere.json is no file of `alps bench`"),
    ],
)
def test_wrong_requests_are_refused(alps, tmp_path, words, message):
    status, _, err = alps("bench", f"output={tmp_path / 'new'}", *words)
    assert status == 2 and message in err
    assert not (tmp_path / "new").exists()
