"""`DONE` vouches for what a run left: what is lost, cut or emptied afterwards is made again, and nothing else is."""

import json

import numpy as np
import pytest

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


def written(run):
    return {path.name: path.stat().st_mtime_ns for path in run.path.glob("images/*.h5")}


@pytest.fixture
def restored(monkeypatch):
    """Return the list of the images that the sampler is asked for."""
    images = []
    restore = Restoration.restore

    def counted(self, batch):
        images.extend(batch["image_id"])
        return restore(self, batch)

    monkeypatch.setattr(Restoration, "restore", counted)
    return images


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize("verb", ["restore", pytest.param("calibrate", marks=pytest.mark.slow)])
def test_what_is_lost_or_cut_after_done_is_made_again_from_the_images_alone(alps, tmp_path, restored, verb):
    more, reports = REQUESTS[verb]
    request = [verb, *GAUSSIAN, *SHORT, *more, f"output_root={tmp_path}"]
    assert alps(*request)[0] == 0
    run = the_run(tmp_path)
    sizes = run.vouched_files()
    assert sizes.keys() == OF_ALL | reports | {f"images/prior000{i}.h5" for i in range(3)}
    assert all((run.path / name).stat().st_size == size for name, size in sizes.items())
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
        assert run.is_done() and run.vouched_files().keys() == sizes.keys()
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
    for old in (b"", b"{", b"[]", b'{"files": []}'):
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


def test_the_sizes_stand_where_hashes_can_join_them(alps, tmp_path):
    more, _ = REQUESTS["restore"]
    assert alps("restore", *GAUSSIAN, *SHORT, *more, f"output_root={tmp_path}")[0] == 0
    run = the_run(tmp_path)
    done = json.loads((run.path / "DONE").read_text())
    for entry in done["files"].values():
        entry["sha256"] = "0" * 64
    (run.path / "DONE").write_text(json.dumps(done | {"more": 1}))
    assert run.is_done() and run.vouched_files()
