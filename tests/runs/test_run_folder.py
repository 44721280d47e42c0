import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from omegaconf import OmegaConf

from alps_exp.files import write_atomically
from alps_exp.runs import (
    DamagedFile,
    ImageResult,
    Record,
    RunFolder,
    collect_provenance,
    read_records,
    read_result,
    write_result,
)


def result(image_id, status="ok", size=8, **changes):
    record = Record(image_id, "blur", "gaussian_blur", 0.05, "alps", 0, "mmse", psnr=20.0)
    image = np.linspace(-1, 1, 3 * size * size).reshape(3, size, size)
    records = [record if status == "ok" else record.failed(status)]
    return ImageResult(records, truth=image, measurement=image / 2, estimates={"mmse": image}, **changes)


def provenance(tmp_path, weights=b"weights", data="d" * 64, num_images=None):
    checkpoint = tmp_path / "energy.safetensors"
    checkpoint.write_bytes(weights)
    return collect_provenance(
        seeds={"seed": 0},
        device="cpu",
        checkpoints={"energy": checkpoint},
        data_hash=data,
        num_images=num_images,
    )


def next_line(process):
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "run")


# files


def test_results_read_back(tmp_path):
    image = np.arange(9, dtype=complex).reshape(1, 3, 3) * (1 + 2j)
    numbers = {"of_chains": np.array([[1.0, 2.0], [3.0, 4.0]]), "of_image": np.array(0.5), "none": np.zeros((2, 0))}
    written = result("a", std=np.ones((1, 3, 3)), samples=np.stack([image, image]), adjoint=image, diagnostics=numbers)
    write_result(tmp_path / "a.h5", written)
    read = read_result(tmp_path / "a.h5")
    assert read.records == written.records
    assert np.asarray(read.samples).dtype == np.complex64
    assert np.asarray(read.truth).dtype == np.float32
    np.testing.assert_array_equal(read.samples, written.samples)
    np.testing.assert_array_equal(read.adjoint, image)
    np.testing.assert_allclose(read.estimates["mmse"], written.estimates["mmse"], rtol=1e-7)
    assert {name: array.tolist() for name, array in read.diagnostics.items()} == {
        name: array.tolist() for name, array in numbers.items()
    }
    assert read.record("mmse") == written.records[0]
    with pytest.raises(ValueError, match="'map'"):
        read.record("map")


FINITE = {"allow_nan": False, "allow_infinity": False}


def of_shape(shape):
    """Return a strategy of real and complex arrays of a shape, or of one that a strategy yields."""
    return st.one_of(*(arrays.arrays(kind, shape, elements=FINITE) for kind in (np.float32, np.complex64)))


