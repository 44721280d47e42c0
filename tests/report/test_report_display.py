"""What of a table is displayed: columns, metrics, digits, and remarks as notes."""

import pandas as pd
import pytest
from test_report_table import make_run, record

from alps_exp.report import build_table, check_display, display_table, for_terminal, overview, to_markdown, write_tables


@pytest.fixture
def table(tmp_path):
    """Return four rows: two estimates by ALPS, a flagged one by MAP, and one by DAPS that lacks an image."""
    of_alps = [
        record(i, estimate, psnr=psnr) for i, psnr in (("a", 20.0), ("b", 24.0)) for estimate in ("sample", "mmse")
    ]
    make_run(tmp_path / "alps", of_alps)
    make_run(tmp_path / "map", [record(i, "map", "map", num_samples=1, flags=["convergence"]) for i in "ab"])
    make_run(tmp_path / "daps", [record("a", sampler="daps"), record("b", sampler="daps").failed("energy is nan")])
    return build_table([tmp_path])


def test_columns_are_those_that_are_asked_for_in_their_order(table):
    texts = display_table(table, ["psnr", "sampler", "calls"]).texts
    assert list(texts) == ["PSNR [dB]", "Sampler", "Calls"]
    assert list(texts["Sampler"]) == ["alps", "alps", "map", "daps"] and list(texts["Calls"]) == ["50+50"] * 4
    assert list(display_table(table, "lpips").texts) == ["LPIPS"]


def test_metrics_are_those_that_are_asked_for_in_their_order(table):
    titles = list(display_table(table, metrics=["ssim", "psnr"]).texts)
    assert titles[5:9] == ["Samples", "SSIM", "PSNR [dB]", "Spread/error"]
    assert list(display_table(table).texts)[6:10] == ["PSNR [dB]", "SSIM", "NMSE", "Spread/error"]
    assert "LPIPS" in display_table(table.assign(lpips=0.5)).texts


def test_a_remark_is_a_note_and_the_word_in_its_place_says_what_kind(table):
    displayed = display_table(table)
    assert list(displayed.texts["Status"]) == ["ok", "ok", "flagged [1]", "incomplete [2]"]
    assert displayed.notes == [
        "2 of 2 estimates flagged (convergence)",
        "1 of 2 failed (energy is nan); other images than alps (1 of 2 in common)",
    ]


def test_rows_with_one_remark_share_its_note(tmp_path):
    for sampler in ("alps", "daps"):
        make_run(tmp_path / sampler, [record("a", sampler=sampler, flags=["misfit"])])
    displayed = display_table(build_table([tmp_path]))
    assert list(displayed.texts["Status"]) == ["flagged [1]"] * 2 and len(displayed.notes) == 1


@pytest.mark.parametrize(
    ("columns", "marked"),
    [(["task", "psnr"], "PSNR [dB]"), (["sampler", "psnr"], "Sampler"), (["noise_std"], "Noise"), ("task", "Task")],
)
def test_no_choice_of_columns_hides_a_flag(table, columns, marked):
    displayed = display_table(table, columns)
    assert [cell.rpartition(" ")[2] for cell in displayed.texts[marked][2:]] == ["[1]", "[2]"]
    assert not displayed.texts[marked][:2].str.contains("[", regex=False).any() and len(displayed.notes) == 2


def test_a_file_for_programs_has_all_columns_and_digits(table, tmp_path):
    write_tables(table, tmp_path, display_table(table, ["sampler"]))
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "table.csv"), table, check_dtype=False, rtol=1e-14)
    assert (tmp_path / "table.md").read_text().startswith("| Sampler  |\n")


@pytest.mark.parametrize(
    ("columns", "metrics", "message"),
    [
        (["smapler"], None, "columns is smapler, expected some of task, noise_std"),
        (["psnr", "psnr"], None, "columns is psnr, psnr, .* each once"),
        ([], None, "columns is empty"),
        (None, "psn", "metrics is psn, expected some of psnr, ssim, nmse, lpips"),
        (None, ["calls"], "metrics is calls"),
        (["psnr"], ["ssim"], "columns has psnr, which metrics leaves out"),
    ],
)
def test_unknown_names_are_refused_before_anything_is_read(columns, metrics, message):
    with pytest.raises(ValueError, match=message):
        check_display(columns, metrics)


def test_columns_that_need_something_say_so(table):
    with pytest.raises(ValueError, match="give paper=FILE"):
        display_table(table, ["paper_ssim"])
    with pytest.raises(ValueError, match="give reference=SAMPLER"):
        display_table(table, ["difference"])


@pytest.mark.parametrize(
    ("levels", "shown"),
    [
        ((0.050000000001, 0.02), ["0.02", "0.05"]),
        ((0.05, 0.050000000001), ["0.05", "0.050000000001"]),
        ((1, 2.0), ["1", "2"]),
    ],
)
def test_noise_levels_have_four_digits_or_as_many_as_tell_them_apart(tmp_path, levels, shown):
    for i, level in enumerate(levels):
        make_run(
            tmp_path / str(i), [record("a", noise_std=level)], config={"operator": {"noise_std": level}, "seed": 0}
        )
    assert list(display_table(build_table([tmp_path])).texts["Noise"]) == shown


def test_a_caption_explains_the_columns_that_are_there(table):
    assert "Bold" not in display_table(table, ["sampler", "seconds"]).caption
    assert "forward passes" in display_table(table).caption and "spread-skill" in display_table(table).caption


def test_a_name_keeps_its_spelling(tmp_path):
    make_run(tmp_path / "run", [record("a", sampler="My_Sampler-v2")])
    assert "| My_Sampler-v2 |" in to_markdown(build_table([tmp_path]))


def test_the_overview_has_a_line_a_task_and_a_column_a_sampler_with_the_remarks(table):
    brief = overview(table)
    line = {"Task": "blur", "Noise": "0.05", "alps": "**22.00 ± 2.83**", "map": "20.00 ± 0.00 [1]", "daps": "20.00 [2]"}
    assert brief.texts.to_dict("records") == [line]
    assert brief.notes == display_table(table).notes
    other = table.assign(task="other")[table["sampler"] == "alps"]
    both = overview(pd.concat([table, other], ignore_index=True)).texts
    assert list(both["map"]) == ["20.00 ± 0.00 [1]", "-"] and list(both["Task"]) == ["blur", "other"]
    assert overview(pd.concat([table, table])) is None


def test_a_long_table_is_printed_as_its_overview_if_it_has_one(table):
    tasks = [table.assign(task=f"task{number}") for number in range(7)]
    long = pd.concat(tasks, ignore_index=True)
    assert len(long) == 28
    printed = for_terminal(long, display_table(long)).splitlines()
    assert sum(line.startswith("| task") for line in printed) == 7 and "All 28 rows" in printed[-1]
    short = pd.concat(tasks[:6], ignore_index=True)
    assert for_terminal(short, display_table(short)) == to_markdown(short)
    seeds = pd.concat([long, long], ignore_index=True)
    assert for_terminal(seeds, display_table(seeds)) == to_markdown(seeds)
