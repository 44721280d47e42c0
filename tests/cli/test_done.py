"""`DONE` vouches for what a run left: what is lost, cut or emptied afterwards is made again, and nothing else is."""

import dataclasses
import json
import os
from random import Random

import numpy as np
import pytest

from alps_exp.files import file_hash
from alps_exp.restoration import Restoration
from alps_exp.runs import ImageResult, RunFolder

GAUSSIAN = ["energy=gaussian", "teacher=gaussian", "energy.size=12", "teacher.size=12", "operator=inpaint_random"]
SHORT = ["sampler.schedule.steps=2", "num_samples=3", "logger=none", "trainer.accelerator=cpu"]
OF_ALL = {"config.yaml", "provenance.json", "records.jsonl"}
REQUESTS = {
    "restore": (["data=prior", "data.test.count=3", "data.batch_size=3", "save=samples"], {"figure.png"}),
    "calibrate": (["count=3", "data.batch_size=3"], {f"calibration.{suffix}" for suffix in ("json", "md", "png")}),
}


def lose(path):
    path.unlink()


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def the_run(root):
    (path,) = root.rglob("DONE")
    return RunFolder(path.parent)


def content(run):
    """Return all that a run must leave again to the last byte."""
    names = run.vouched_files().keys() - {"provenance.json"}
    return {name: (run.path / name).read_bytes() for name in names if "/" not in name}


def numbers(run):
    """Return the records without the seconds, the samples, and the report."""
    records = [dataclasses.replace(record, seconds=None, peak_memory_mib=None) for record in run.records()]
    samples = [
        run.load_result(image_id).estimates["mmse"].tobytes() for image_id in dict.fromkeys(r.image_id for r in records)
    ]
    reports = [json.loads(path.read_text()) | {"seconds": None} for path in run.path.glob("calibration.json")]
    return records, samples, reports


def written(run):
    return {path.name: path.stat().st_mtime_ns for path in run.path.glob("images/*.h5")}


@pytest.fixture
def restored(monkeypatch):
    """Return the list of the images that the sampler is asked for."""
    images = []
    sample = Restoration._sample

    def counted(self, measured):
        images.extend(measured.batch["image_id"])
        return sample(self, measured)

    monkeypatch.setattr(Restoration, "_sample", counted)
    return images


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize("verb", ["restore", pytest.param("calibrate", marks=pytest.mark.slow)])
def test_what_is_lost_or_cut_after_done_is_made_again_from_the_images_alone(alps, tmp_path, restored, verb):
    more, reports = REQUESTS[verb]
    request = [verb, *GAUSSIAN, *SHORT, *more, f"output_root={tmp_path}"]
    assert alps(*request)[0] == 0
    run = the_run(tmp_path)
    vouched = run.vouched_files()
    assert vouched.keys() == OF_ALL | reports | {f"images/prior000{i}.h5" for i in range(3)}
    assert all(file_hash(run.path / name) == of_file.sha256 for name, of_file in vouched.items())
    whole, images = content(run), written(run)
    del restored[:]
    damages = [lose, cut, empty]
    for i, name in enumerate(sorted({*OF_ALL, *reports})):
        damages[i % 3](run.path / name)
        assert not run.is_done() and run.changed_files() == [name]
        status, out, err = alps(*request)
        assert status == 0, out + err
        assert [line for line in out.splitlines() if line.endswith(f"made again: {name}")], out
        assert content(run) == whole and written(run) == images and not restored
        assert run.is_done() and run.vouched_files().keys() == vouched.keys()
    status, out, _ = alps(*request)
    assert status == 0 and "is done already" in out


