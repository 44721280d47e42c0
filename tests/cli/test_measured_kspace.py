"""Measured k-space from files to records: `alps prepare` killed and started again, then `alps restore` of it."""

import contextlib
import io
import json
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import h5py
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio
from standstill import kill_at

from alps_exp.cli import main as command
from alps_exp.mri import ArrayVolume, EspiritMaps, FastMRIVolume, PreparedSlices
from alps_exp.mri.preparation import PreparationSettings, _try_file, find_volumes, open_volumes, prepare_file
from alps_exp.mri.prepared_volume import PreparedVolumeFile
from alps_exp.runs import RunFolder

HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>32</x><y>16</y><z>1</z></matrixSize></encodedSpace>
<reconSpace><matrixSize><x>16</x><y>14</y><z>1</z></matrixSize></reconSpace></encoding></ismrmrdHeader>"""
SLICES = {"a_full": 2, "b_undersampled": 2, "y_full": 3, "z_full": 3}
MAPS = {"calibration_width": 8, "kernel_width": 3, "max_iterations": 30}
PREPARE = [f"maps.{name}={value}" for name, value in MAPS.items()]
GAUSSIAN = [f"{kind}{rest}" for kind in ("energy", "teacher") for rest in ("=gaussian", ".complex_valued=true")]
SMALL = ["data=fastmri", *GAUSSIAN, "num_samples=2", "logger=none", "figures=false"]


def write_fastmri(path, slices, undersampled=False, header=HEADER):
    """Smooth coils over a disc that is bright outside the reconstruction crop, with readout oversampling and noise."""
    rng = np.random.default_rng(len(path.name))
    rows, columns = np.meshgrid(np.linspace(-2, 2, 32), np.linspace(-1, 1, 16), indexing="ij")
    inside = (rows**2 + columns**2 < 0.8) + 3.0 * (columns > 0.9)
    coils = np.stack([np.exp(-((rows - a) ** 2 + (columns - b) ** 2)) for a in (-1, 1) for b in (-1, 1)])
    images = 100 * inside * coils * np.linspace(1, 0.7, slices)[:, None, None, None]
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(images, (-2, -1)), norm="ortho"), (-2, -1))
    kspace += rng.standard_normal((*kspace.shape, 2)) @ np.array([1, 1j])
    if undersampled:
        kspace[..., [0, 2, 13, 15]] = 0
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace.astype(np.complex64)
        if header:
            file["ismrmrd_header"] = header


def run(*arguments):
    """Run the command line in this process: exit status, standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["alps", *arguments])
        with pytest.raises(SystemExit) as stop:
            command.main()
    return stop.value.code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Volumes prepared by one worker that was killed, and the rest by two."""
    root = tmp_path_factory.mktemp("kspace")
    (root / "files").mkdir()
    for name, slices in SLICES.items():
        write_fastmri(root / "files" / f"{name}.h5", slices, undersampled=name == "b_undersampled")
    write_fastmri(root / "files" / "d_headless.h5", 1, header=None)
    whole = (root / "files" / "a_full.h5").read_bytes()
    (root / "files" / "c_truncated.h5").write_bytes(whole[: len(whole) // 2])
    request = ["prepare", f"source={root / 'files'}", f"output={root / 'prepared'}", *PREPARE]
    volumes = root / "prepared" / "volumes"
    volumes.mkdir(parents=True)
    second = volumes / "b_undersampled.h5"
    kill_at("/.y_full.h5.", *request, "num_workers=1", folder=root / "killed", reached=second.exists)
    before = {path.name: path.stat().st_mtime_ns for path in volumes.glob("[!.]*.h5")}
    (volumes / ".left.h5.tmp").write_bytes(b"half")
    return root, request, before, run(*request, "num_workers=2")


def test_killed_and_restarted_it_does_what_is_left_and_gives_the_same_bytes(prepared, tmp_path):
    root, _, before, _ = prepared
    volumes = root / "prepared" / "volumes"
    assert sorted(before) == ["a_full.h5", "b_undersampled.h5"]
    assert {name: (volumes / name).stat().st_mtime_ns for name in before} == before
    assert sorted(path.name for path in volumes.iterdir()) == [f"{name}.h5" for name in SLICES]
    settings = PreparedVolumeFile(volumes / "a_full.h5").settings
    recipe = PreparationSettings(partial(FastMRIVolume), EspiritMaps(**MAPS), "auto", True, settings)
    for name in SLICES:
        prepare_file(root / "files" / f"{name}.h5", tmp_path / "again.h5", recipe)
        assert (tmp_path / "again.h5").read_bytes() == (volumes / f"{name}.h5").read_bytes(), name


def test_what_failed_is_named(prepared):
    _, request, _, (status, out, err) = prepared
    assert status == 1
    assert "2 volumes (6 slices) prepared" in out and "2 done before, 2 failed" in out
    assert all(re.search(f"failed: {told}", err) for told in ("c_truncated: .*", "d_headless: .*ismrmrd_header"))
    status, _, err = run(*request, "invalid=refuse")
    assert status == 2 and "2 of 6 files cannot be read" in err and "Traceback" not in err


@pytest.fixture
def in_this_process(monkeypatch):
    """Have volumes prepared by a thread, where the start of a process is all that another one would add."""
    monkeypatch.setattr("alps_exp.mri.preparation._workers", ThreadPoolExecutor)


class Odd(Exception):
    """An error that cannot be made again from its text, as another process would."""

    def __init__(self, code, text):
        super().__init__(text)


ERRORS = [
    KeyError("lost"),
    AttributeError("lost"),
    RecursionError("lost"),
    MemoryError(),
    Odd(1, "lost"),
    OSError("lost"),
]


class RaisingReader:
    def __init__(self, error):
        self.error = error

    def __call__(self, path):
        raise self.error


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_file_that_raises_anything_costs_itself(tmp_path, error):
    reader = RaisingReader(error)
    _, refused = open_volumes({"a": tmp_path / "a.h5"}, reader)
    recipe = PreparationSettings(reader, EspiritMaps(**MAPS), "auto", True, {})
    assert refused == {"a": _try_file(tmp_path / "a.h5", tmp_path / "out.h5", recipe)}
    known = isinstance(error, OSError)
    assert ("lost" in refused["a"] or not error.args) and (type(error).__name__ in refused["a"]) != known
    with pytest.raises(KeyboardInterrupt):
        open_volumes({"a": tmp_path / "a.h5"}, RaisingReader(KeyboardInterrupt()))


def test_without_a_volume_nothing_is_done(tmp_path):
    (tmp_path / "files").mkdir()
    write_fastmri(tmp_path / "files" / "a.h5", 1, header=None)
    request = ["prepare", f"source={tmp_path / 'files'}", f"output={tmp_path / 'prepared'}", *PREPARE, "num_workers=1"]
    status, _, err = run(*request)
    assert status == 1 and "failed: a: " in err and "a.h5" in err
    assert not any((tmp_path / "prepared" / name).exists() for name in ("DONE", "index.jsonl"))
    assert (tmp_path / "prepared" / "FAILED").exists()
    status, _, err = run(
        "restore", *SMALL, f"data.test.path={tmp_path / 'prepared'}", f"output_root={tmp_path / 'out'}"
    )
    assert status == 2 and re.search(f"prepared k-space.*{tmp_path / 'prepared'}", err)


def test_volumes_are_found_behind_links_and_have_names_that_file_systems_hold(in_this_process, tmp_path):
    store, source = tmp_path / "store", tmp_path / "source"
    for folder in (store / ("颅脑" * 30), source):
        folder.mkdir(parents=True)
    write_fastmri(store / ("颅脑" * 30) / f"{'磁共振' * 20}.h5", 2)
    (source / "linked").symlink_to(store)
    (source / "loop").symlink_to(source)
    (name,) = find_volumes(source)
    assert name == f"linked-{'颅脑' * 30}-{'磁共振' * 20}"
    status, out, err = run("prepare", f"source={source}", f"output={tmp_path / 'out'}", *PREPARE, "num_workers=1")
    assert status == 0, out + err
    assert PreparedSlices(tmp_path / "out")[0]["image_id"] == f"{name}_000"


def test_a_damaged_volume_costs_its_slices_and_is_prepared_again(prepared, in_this_process, tmp_path):
    folder = tmp_path / "prepared"
    shutil.copytree(prepared[0] / "prepared", folder, ignore=shutil.ignore_patterns(".lock"))
    damaged = folder / "volumes" / "z_full.h5"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    lines = (folder / "index.jsonl").read_text().splitlines(keepends=True)
    (folder / "index.jsonl").write_text("".join(line for line in lines if '"b_undersampled"' not in line))
    request = [*SMALL, f"data.test.path={folder}", f"output_root={tmp_path / 'out'}", "sampler=sense"]
    request += ["operator=retrospective_2x", "data.batch_size=1"]
    status, _, err = run("restore", *request)
    assert status == 1 and "Traceback" not in err
    _, records = restored(tmp_path)
    statuses = {record["image_id"]: record["status"] for record in records}
    bad = [f"z_full_{index:03d}" for index in range(3)]
    assert [name for name, status in statuses.items() if status != "ok"] == bad and len(statuses) == 8
    assert all("z_full.h5" in statuses[name] and f"failed: {name}: " in err for name in bad)

    (folder / "index.jsonl").write_text("".join(lines))
    prepare = ["prepare", f"source={prepared[0] / 'files'}", f"output={folder}", *PREPARE, "num_workers=1"]
    assert run(*prepare)[0] == 1  # of the two files that cannot be prepared
    assert damaged.read_bytes() == whole


def test_slices_are_those_of_the_index(prepared, tmp_path):
    shutil.copytree(prepared[0] / "prepared", tmp_path / "prepared")
    index = tmp_path / "prepared" / "index.jsonl"
    lines = index.read_text().splitlines(keepends=True)
    index.write_text("".join(line for line in lines if '"b_undersampled"' not in line))
    slices = PreparedSlices(tmp_path / "prepared")
    assert len(slices) == 8 and slices.image_ids[:3] == ["a_full_000", "a_full_001", "y_full_000"]
    index.write_text(lines[0] + lines[1].replace('"sha256": "', '"sha256": "0'))
    with pytest.raises(ValueError, match="a_full.*alps prepare"):
        PreparedSlices(tmp_path / "prepared")[0]


def only(prepared, tmp_path, name):
    """Return the request for the slices of one volume."""
    folder = tmp_path / "prepared"
    shutil.copytree(prepared[0] / "prepared", folder, ignore=shutil.ignore_patterns("[!b]_full.h5", ".lock"))
    lines = (prepared[0] / "prepared" / "index.jsonl").read_text().splitlines(keepends=True)
    (folder / "index.jsonl").write_text("".join(line for line in lines if json.loads(line)["volume"] == name))
    shutil.copy(prepared[0] / "prepared" / "volumes" / f"{name}.h5", folder / "volumes")
    return [*SMALL, f"data.test.path={folder}", f"output_root={tmp_path / 'out'}"], PreparedVolumeFile(
        folder / "volumes" / f"{name}.h5"
    )


def restored(tmp_path):
    (records,) = (tmp_path / "out").rglob("records.jsonl")
    return RunFolder(records.parent), [json.loads(line) for line in records.read_text().splitlines()]


def fft2(x):
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(x, (-2, -1)), norm="ortho"), (-2, -1))


def misfit(result, volume_file, estimate, slice_index):
    residual = fft2(volume_file.read("sensitivity_maps", slice_index) * result.estimates[estimate]) - result.measurement
    return np.sum(np.abs(residual[result.measurement != 0]) ** 2) / (2 * volume_file.noise_std**2)


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize("sampler", [["sampler=alps", "sampler.schedule.steps=3"], ["sampler=sense"]])
def test_undersampled_in_retrospect(prepared, tmp_path, sampler):
    request, volume_file = only(prepared, tmp_path, "a_full")
    status, out, err = run("restore", *request, "operator=retrospective_2x", "figures=true", *sampler)
    assert status == 0, out + err
    folder, lines = restored(tmp_path)
    assert (folder.path / "figure.png").exists() and all(line["status"] == "ok" for line in lines)
    for index in range(2):
        result = folder.load_result(f"a_full_{index:03d}")
        mask = (result.measurement != 0).any(0)
        assert result.diagnostics["acceleration"] == pytest.approx(mask.size / mask.sum()) and mask.mean() < 0.7
        np.testing.assert_array_equal(result.measurement, volume_file.read("kspace", index) * mask)
        np.testing.assert_array_equal(result.truth, volume_file.read("image", index))
        estimate = next(name for name in ("mmse", "point") if name in result.estimates)
        record = result.record(estimate)
        assert record.data_misfit == pytest.approx(misfit(result, volume_file, estimate, index), rel=1e-3)
        inside = (slice(None), slice(None), slice(1, 15))  # 16 x 14 of 16 x 16
        truth, found = np.abs(result.truth[inside]), np.abs(result.estimates[estimate][inside])
        assert record.psnr == pytest.approx(peak_signal_noise_ratio(truth, found, data_range=1), abs=1e-3)
    assert max(np.abs(volume_file.read("image", i)[0, :, 1:15]).max() for i in range(2)) == pytest.approx(1, abs=1e-6)
    assert np.abs(volume_file.read("image", 0)).max() > 1.1  # what is beyond the crop does not set the scale


def test_another_noise_level_is_that_of_the_request_and_said(prepared, tmp_path):
    request, volume_file = only(prepared, tmp_path, "a_full")
    level = 2 * volume_file.noise_std
    request += ["operator=retrospective_2x", "sampler=zero_filled"]
    for words in ([], [f"data.test.noise_std={level}"]):
        status, out, err = run("restore", *request, *words)
        assert status == 0, out + err
    folders = sorted((tmp_path / "out").rglob("records.jsonl"), key=lambda path: path.stat().st_mtime)
    own, given = ([json.loads(line) for line in path.read_text().splitlines()] for path in folders)
    assert {line["noise_std"] for line in own} == {volume_file.noise_std} == {r["prepared_noise_std"] for r in given}
    assert {line["noise_std"] for line in given} == {level} and {r["prepared_noise_std"] for r in own} == {None}
    for one, other in zip(own, given, strict=True):
        assert other["data_misfit"] == pytest.approx(one["data_misfit"] / 4, rel=1e-5)
    status, out, err = run("table", f"runs={tmp_path / 'out'}", f"output={tmp_path / 'table'}", "figures=false")
    assert status == 0 and out.count(f"noise as requested, {volume_file.noise_std:.4g} in the data") == 1
    status, _, err = run("restore", *request, "data.test.noise_std=-1")
    assert status == 2 and "noise_std must be a positive finite number" in err
    status, _, err = run("restore", *request, "operator.noise_std=0.1")
    assert status == 2 and "data.test.noise_std=NUMBER" in err


def test_undersampled_by_a_mask_from_a_file(prepared, tmp_path):
    request, volume_file = only(prepared, tmp_path, "a_full")
    measured = volume_file.read("kspace", 0).any(0)
    columns = np.arange(measured.shape[1]) % 3 == 0
    np.save(tmp_path / "columns.npy", columns)
    mask = f"operator.mask.within.path={tmp_path / 'columns.npy'}"
    status, out, err = run("restore", *request, "operator=retrospective_file", mask, "sampler=zero_filled")
    assert status == 0, out + err
    folder, _ = restored(tmp_path)
    np.testing.assert_array_equal((folder.load_result("a_full_000").measurement != 0).any(0), measured & columns)
    status, _, err = run("restore", *request, "operator=retrospective_file", "sampler=zero_filled")
    assert status == 2 and "operator.mask.within.path" in err


@pytest.mark.usefixtures("drawn")
def test_undersampled_as_it_came(prepared, tmp_path):
    request, volume_file = only(prepared, tmp_path, "b_undersampled")
    status, out, err = run("restore", *request, "operator=measured", "sampler.schedule.steps=3", "figures=true")
    assert status == 0, out + err
    assert "psnr" not in out and "data_misfit" in out
    folder, lines = restored(tmp_path)
    assert [line["estimate"] for line in lines] == ["mmse", "sample", "sample"] * 2
    for line in lines:
        assert all(line[name] is None for name in ("psnr", "ssim", "nmse", "error")) and line["status"] == "ok"
        assert line["data_misfit"] > 0 and line["energy"] > 0
    result = folder.load_result("b_undersampled_000")
    assert result.truth is None and result.std.shape == (1, 16, 16) and lines[0]["spread"] > 0
    assert result.diagnostics["acceleration"] == pytest.approx(16 / 12)
    np.testing.assert_array_equal(result.measurement, volume_file.read("kspace", 0))  # no noise is added
    assert lines[0]["data_misfit"] == pytest.approx(misfit(result, volume_file, "mmse", 0), rel=1e-3)
    assert (folder.path / "figure.png").exists()
    status, out, err = run("table", f"runs={tmp_path / 'out'}", f"output={tmp_path / 'table'}")
    assert status == 0, out + err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["calibrate", "operator=measured", "images=data", "count=1"], "without the truth"),
        (["restore", "operator=mri_4x"], "the data have no 'image', which the operator needs"),
        (["restore", "operator=measured", "data.test.measured=false"], "there is no image to simulate from"),
    ],
)
def test_what_needs_a_truth_is_refused_in_one_line(prepared, tmp_path, arguments, message):
    request, _ = only(prepared, tmp_path, "b_undersampled")
    status, _, err = run(arguments[0], *request, *arguments[1:])
    assert status == 2 and message in err and "Traceback" not in err


def test_a_damaged_index_is_named_with_the_cure(prepared, tmp_path):
    (tmp_path / "prepared").mkdir()
    for line in ('{"volume": "a"}', "{bad", "[]"):
        (tmp_path / "prepared" / "index.jsonl").write_text(line)
        status, _, err = run("restore", *SMALL, f"data.test.path={tmp_path / 'prepared'}", "operator=measured")
        assert status == 2 and "index.jsonl is damaged: run `alps prepare output=" in err and "Traceback" not in err


@pytest.mark.parametrize("noise", ["-1", "0", "nan", "inf"])
def test_a_noise_level_that_is_none_is_refused_before_any_volume(tmp_path, noise):
    status, _, err = run("prepare", f"source={tmp_path}", f"output={tmp_path / 'out'}", f"noise={noise}")
    assert status == 2 and "noise must be a positive finite number" in err


@pytest.mark.parametrize("scan", [np.ones((4, 5, 6), complex), np.ones((3, 99), complex), np.ones((4, 99)), "text"])
def test_a_noise_scan_that_is_none_of_these_coils_is_named(tmp_path, scan):
    write_fastmri(tmp_path / "a.h5", 1)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["scan"] = scan
    settings = PreparationSettings(ArrayVolume, EspiritMaps(**MAPS), "scan", True, {})
    assert "the noise scan scan holds" in _try_file(tmp_path / "a.h5", tmp_path / "out.h5", settings)


def test_a_noise_scan_is_of_the_coils_that_are_alive(tmp_path):
    write_fastmri(tmp_path / "a.h5", 1)
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        kspace = file["kspace"][()]
        kspace[:, 2] = 0
        file["kspace"][...] = kspace
        file["scan"] = rng.standard_normal((4, 500, 2)) @ np.array([1, 1j])
    settings = PreparationSettings(ArrayVolume, EspiritMaps(**MAPS), "scan", True, {})
    assert not isinstance(_try_file(tmp_path / "a.h5", tmp_path / "out.h5", settings), str)
    assert PreparedVolumeFile(tmp_path / "out.h5").shape[1] == 3
