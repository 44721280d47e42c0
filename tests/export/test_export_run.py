"""Files of an export hold the values of the results, in the units of their source, and nothing is dropped silently."""

import json

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from alps_exp.export import export_run
from alps_exp.runs import ImageResult, Record, RunFolder
from alps_exp.source import SourceSlice

RNG = np.random.default_rng(0)


def record(image_id, estimate, **more):
    return Record(image_id, "task", "operator", 0.05, "alps", 0, estimate, **more)


def real(*shape):
    return (1.2 * RNG.uniform(-1, 1, shape)).astype(np.float32)


def complex_image(*shape):
    return (RNG.normal(size=shape) + 1j * RNG.normal(size=shape)).astype(np.complex64)


def picture(run, image_id, channels=3):
    """Save a picture with all that a result can have, and return it."""
    samples = real(4, channels, 8, 10)
    found = ImageResult(
        [record(image_id, "mmse", num_samples=4), record(image_id, "sample", sample_index=0, num_samples=4)],
        estimates={"mmse": 2 * samples.mean(0), "sample": samples[0]},  # beyond [-1, 1] here and there
        std=samples.std(0, ddof=1),
        samples=samples,
        interval=np.stack([samples.min(0), samples.max(0)]),
        half_width=np.stack([2 * samples.std(0, ddof=1), 3 * samples.std(0, ddof=1)]),
    )
    run.save_result(image_id, found)
    return found


def slice_of(run, volume, number, numbers, known=True, status="ok"):
    """Save a complex slice of a volume with a scale that differs from pixel to pixel, and return it."""
    image_id, samples = f"{volume}_{number:03d}", complex_image(4, 1, 8, 10)
    made = record(image_id, "mmse", num_samples=4, status=status)
    scale = RNG.uniform(1e-5, 3e-5, (1, 8, 10)).astype(np.float32) if known else None
    found = ImageResult(
        [made],
        estimates={"mmse": samples.mean(0)},
        std=samples.std(0, ddof=1),
        magnitude_std=np.abs(samples).std(0, ddof=1),
        samples=samples,
        source=SourceSlice(volume, number, numbers, scale, [0.7, 0.8, 5.0] if known else None),
    )
    run.save_result(image_id, found)
    return found


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "run")


def nifti(path):
    image = nibabel.load(path)
    return image, np.asarray(image.dataobj)


def test_a_picture_is_in_0_to_1_and_its_png_has_8_bits(run, tmp_path):
    result = picture(run, "a")
    exported = export_run(run, tmp_path / "out", ["png", "tiff", "npz"])
    assert exported.units == ["0 is black, 1 is white"] and not exported.white and not exported.voxel_size
    expected = (np.moveaxis(result.estimates["mmse"], 0, -1).astype(float) + 1) / 2
    assert expected.min() < 0 and expected.max() > 1
    png = np.asarray(Image.open(tmp_path / "out/a.mmse.png"))
    np.testing.assert_array_equal(png, np.rint(expected.clip(0, 1) * 255).astype(np.uint8))
    np.testing.assert_allclose(tifffile.imread(tmp_path / "out/a.mmse.tiff"), expected, atol=1e-7)
    std = tifffile.imread(tmp_path / "out/a.std.tiff")
    assert std.dtype == np.float32 and (std == np.moveaxis(result.std, 0, -1) / 2).all()
    samples = tifffile.imread(tmp_path / "out/a.samples.tiff")
    np.testing.assert_allclose(np.moveaxis(samples, -1, 1), (result.samples + 1) / 2, atol=1e-7)
    with np.load(tmp_path / "out/a.npz") as arrays:
        assert sorted(arrays) == ["half_width", "image_id", "interval", "mmse", "sample", "samples", "std", "units"]
        assert arrays["image_id"] == "a" and arrays["units"] == "0 is black, 1 is white"
        np.testing.assert_allclose(arrays["interval"], (result.interval + 1) / 2, atol=1e-7)
        np.testing.assert_allclose(arrays["half_width"], result.half_width / 2, rtol=1e-6)
        # Half of the unbiased standard deviation is that of the halved samples.
        np.testing.assert_allclose(arrays["std"], arrays["samples"].std(0, ddof=1), rtol=1e-5)


def test_a_gray_picture_has_one_channel_in_every_format(run, tmp_path):
    result = picture(run, "a", channels=1)
    export_run(run, tmp_path / "out", ["png", "tiff", "nii"])
    png = Image.open(tmp_path / "out/a.sample.png")
    assert (png.mode, png.size) == ("L", (10, 8))
    assert tifffile.imread(tmp_path / "out/a.samples.tiff").shape == (4, 8, 10)
    with Image.open(tmp_path / "out/a.samples.tiff") as pages:  # a program that knows pages finds them
        assert (pages.n_frames, pages.mode) == (4, "F")
    _, samples = nifti(tmp_path / "out/a.samples.nii")
    np.testing.assert_allclose(samples[:, :, 0], np.moveaxis((result.samples[:, 0] + 1) / 2, 0, -1), atol=1e-7)