def test_an_image_that_is_not_the_one_that_was_left_is_restored_again_and_no_other(alps, tmp_path, restored):
    more, _ = REQUESTS["restore"]
    request = ["restore", *GAUSSIAN, *SHORT, *more, f"output_root={tmp_path}"]
    assert alps(*request)[0] == 0
    run = the_run(tmp_path)
    expected, images = run.load_result("prior0001"), written(run)

    def swap(path):  # for a whole result that is another one
        run.save_result("prior0001", ImageResult(expected.records[:1]))

    for damage in (lose, cut, empty, swap):
        damage(run.image_path("prior0001"))
        status, out, err = alps(*request)
        assert status == 0 and "images/prior0001.h5" in out, out + err
        again = run.load_result("prior0001")
        assert np.array_equal(again.samples, expected.samples) and len(again.records) == len(expected.records)
        now = written(run)
        assert [name for name in images if now[name] != images[name]] == ["prior0001.h5"]
        images = now
        assert run.is_done()


def test_a_done_that_vouches_for_nothing_is_looked_behind_and_written_anew(alps, tmp_path, restored):
    more, _ = REQUESTS["restore"]
    request = ["restore", *GAUSSIAN, *SHORT, *more, f"output_root={tmp_path}"]
    assert alps(*request)[0] == 0
    run = the_run(tmp_path)
    whole, images, sizes = content(run), written(run), run.vouched_files()
    del restored[:]
    for old in (b"", b"{", b"[]", b'{"files": []}', b'{"files": {"figure.png": {}}}'):
        (run.path / "DONE").write_bytes(old)
        (run.path / "figure.png").unlink()
        assert run.is_done()  # as far as anybody can tell
        assert alps(*request)[0] == 0
        assert content(run) == whole and written(run) == images and not restored
        assert run.vouched_files().keys() == sizes.keys()


def test_what_is_lost_of_the_provenance_is_said(alps, tmp_path):
    more, _ = REQUESTS["restore"]
    request = ["restore", *GAUSSIAN, *SHORT, *more, f"output_root={tmp_path}"]
    assert alps(*request)[0] == 0
    run = the_run(tmp_path)
    for damage in (lose, cut):
        damage(run.path / "provenance.json")
        assert alps(*request)[0] == 0
        (start,) = run.starts()
        assert start.end and len(start.changes) == 1 and "provenance.json" in start.changes[0]


