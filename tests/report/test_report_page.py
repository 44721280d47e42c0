"""The page: what it says and shows, that nothing in it is more than text, and how it works in a browser."""

import base64
import hashlib
import io
from html.parser import HTMLParser

import numpy as np
import pytest
from chromium import EXECUTABLE, Chromium
from PIL import Image

from alps_exp.report import PageTable, build_table, display_table, gallery_tasks, page, read_runs, write_page
from alps_exp.runs import ESTIMATES, ImageResult, Record, RunFolder, collect_provenance

HOSTILE = "<script>alert('x')</script>\"&é漢\N{RIGHT-TO-LEFT OVERRIDE}{{ 7 * 7 }}"


def write_run(path, sampler, ids=("a", "b"), estimates=("sample", "mmse"), error=0.1, truth=0.5, failed=(), **changes):
    """Write a run of constant images, whose estimates are off by `error`."""
    run = RunFolder(path)
    run.save_config({"sampler": {"name": sampler}, "seed": 0})
    run.begin(collect_provenance(seeds={}, device="cpu", num_images=len(ids)))
    image = None if truth is None else np.full((3, 4, 6), truth)
    values = {"task": "blur", "operator": "op", "noise_std": 0.05, "seed": 0, "num_samples": 2, "psnr": 20.125}
    values |= {"ssim": 0.5, "nmse": 0.125, "seconds": 2.0, "nfe_forward": 3, "nfe_vjp": 4} | changes
    for image_id in ids:
        records = []
        for name in estimates:
            indices = (0, 1) if name == "sample" else (None,)
            records += [Record(image_id, sampler=sampler, estimate=name, sample_index=i, **values) for i in indices]
        result = ImageResult(
            [record.failed("out of memory") if image_id in failed else record for record in records],
            truth=image,
            measurement=np.full((3, 4, 6), -1.0),
            estimates={}
            if image_id in failed
            else {name: np.full((3, 4, 6), (truth or 0) + error) for name in estimates},
            std=np.full((3, 4, 6), 0.25) if "mmse" in estimates and image_id not in failed else None,
        )
        run.save_result(image_id, result)
    run.merge_records(ids)
    run.mark_done()
    return run