def test_a_volume_has_the_values_and_the_voxels_of_its_source(run, tmp_path):
    numbers = [2, 3, 4]
    results = [slice_of(run, "knee", number, numbers) for number in numbers]
    lines = [f"{result.records[0].to_json()}\n" for result in results]
    (run.path / "records.jsonl").write_text(lines[2] + lines[0] + lines[1])
    exported = export_run(run, tmp_path / "out", ["nii", "png"])
    assert exported.voxel_size == {"knee": [0.7, 0.8, 5.0]} and not exported.missing and not exported.empty
    header, mean = nifti(tmp_path / "out/knee.mmse.nii")
    assert mean.dtype == np.complex64 and mean.shape == (8, 10, 3)
    np.testing.assert_allclose(header.header.get_zooms(), [0.7, 0.8, 5.0], rtol=1e-6)
    assert header.header.get_xyzt_units()[0] == "mm" and header.header["sform_code"] == header.header["qform_code"] == 0
    magnitudes = np.stack([np.abs(result.estimates["mmse"][0]) for result in results], -1)
    scale = np.stack([result.source.scale[0] for result in results], -1).astype(float)
    expected = {
        "mmse_magnitude": magnitudes * scale,
        "std": np.stack([result.std[0] for result in results], -1) * scale,
        "magnitude_std": np.stack([result.magnitude_std[0] for result in results], -1) * scale,
    }
    for name, values in expected.items():
        image, found = nifti(tmp_path / f"out/knee.{name}.nii")
        assert (image.dataobj.slope, image.dataobj.inter) == (1, 0) and found.dtype == np.float32
        np.testing.assert_allclose(found, values, rtol=1e-6)
    # The spread of the magnitude is that of the exported samples.
    image, samples = nifti(tmp_path / "out/knee.samples.nii")
    assert samples.shape == (8, 10, 3, 4) and len(image.header.get_zooms()) == 4
    np.testing.assert_allclose(np.abs(samples).std(-1, ddof=1), expected["magnitude_std"], rtol=1e-5)
    # All slices share the white of their volume.
    assert set(exported.white) == {f"knee_{number:03d}.mmse_magnitude.png" for number in numbers}
    (white,) = set(exported.white.values())
    assert white == pytest.approx(expected["mmse_magnitude"].max(), rel=1e-6)
    png = np.asarray(Image.open(tmp_path / "out/knee_003.mmse_magnitude.png"))
    assert png.dtype == np.uint16
    np.testing.assert_allclose(png / 65_535 * white, expected["mmse_magnitude"][..., 1], atol=0.51 * white / 65_535)


def test_missing_and_empty_slices_are_named_and_not_numbers(run, tmp_path):
    numbers = [0, 1, 3, 4, 6]
    for number in (0, 3):
        slice_of(run, "a", number, numbers)
    slice_of(run, "a", 4, numbers, status="diverged")
    run.save_result("a_001", ImageResult([record("a_001", "mmse", status="damaged file")]))
    slice_of(run, "b", 0, [0], status="diverged too")
    exported = export_run(run, tmp_path / "out", ["nii"])
    assert exported.missing == {"a": [1, 4, 6], "b": [0]} and exported.empty == {"a": [2, 5]}
    assert exported.failed == {"a_001": "damaged file", "a_004": "diverged", "b_000": "diverged too"}
    for name in ("mmse", "std"):
        _, found = nifti(tmp_path / f"out/a.{name}.nii")
        assert [bool(np.isnan(found[..., i]).all()) for i in range(7)] == [False, True, True, False, True, True, True]
        assert np.isfinite(found[..., [0, 3]]).all()
    assert not list((tmp_path / "out").glob("b*"))
    assert json.loads((tmp_path / "out/export.json").read_text())["missing"] == exported.missing