IMAGE = of_shape((2, 3, 1))
ANY = of_shape(arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
WHOLE = {"truth": IMAGE, "measurement": ANY, "adjoint": IMAGE, "std": IMAGE, "samples": of_shape((3, 2, 3, 1))}
IDS = st.text("a/é脳\0\n\u2028", max_size=4)
RECORDS = st.builds(
    Record,
    image_id=IDS,
    task=IDS,
    operator=IDS,
    noise_std=st.none() | st.lists(st.floats(**FINITE), max_size=2),
    sampler=IDS,
    seed=st.integers(),
    estimate=st.sampled_from(["sample", "mmse"]),
    psnr=st.none() | st.floats(**FINITE),
)


@settings(deadline=None, max_examples=25, derandomize=True)
@given(
    st.lists(RECORDS, min_size=1, max_size=3),
    st.fixed_dictionaries({name: st.none() | array for name, array in WHOLE.items()}),
    st.fixed_dictionaries({"sample": IMAGE, "mmse": IMAGE}),
    st.dictionaries(st.sampled_from(["converged", "steps"]), ANY),
)
def test_every_result_reads_back_exactly(tmp_path_factory, records, whole, estimates, diagnostics):
    run, image_id = RunFolder(tmp_path_factory.mktemp("run")), records[0].image_id
    estimates = {record.estimate: estimates[record.estimate] for record in records}
    run.save_result(image_id, ImageResult(records, **whole, estimates=estimates, diagnostics=diagnostics))
    read = run.load_result(image_id)
    assert read.records == records
    for found, expected in (
        ({name: getattr(read, name) for name in whole}, whole),
        (read.estimates, estimates),
        (read.diagnostics, diagnostics),
    ):
        assert found.keys() == expected.keys()
        for name, array in expected.items():
            assert np.array_equal(found[name], array) and np.asarray(found[name]).dtype == np.asarray(array).dtype


def test_the_same_result_gives_the_same_bytes_and_many_records_fit(tmp_path):
    many = [Record("a", "blur", "blur", 0.05, "alps", 0, "sample", i, 500) for i in range(500)]
    for name in ("a.h5", "b.h5"):
        write_result(tmp_path / name, ImageResult(many))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert read_records(tmp_path / "a.h5") == many


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


# what counts as finished


def test_only_whole_images_that_went_well_are_finished(run):
    run.save_result("good", result("good"))
    run.save_result("failed", result("failed", status="out of memory"))
    run.save_result("nan", result("nan"))
    bad = result("nan")
    bad.records[0].psnr = float("nan")
    run.save_result("nan", bad)
    assert run.unfinished(["missing", "good", "failed", "nan"]) == ["missing", "failed", "nan"]
    assert run.load_result("nan").records[0].status == "psnr is nan"


def test_truncated_and_damaged_files_are_found_and_warned_about(run, caplog):
    run.save_result("a", result("a", size=32))
    path = run.image_path("a")
    whole = path.read_bytes()
    middle = whole.index(np.float32(-1).tobytes() + result("a", size=32).truth.astype("f4").tobytes()[4:64])
    flipped = whole[: middle + 40] + bytes([whole[middle + 40] ^ 1]) + whole[middle + 41 :]
    for damaged in (b"", b"garbage" * 100, whole[:100], whole[: len(whole) // 2], whole[:-1], flipped):
        path.write_bytes(damaged)
        caplog.clear()
        assert not run.finished("a")
        assert "a.h5 is damaged" in caplog.text and "restored again" in caplog.text
        with pytest.raises(DamagedFile):
            run.load_result("a")
    path.write_bytes(whole)
    assert run.finished("a")


def test_image_ids_that_no_file_could_be_named_after(run):
    long = ["人脸" * 14, "人脸" * 100, "人脸" * 100 + "b", "a" * 300, "/" * 120, "é" * 300]
    ids = ["a/b", "a%2Fb", "..", "file.h5:3", "with space", "ü", "a\x00b", "\u202eb", *long]
    for image_id in ids:
        run.save_result(image_id, result(image_id))
    assert run.unfinished(ids) == []
    assert len(list((run.path / "images").iterdir())) == len(ids)
    assert run.image_path("plain_001").name == "plain_001.h5"
    assert run.image_path(long[0]).name == f"{long[0]}.h5" and run.image_path("a#b").name == "a%23b.h5"
    assert [run.load_result(image_id).records[0].image_id for image_id in ids] == ids
    with pytest.raises(ValueError, match="'a'.*more than once"):
        run.unfinished(["a", "b", "a"])


WRITERS = """
import os, sys
import numpy as np
from alps_exp.runs import ImageResult, Record, RunFolder

def write_for_ever():
    run, rng = RunFolder(sys.argv[1]), np.random.default_rng()
    while True:
        image_id = str(rng.integers(6))
        record = Record(image_id, "blur", "blur", 0.05, "alps", 0, "mmse", psnr=20.0)
        image = np.full((3, 256, int(rng.integers(100, 1000))), 7.0)
        run.save_result(image_id, ImageResult([record], truth=image, estimates={"mmse": image}))

for line in sys.stdin:
    pid = os.fork() or write_for_ever()
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("gone", flush=True)
"""


def test_kill_9_at_any_moment_leaves_no_torn_file_that_is_taken_for_finished(run, caplog):
    """Kill ten writers, each at a random moment; they are forks of one process, which spares nine imports."""
    rng = np.random.default_rng(0)
    images = run.path / "images"
    command = [sys.executable, "-c", WRITERS, run.path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writers:
        for _ in range(10):
            print("write", file=writers.stdin, flush=True)
            pid = int(next_line(writers))
            while not list(images.glob("*.h5")):  # of the first writer, on a busy machine
                time.sleep(0.01)
            time.sleep(rng.uniform(0.05, 0.3))
            os.kill(pid, signal.SIGKILL)
            assert next_line(writers) == "gone\n"
            for path in images.glob("*.h5"):
                assert run.finished(path.stem)
                assert (run.load_result(path.stem).truth == 7).all()
        writers.communicate()
    assert not caplog.text
    assert run.merge_records(sorted(path.stem for path in images.glob("*.h5")))
    assert not list(images.glob(".*"))


# records


def test_records_are_merged_in_the_order_of_the_dataset_whatever_the_order_of_work(run):
    ids = ["c", "a", "b"]
    for image_id in sorted(ids):
        run.save_result(image_id, result(image_id))
    merged = run.merge_records(ids)
    assert [record.image_id for record in merged] == ids
    before = (run.path / "records.jsonl").read_bytes()
    assert run.records() == merged
    run.save_result("a", result("a"))
    run.merge_records(ids)
    assert (run.path / "records.jsonl").read_bytes() == before
    with pytest.raises(FileNotFoundError):
        run.merge_records([*ids, "missing"])


def test_records_before_the_merge_are_those_of_the_whole_files(run, caplog):
    run.save_result("a", result("a"))
    run.save_result("b", result("b"))
    run.image_path("b").write_bytes(b"garbage")
    assert [record.image_id for record in run.records()] == ["a"]
    assert "b.h5 is damaged" in caplog.text


def test_a_line_that_is_no_record_is_named(run):
    write_atomically(run.path / "records.jsonl", f"{result('a').records[0].to_json()}\n{{\n".encode())
    with pytest.raises(ValueError, match="records.jsonl, line 2"):
        run.records()


# lock

HOLDER = """
import sys
from alps_exp.runs import RunFolder
with RunFolder(sys.argv[1]).lock():
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_is_gone_even_if_killed(run):
    command = [sys.executable, "-c", HOLDER, run.path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert next_line(holder) == "locked\n"
        with pytest.raises(ValueError, match=rf"run.* {holder.pid} on ") as caught:
            with run.lock():
                pass
        assert "\n" not in str(caught.value)
        holder.kill()
    with run.lock():
        assert f"process {os.getpid()} on" in (run.path / ".lock").read_text()


# resume


def test_the_first_start_has_nothing_to_compare_with(run, tmp_path):
    assert run.check_resume(provenance(tmp_path)) == []


def test_every_start_is_kept_and_the_last_one_ends(run, tmp_path):
    run.begin(provenance(tmp_path, num_images=3))
    run.begin(provenance(tmp_path, num_images=3))
    assert not run.is_done() and run.images_asked() == 3
    run.mark_done()
    assert run.is_done()
    entries = json.loads((run.path / "provenance.json").read_text())["runs"]
    assert [entry["end"] is None for entry in entries] == [True, False]
    assert entries[1]["changes"] == []
    run.begin(provenance(tmp_path))
    assert not run.is_done() and len(run.starts()) == 3


def test_other_inputs_are_refused_with_what_differs(run, tmp_path):
    run.begin(provenance(tmp_path))
    run.mark_done()
    other = provenance(tmp_path, b"other", "e" * 64)
    with pytest.raises(ValueError, match="/run .*resume_anyway=true") as refused:
        run.begin(other)
    for what, before, now in (("energy", "9a129038d9a0", "d9298a10d1b0"), ("data", "d" * 12, "e" * 12)):
        assert re.search(f"{what}[^;]*{before}[^;]*{now}", str(refused.value))
    assert run.is_done() and len(run.starts()) == 1


def test_other_inputs_are_recorded_where_the_user_insists(run, tmp_path, caplog):
    run.begin(provenance(tmp_path))
    run.begin(provenance(tmp_path, data="e" * 64), resume_anyway=True)
    assert run.starts()[-1].changes == ["data dddddddddddd before, eeeeeeeeeeee now"]
    assert "resumed with a difference: data" in caplog.text


def test_other_code_is_warned_about_and_recorded(run, tmp_path, caplog):
    run.begin(provenance(tmp_path))
    newer = provenance(tmp_path)
    newer.code = {"version": "1", "commit": "f" * 40, "diff": ""}
    run.begin(newer)
    change = run.starts()[-1].changes[0]
    assert change.startswith("code ") and change.endswith(" ffffffffffff now")
    assert change in caplog.text


def test_a_provenance_file_that_is_none_is_named(run):
    write_atomically(run.path / "provenance.json", b"[]")
    with pytest.raises(ValueError, match="provenance.json"):
        run.starts()


def test_a_run_that_was_never_begun_is_not_done(run):
    with pytest.raises(ValueError, match="begun"):
        run.mark_done()


def test_the_config_is_saved_resolved(run):
    run.save_config(OmegaConf.create({"a": 1, "b": "${a}"}))
    assert (run.path / "config.yaml").read_text() == "a: 1\nb: 1\n"
    assert run.load_config() == {"a": 1, "b": 1}
    assert RunFolder(run.path / "none").load_config() == {}
    (run.path / "config.yaml").write_text("a: [")
    with pytest.raises(ValueError, match="config.yaml"):
        run.load_config()


@pytest.mark.parametrize(
    "text",
    [
        "a: ${oc.env:SECRET}",
        'a: "\\x24{oc.env:SECRET}"',
        "a: [[{b: 'x\\${oc.env:SECRET}'}]]",
        "a: ${hydra:runtime.cwd}",
        "a: ${config_hash:}\nb: 1",
        "a: ${b}\nb: 1",
        "a: ${'",
        "a: " + "[" * 100000,
        "a: !!python/object/apply:os.getcwd []",
        "- a",
        "5",
    ],
)
def test_a_config_of_a_stranger_is_read_as_values_or_not_at_all(run, text, monkeypatch):
    monkeypatch.setenv("SECRET", "hunter2")
    write_atomically(run.path / "config.yaml", text.encode())
    with pytest.raises(ValueError) as refused:
        run.load_config()
    assert str(run.path / "config.yaml") in str(refused.value) and "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [
        {"command": 5},
        {"command": [["restore"]]},
        {"checkpoints": {"energy": "x"}},
        {"checkpoints": {"energy": {"sha256": 5}}},
        {"code": {"commit": "x"}},
        {"num_images": "many"},
        {"data": 5},
        {"surprise": 1},
    ],
)
def test_a_provenance_file_with_other_types_is_none(run, tmp_path, change):
    run.begin(provenance(tmp_path))
    path = run.path / "provenance.json"
    starts = json.loads(path.read_text())
    starts["runs"][0].update(change)
    path.write_text(json.dumps(starts))
    with pytest.raises(ValueError, match="provenance.json"):
        run.starts()
