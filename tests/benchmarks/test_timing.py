"""The benchmark: what it measures is right, and what became slower is named."""

import pytest
import torch
from benchmark_cases import SmoothEnergy

from alps_exp.benchmarks import timing
from alps_exp.benchmarks.comparison import load, save, slower_rows, to_markdown
from alps_exp.benchmarks.problems import TimedPrior
from alps_exp.benchmarks.timing import Row, interleaved, row

CPU = torch.device("cpu")


def one(value, low=None, high=None, unit="s", name="a"):
    return Row("part", name, value, low or value, high or value, unit)


@pytest.mark.parametrize(
    ("before", "after", "is_slower"),
    [
        (one(1.0), one(1.14), False),
        (one(1.0), one(1.16), True),
        (one(1.0, 0.8, 1.3), one(1.2, 1.1, 1.4), False),  # the quartiles overlap
        (one(0.1), one(0.15), False),  # 0.05 s are noise
        (one(1.0, unit="ms"), one(1.16, unit="ms"), False),
        (one(10.0, unit="ms"), one(11.6, unit="ms"), True),
        (one(100.0, unit="images/s"), one(80.0, unit="images/s"), True),
        (one(100.0, unit="images/s"), one(120.0, unit="images/s"), False),
        (one(98.0, unit="% of the network"), one(80.0, unit="% of the network"), True),
        (one(1.0), one(9.0, name="b"), False),
        (one(1.0), one(9.0, unit="ms"), False),
    ],
)
def test_what_became_worse_by_more_than_fifteen_per_cent_is_named(before, after, is_slower):
    assert bool(slower_rows([before], [after])) == is_slower


def test_a_row_has_the_median_and_the_quartiles():
    assert row("part", "a", [5.0, 1.0, 3.0, 2.0, 4.0], "s") == Row("part", "a", 3.0, 2.0, 4.0, "s")
    assert row("part", "a", [7.0], "s") == one(7.0)


def test_turns_are_interleaved_and_the_first_is_not_counted(monkeypatch):
    clock, calls = iter(range(1000)), []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    times = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3, CPU)
    assert calls == ["a", "b"] * 4
    assert times == {"a": [1, 1, 1], "b": [1, 1, 1]}


def test_rows_are_what_was_saved(tmp_path):
    rows = [one(1.0, 0.5, 2.0), one(3.0, unit="dB")]
    save(tmp_path / "bench.json", {"cores": 2}, rows)
    assert load(tmp_path / "bench.json") == ({"cores": 2}, rows)
    assert "| part | a | 1 | 0.5 to 2 | s |" in to_markdown(rows)


def test_a_timed_prior_is_the_prior_and_counts_its_seconds(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr("alps_exp.benchmarks.timing.time.perf_counter", lambda: next(clock))
    energy = SmoothEnergy()
    timed, x = TimedPrior(energy, CPU), torch.randn(2, 1, 4, 4)
    assert torch.equal(timed.energy_and_gradient(x, 0.5)[1], energy.energy_and_gradient(x, 0.5)[1])
    assert torch.equal(timed.denoise(x, 0.5), energy.denoise(x, 0.5))
    assert timed.spent == 2