class Reader(HTMLParser):
    """Reads tags with their attributes, and the texts of all cells, captions and scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self._open = [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._open.append(tag)
        self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        for tag in set(self._open):
            self.texts[tag][-1] += data


def page_of(runs, folder, most=8, estimates=ESTIMATES, columns=None):
    read, records = read_runs([runs])
    tasks = gallery_tasks(read, records, "mean", estimates, most)
    tables = [PageTable("Restorations", display_table(build_table([runs]), columns))]
    return write_page(tables, tasks, folder).read_text()


def picture(source):
    """Return the pixels of a data URI, in RGB."""
    head, _, content = source.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))


def tasks_of(runs, **settings):
    read, records = read_runs([runs])
    return gallery_tasks(read, records, "mean", settings.pop("estimates", ESTIMATES), settings.pop("most", 8))


def test_the_numbers_are_those_of_table_and_records(tmp_path):
    write_run(tmp_path / "alps", "alps", psnr=20.125, data_misfit=12.5)
    write_run(tmp_path / "map", "map", estimates=["map"], psnr=21.5, seed=3)
    reader = Reader(page_of(tmp_path, tmp_path))
    texts = display_table(build_table([tmp_path])).texts.to_numpy().ravel().tolist()
    cells = reader.texts["td"]
    assert cells[: len(texts)] == [text.strip("*") for text in texts]
    (first,) = (task.images[0].records for task in tasks_of(tmp_path))
    assert cells[len(texts) : len(texts) + first.size] == first.to_numpy().ravel().tolist()
    rows = first.to_dict("records")
    assert [(row["Sampler"], row["Estimate"], row["Sample"]) for row in rows] == [
        ("alps", "sample", "0"),
        ("alps", "sample", "1"),
        ("alps", "mmse", "-"),
        ("map", "map", "-"),
    ]
    assert [float(row["PSNR [dB]"]) for row in rows] == pytest.approx([20.125] * 3 + [21.5], abs=0.005)
    known = {"SSIM": "0.500", "NMSE": "0.1250", "Data misfit": "12.5", "Calls": "3+4"}
    assert known.items() <= rows[0].items()
    assert rows[3]["Data misfit"] == "-" and rows[3]["Seed"] == "3"


def test_pictures_are_those_of_the_arrays(tmp_path):
    write_run(tmp_path / "alps", "alps", error=-0.25)
    write_run(tmp_path / "map", "map", estimates=["map"], error=0.5)
    (task,) = tasks_of(tmp_path)
    truth, measurement, sample, mmse, of_map = task.images[0].pictures
    names = ["Truth", "Measurement", "ALPS sample", "ALPS MMSE", "MAP"]
    assert [shown.name for shown in task.images[0].pictures] == names
    for shown, value in ((truth, 0.5), (measurement, -1), (sample, 0.25), (mmse, 0.25), (of_map, 1.0)):
        np.testing.assert_array_equal(picture(shown.source), np.full((4, 6, 3), round(255 * (value + 1) / 2)))
    assert [sorted(shown.maps) for shown in (truth, sample, mmse)] == [
        [],
        ["Absolute error"],
        ["Absolute error", "Standard deviation"],
    ]
    ends = {kind: (picture(bar)[0, [0, 255]].tolist(), top) for kind, bar, top in task.images[0].scales}
    (low, high), top = ends["Absolute error (image in [−1, 1])"]
    assert top == "0.5" and picture(of_map.maps["Absolute error"])[0, 0].tolist() == high != low
    assert ends["Standard deviation (image in [−1, 1])"][1] == "0.25"
    assert mmse.caption == "20.12 dB" and not mmse.flags


@pytest.mark.parametrize("truth", [3 - 4j, None])
def test_complex_images_are_magnitudes_up_to_that_of_the_truth_or_an_estimate(tmp_path, truth):
    run = RunFolder(tmp_path / "run")
    run.begin(collect_provenance(seeds={}, device="cpu", num_images=1))
    record = Record("a", "mri", "mri", 0.05, "sense", 0, "point")
    known = None if truth is None else np.full((1, 4, 4), truth)
    estimate = np.full((1, 4, 4), 2.5j)
    run.save_result("a", ImageResult([record], truth=known, adjoint=estimate / 2, estimates={"point": estimate}))
    (task,) = tasks_of(tmp_path)
    shown = {each.name: picture(each.source)[0, 0, 0] for each in task.images[0].pictures}
    peak = 5 if truth else 2.5
    assert shown == {"Zero-filled": round(255 * 1.25 / peak), "SENSE": round(255 * 2.5 / peak)} | (
        {"Truth": 255} if truth else {}
    )
    assert [kind for kind, _, _ in task.images[0].scales] == (["Absolute error (as magnitude)"] if truth else [])


def test_nothing_but_the_script_of_the_page_runs_and_nothing_is_loaded(tmp_path):
    write_run(tmp_path / "1", HOSTILE, ids=[HOSTILE], task=HOSTILE, warnings=[HOSTILE], flags=[HOSTILE])
    write_run(tmp_path / "2", "\ud800**x** [1]", ids=[HOSTILE, "b"], task=HOSTILE, failed=[HOSTILE])
    text = page_of(tmp_path, tmp_path)
    reader = Reader(text)
    assert [tag for tag, _ in reader.tags].count("script") == 1 and "http:" not in text and "https:" not in text
    for tag, attributes in reader.tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert attributes.get("src", "data:image/png;").startswith("data:image/png;"), tag
        assert attributes.get("href", "#").startswith(("#", "data:,"))
    shown = HOSTILE.replace("\N{RIGHT-TO-LEFT OVERRIDE}", "\N{REPLACEMENT CHARACTER}")
    assert f"{shown}, noise 0.05" in reader.texts["h2"] and shown in reader.texts["td"]
    assert any(shown in summary for summary in reader.texts["summary"])


def test_the_policy_of_the_page_allows_its_own_script_and_style_alone(tmp_path):
    write_run(tmp_path / "run", "alps")
    reader = Reader(page_of(tmp_path, tmp_path))
    (policy,) = (values["content"] for tag, values in reader.tags if values.get("http-equiv"))
    digests = [
        base64.b64encode(hashlib.sha256(reader.texts[tag][0].encode()).digest()).decode() for tag in ("style", "script")
    ]
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digests[0]}'; script-src 'sha256-{digests[1]}'"
    )


@pytest.mark.parametrize("columns", [None, ["sampler", "psnr"], ["psnr"]])
def test_a_flag_is_seen_in_the_table_at_the_picture_and_in_the_records(tmp_path, columns):
    write_run(tmp_path / "run", "alps", ids=["a"], estimates=["mmse"], flags=["convergence"])
    reader = Reader(page_of(tmp_path, tmp_path, columns=columns))
    assert ("tr", {"class": "noted"}) in reader.tags
    assert reader.texts["li"][-1] == "1 of 1 estimates flagged (convergence)"
    assert any(tag == "figure" and values.get("class") == "flagged" for tag, values in reader.tags)
    mark = "⚑ not converged"
    assert mark in reader.texts["figcaption"][-1] and mark in reader.texts["summary"][0] and mark in reader.texts["td"]


def test_failed_and_missing_images_say_so(tmp_path):
    write_run(tmp_path / "alps", "alps", failed=["b"])
    lost = write_run(tmp_path / "map", "map", estimates=["map"])
    lost.image_path("a").unlink()
    first, second = tasks_of(tmp_path)[0].images
    assert first.flags == second.flags == "failed"
    assert [shown.caption for shown in first.pictures if not shown.source] == [
        "20.12 dB; the file of the image is missing"
    ]
    assert [shown.caption for shown in second.pictures if not shown.source] == ["failed: out of memory"] * 2
    lost.image_path("a").write_bytes(b"nothing")
    (damaged,) = (shown for shown in tasks_of(tmp_path)[0].images[0].pictures if not shown.source)
    assert "damaged" in damaged.caption
    assert "no picture" in page_of(tmp_path, tmp_path)


def test_an_estimate_of_another_truth_says_so(tmp_path):
    write_run(tmp_path / "alps", "alps", ids=["a"])
    write_run(tmp_path / "map", "map", ids=["a"], estimates=["map"], truth=0.4)
    pictures = tasks_of(tmp_path)[0].images[0].pictures
    assert [shown.caption.partition("; ")[2] for shown in pictures[2:]] == [
        "",
        "",
        "of another truth than the one shown",
    ]


def test_of_several_seeds_the_first_is_shown_and_the_records_are_of_all(tmp_path):
    for folder, seed in (("1", 7), ("2", 3)):
        write_run(tmp_path / folder, "alps", ids=["a"], estimates=["mmse"], seed=seed, psnr=20.0 + seed)
    (image,) = tasks_of(tmp_path)[0].images
    assert image.pictures[-1].caption == "23.00 dB" and len(image.pictures) == 3
    assert list(image.records["Seed"]) == ["3", "7"]


def test_the_first_images_of_each_task_are_shown_and_how_many_there_are(tmp_path):
    write_run(tmp_path / "1", "alps", ids=[f"image{i}" for i in range(5)])
    write_run(tmp_path / "2", "alps", ids=["x"], task="mri")
    blur, mri = tasks_of(tmp_path, most=2)
    assert [image.image_id for image in blur.images] == ["image0", "image1"] and blur.there == 5
    assert [image.image_id for image in mri.images] == ["x"] and mri.there == 1
    text = " ".join(page_of(tmp_path, tmp_path, most=2).split())
    assert "2 of 5 images: the first ones" in text and "1 of 1 image." in text
    assert [len(task.images) for task in tasks_of(tmp_path, most=0)] == [0, 0]


def test_noise_levels_that_differ_little_are_two_tasks(tmp_path):
    for folder, noise_std in (("1", 0.05), ("2", 0.050000000001)):
        write_run(tmp_path / folder, "alps", ids=["a"], noise_std=noise_std)
    assert [(task.noise, len(task.images)) for task in tasks_of(tmp_path)] == [("0.05", 1), ("0.050000000001", 1)]


def test_a_page_has_a_largest_size(tmp_path, monkeypatch):
    write_run(tmp_path / "run", "alps", ids=[f"image{i}" for i in range(5)])
    (task,) = tasks_of(tmp_path)
    size = task.images[0].bytes
    assert len({image.bytes for image in task.images}) == 1
    for most, shown in ((1, 1), (size, 1), (3 * size, 3), (4 * size - 1, 3)):
        monkeypatch.setattr("alps_exp.report.gallery.MOST_BYTES", most)
        assert len(tasks_of(tmp_path)[0].images) == shown


def test_large_pictures_are_reduced_by_means(tmp_path, monkeypatch):
    monkeypatch.setattr("alps_exp.report.gallery.LARGEST_SIDE", 3)
    write_run(tmp_path / "run", "alps", ids=["a"])
    truth = tasks_of(tmp_path)[0].images[0].pictures[0]
    np.testing.assert_array_equal(picture(truth.source), np.full((2, 3, 3), 191))


def test_pixels_that_are_not_finite_are_no_picture(tmp_path):
    write_run(tmp_path / "map", "map", ids=["a"], estimates=["map"], error=0.25)
    write_run(tmp_path / "alps", "alps", ids=["a"], estimates=["mmse"], error=np.nan, psnr=float("nan"))
    (image,) = tasks_of(tmp_path)[0].images
    bad, good = image.pictures[2:]
    assert not bad.source and bad.caption == "failed: psnr is nan; has pixels that are not finite"
    assert list(bad.maps) == ["Standard deviation"] and good.source and list(good.maps) == ["Absolute error"]
    assert [top for _, _, top in image.scales] == ["0.25", "0.25"]


def test_only_the_selected_estimates_are_shown(tmp_path):
    write_run(tmp_path / "run", "alps", ids=["a"])
    (image,) = tasks_of(tmp_path, estimates=["mmse"])[0].images
    assert [shown.kind for shown in image.pictures] == ["", "", "mmse"] and len(image.records) == 1


@pytest.fixture
def browser(tmp_path):
    chromium = Chromium(tmp_path / "profile")
    yield chromium
    chromium.close()


TAB, ENTER, RIGHT = ("Tab", 9), ("Enter", 13, "\r"), ("ArrowRight", 39)


@pytest.mark.slow
@pytest.mark.skipif(EXECUTABLE is None, reason="no Chromium")
@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_works_by_keyboard_without_a_complaint(tmp_path, browser, width):
    for sampler, psnr in (("alps", 9.5), ("map", 21.5), ("daps", 20.0), ("x<b>", 10.25)):
        estimates = ["map"] if sampler == "map" else ["mmse"]
        write_run(tmp_path / sampler[0], sampler, ids=["a", HOSTILE], estimates=estimates, psnr=psnr, flags=["misfit"])
    page_of(tmp_path, tmp_path)
    browser.open(tmp_path / page.PAGE, width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width

    cells = "[...document.querySelectorAll('table')[0].tBodies[0].rows].map(row => row.cells[6].textContent)"
    order = browser.evaluate(cells)
    browser.evaluate("document.querySelectorAll('th')[5].querySelector('button').focus()")
    browser.press(*TAB)
    assert browser.evaluate("document.activeElement.textContent") == "PSNR [dB]"
    numbers = []
    for _ in range(3):
        browser.press(*ENTER)
        numbers.append([float(text.partition(" ")[0]) for text in browser.evaluate(cells)])
    assert numbers[0] == sorted(numbers[0]) == [9.5, 10.25, 20.0, 21.5] and numbers[1] == numbers[0][::-1]
    assert browser.evaluate(cells) == order

    assert browser.evaluate("document.querySelectorAll('.compare:not([hidden])').length") == 2
    browser.evaluate("document.querySelector('.compare input').focus()")
    for _ in range(7):
        browser.press(*RIGHT)
    assert browser.evaluate("document.querySelector('.stage').style.getPropertyValue('--cut')") == "57%"
    spoken = browser.evaluate("document.querySelector('.compare input').getAttribute('aria-valuetext')")
    assert spoken.startswith("57 % ALPS MMSE, 9.50 dB, ⚑ misfit; the rest MAP")
    browser.press(*TAB)
    browser.press("ArrowDown", 40)
    assert browser.evaluate("document.querySelector('.stage .left').src") == browser.evaluate(
        "document.querySelectorAll('.image')[0].querySelectorAll('.picture')[3].src"
    )
    assert "⚑ misfit" in browser.evaluate("document.querySelector('select.left').selectedOptions[0].textContent")
    assert browser.complaints() == []