def test_a_damaged_file_costs_its_image(run, tmp_path):
    picture(run, "a")
    picture(run, "b")
    content = run.image_path("b").read_bytes()
    run.image_path("b").write_bytes(content[: len(content) // 2])
    (run.path / "records.jsonl").write_text("".join(f"{record(i, 'mmse').to_json()}\n" for i in "abc"))
    exported = export_run(run, tmp_path / "out", ["png"])
    assert exported.files == ["a.mmse.png", "a.sample.png"]
    assert exported.failed.keys() == {"b", "c"} and "b.h5 is damaged" in exported.failed["b"]


def test_images_without_a_scale_say_so(run, tmp_path):
    volume = slice_of(run, "a", 0, [0], known=False)
    alone = slice_of(run, "b", 0, [0])
    alone.source = None
    run.save_result("b_000", alone)
    run.save_config({"data": {"test": {"_target_": "alps_exp.datasets.BrainSlices"}}})
    exported = export_run(run, tmp_path / "out", ["npz"])
    (of_prepared, of_dataset) = exported.units
    assert "earlier version prepared it: prepare and restore it again" in of_prepared
    assert of_dataset == "those of the dataset"
    for name, result in (("a_000", volume), ("b_000", alone)):
        with np.load(tmp_path / f"out/{name}.npz") as arrays:
            np.testing.assert_array_equal(arrays["mmse"], result.estimates["mmse"])
    run.save_config({"data": {"test": {"_target_": "alps_exp.mri.PreparedSlices"}}})
    again = export_run(run, tmp_path / "out", ["npz"]).units
    assert again == [of_prepared, of_prepared.replace("prepared it: prepare and restore", "restored it: restore")]


def test_ids_of_any_kind_have_files_of_their_own(run, tmp_path):
    ids = ["a", "a/b", "a%2Fb", "../up", "ü 颅脑", "a.mmse", "a_mmse", "x" * 400, "-f", "{}"]
    for image_id in ids:
        picture(run, image_id, channels=1)
    exported = export_run(run, tmp_path / "out", ["png", "npz", "nii"])
    assert len(set(exported.files)) == len(exported.files) == len(ids) * (2 + 1 + 6)
    on_disk = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert on_disk == sorted([*exported.files, "export.json"])
    assert sorted(str(np.load(path)["image_id"]) for path in (tmp_path / "out").glob("*.npz")) == sorted(ids)


def test_a_folder_that_holds_something_else_is_left_alone(run, tmp_path):
    picture(run, "a")
    out = tmp_path / "out"
    out.mkdir()
    export_run(run, out, ["png"])  # an empty one may be there
    first = (out / "a.mmse.png").read_bytes()
    picture(run, "a")
    export_run(run, out, ["png"])
    assert (out / "a.mmse.png").read_bytes() != first  # its own files are replaced
    other = RunFolder(tmp_path / "other")
    picture(other, "a")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.mmse.png").write_text("mine")
    for target in (out, tmp_path / "mine", tmp_path / "mine" / "a.mmse.png", other.path):
        before = sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*"))
        with pytest.raises(ValueError, match="is there already, and is no export of this run: name another by output="):
            export_run(other, target, ["png"])
        assert sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("channels", "format"), [(3, "nii"), (2, "png"), (4, "nii")])
def test_a_format_that_cannot_hold_the_images_is_refused_before_a_file_is_written(run, tmp_path, channels, format):
    picture(run, "a", channels)
    with pytest.raises(ValueError, match=f"{format} cannot hold images of {channels} channels, only of 1.*tiff or npz"):
        export_run(run, tmp_path / "out", ["npz", format])
    assert not (tmp_path / "out").exists()
    export_run(run, tmp_path / "out", ["npz", "tiff"])
    assert tifffile.imread(tmp_path / "out/a.std.tiff").size == channels * 80


@pytest.mark.parametrize(("format", "package"), [("tiff", "tifffile"), ("nii", "nibabel")])
def test_a_package_that_is_missing_is_named(run, tmp_path, monkeypatch, format, package):
    picture(run, "a", channels=1)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=rf"needs the package {package}: pip install 'alps_exp\[export\]'"):
        export_run(run, tmp_path / "out", [format])


def test_a_volume_of_absurd_length_or_mixed_sizes_is_refused(run, tmp_path):
    slice_of(run, "a", 0, [0, 10**9])
    with pytest.raises(ValueError, match="a has slices from 0 to 1000000000, expected at most 2,000"):
        export_run(run, tmp_path / "out", ["npz"])
    for number, shape in ((0, (1, 8, 10)), (1, (1, 8, 9))):
        image = complex_image(*shape)
        source = SourceSlice("a", number, [0, 1], np.ones(shape, np.float32))
        made = ImageResult([record(f"a_{number:03d}", "map")], estimates={"map": image}, source=source)
        run.save_result(f"a_{number:03d}", made)
    with pytest.raises(ValueError, match="the slices of a differ in size: take another format than nii"):
        export_run(run, tmp_path / "out", ["nii"])
    assert len(export_run(run, tmp_path / "out", ["tiff"]).files) == 2


def test_a_scale_of_another_size_is_refused(run, tmp_path):
    result = slice_of(run, "a", 0, [0])
    result.source.scale = result.source.scale[..., 1:]
    run.save_result("a_000", result)
    with pytest.raises(ValueError, match="a_000 and the scale of its source have the sizes"):
        export_run(run, tmp_path / "out", ["npz"])