def flip(path):
    """Change one bit, and neither size nor time."""
    status, content = path.stat(), bytearray(path.read_bytes())
    where = Random(path.name).randrange(8 * len(content))
    content[where // 8] ^= 1 << where % 8
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("damage", [flip, *(pytest.param(d, marks=pytest.mark.slow) for d in (lose, cut, empty))])
@pytest.mark.parametrize("verb", ["restore", pytest.param("calibrate", marks=pytest.mark.slow)])
def test_no_damage_after_done_is_missed_with_verify(alps, tmp_path, verb, damage):
    more, _ = REQUESTS[verb]
    request = [verb, *GAUSSIAN, *SHORT, *more, f"output_root={tmp_path}", "verify=true"]
    assert alps(*request)[0] == 0
    run = the_run(tmp_path)
    whole, names = numbers(run), ["DONE", *run.vouched_files()]
    for name in names:
        damage(run.path / name)
        status, out, err = alps(*request)
        assert status == 0, out + err
        assert f"made again: {name}" in out or name == "DONE", out
        assert numbers(run) == whole and run.is_done() and not run.changed_files(), name
        assert "is done already" in alps(*request)[1]


def test_another_time_is_reason_enough_to_compare_the_content(alps, tmp_path):
    more, _ = REQUESTS["restore"]
    request = ["restore", *GAUSSIAN, *SHORT, *more, f"output_root={tmp_path}"]
    assert alps(*request)[0] == 0
    run = the_run(tmp_path)
    records = run.path / "records.jsonl"
    whole = records.read_bytes()
    records.write_bytes(whole.replace(b"prior0001", b"prior0002"))
    os.utime(records, ns=(0, 0))
    assert run.changed_files() == ["records.jsonl"]
    assert "made again: records.jsonl" in alps(*request)[1] and records.read_bytes() == whole
    os.utime(records, ns=(0, 0))
    assert run.is_done()  # as a copy of the folder is


def test_a_table_says_what_has_changed_since_a_run_was_done(alps, tmp_path):
    more, _ = REQUESTS["restore"]
    assert alps("restore", *GAUSSIAN, *SHORT, *more, f"output_root={tmp_path / 'out'}")[0] == 0
    run = the_run(tmp_path)
    flip(run.path / "images" / "prior0001.h5")
    request = ["table", f"runs={run.path}", f"output={tmp_path / 'table'}", "figures=false"]
    assert "changed since it was done" not in alps(*request)[1]
    assert f"changed since it was done: {run.path.name}/images/prior0001.h5" in alps(*request, "verify=true")[1]
    (run.path / "provenance.json").write_text("{")
    status, out, _ = alps(*request)
    assert status == 0 and f"changed since it was done: {run.path.name}/provenance.json" in out


def test_a_done_that_names_files_elsewhere_vouches_for_none(alps, tmp_path):
    more, _ = REQUESTS["restore"]
    request = ["restore", *GAUSSIAN, *SHORT, *more, f"output_root={tmp_path / 'out'}"]
    assert alps(*request)[0] == 0
    run = the_run(tmp_path)
    elsewhere = tmp_path / "images" / "mine.h5"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(b"kept")
    for name in ("../" * 4 + "images/mine.h5", str(elsewhere)):
        entry = {"size": 1, "mtime_ns": 1, "sha256": "0" * 64}
        (run.path / "DONE").write_text(json.dumps({"files": {name: entry}}))
        assert alps(*request)[0] == 0 and elsewhere.read_bytes() == b"kept"


def test_a_done_of_sizes_alone_is_one_of_an_earlier_version(alps, tmp_path):
    more, _ = REQUESTS["restore"]
    request = ["restore", *GAUSSIAN, *SHORT, *more, f"output_root={tmp_path / 'out'}"]
    assert alps(*request)[0] == 0
    run = the_run(tmp_path)
    done = json.loads((run.path / "DONE").read_text())["files"]
    (run.path / "DONE").write_text(json.dumps({"files": {name: {"size": each["size"]} for name, each in done.items()}}))
    assert run.is_done() and "is done already" in alps(*request)[1]
    cut(run.path / "images" / "prior0001.h5")
    table = ["table", f"runs={run.path}", f"output={tmp_path / 'table'}", "figures=false"]
    assert "changed since it was done" in alps(*table)[1]
    (run.path / "DONE").write_text("{")
    assert "DONE lists no files" in alps(*table)[1]


def test_the_result_of_another_image_is_none_of_this_one(alps, tmp_path):
    more, _ = REQUESTS["restore"]
    request = ["restore", *GAUSSIAN, *SHORT, *more, f"output_root={tmp_path}"]
    assert alps(*request)[0] == 0
    run = the_run(tmp_path)
    run.image_path("prior0000").write_bytes(run.image_path("prior0001").read_bytes())
    (run.path / "DONE").unlink()
    assert run.unfinished(["prior0000", "prior0001"]) == ["prior0000"]
    assert alps(*request)[0] == 0
    assert [record.image_id for record in run.records()][::4] == [f"prior000{i}" for i in range(3)]


@pytest.mark.parametrize("name", [".lock", "restore.log"])
@pytest.mark.parametrize("make", [os.link, os.symlink, lambda target, path: os.mkfifo(path)])
def test_what_is_written_in_place_is_no_link_and_no_pipe(alps, tmp_path, name, make):
    more, _ = REQUESTS["restore"]
    request = ["restore", *GAUSSIAN, *SHORT, *more, f"output_root={tmp_path / 'out'}"]
    assert alps(*request)[0] == 0
    run, mine = the_run(tmp_path), tmp_path / "mine"
    mine.write_text("kept")
    (run.path / name).unlink(missing_ok=True)
    make(mine, run.path / name)
    status, _, err = alps(*request)
    assert status == 2 and name in err and "remove it" in err and mine.read_text() == "kept"
