"""Tables and figures of names that somebody else chose are safe to open."""

import io

import numpy as np
import pandas as pd
import pytest

from alps_exp.report import volume_metrics
from alps_exp.report.latex import latex_table
from alps_exp.report.layout import DisplayTable, csv_table, markdown_table
from alps_exp.report.panels import FONT
from alps_exp.report.plots import label_axes, open_plots

FORMULAS = ["=HYPERLINK(A1)", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_of_a_csv_file_is_a_formula(text):
    table = pd.DataFrame({"sampler": [text], "psnr": [-3.25], "noise_std": ["-"]})
    found = pd.read_csv(io.StringIO(csv_table(table)))
    assert found["sampler"][0] == "'" + text.replace("\t", " ").replace("\r", " ")
    assert list(found.loc[0, ["psnr", "noise_std"]]) == [-3.25, "-"]


def test_names_are_text_in_markdown():
    names = ["<script>alert(1)</script>", "[free](http://evil)", "a|b", "two\nlines"]
    lines = markdown_table(DisplayTable(pd.DataFrame({"name": names}), "Names")).splitlines()
    assert len(lines) == 2 + len(names)
    assert "&lt;script&gt;" in lines[2] and "<" not in lines[2]
    assert "](" not in lines[3] and lines[4].count("|") - lines[4].count(r"\|") == 2 and "two lines" in lines[5]


@pytest.mark.parametrize("name", ["$x^2$", "$\\frac{1}{", "a$b$c", "$"])
def test_names_are_text_in_figures(name):
    """What is no formula of TeX would end the figure with an error, what is one would hide the name."""

    def drawn(write):
        figure, axes = open_plots(1, 1, height=1)
        write(axes[0, 0])
        figure.canvas.draw()
        return np.asarray(figure.canvas.buffer_rgba())

    def literally(axis):
        label_axes(axis, "", "", "")
        axis.set_title(name.replace("$", r"\$"), loc="left", fontsize=FONT, parse_math=True)

    np.testing.assert_array_equal(drawn(lambda axis: label_axes(axis, name, "", "")), drawn(literally))


def test_names_are_short_and_printable_wherever_they_are_shown():
    table = pd.DataFrame({"task": ["a\x1b[2J\ud800" + "t" * 5000], "\ud800": ["b"]})
    shown = DisplayTable(table, "Names")
    axis = open_plots(1, 1, height=1)[1][0, 0]
    label_axes(axis, table["task"][0], "", "")
    title = axis.get_title(loc="left")
    replaced = "a\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}tt"
    assert replaced in markdown_table(shown) and replaced in title
    assert "aU+FFFD{[}2JU+FFFDtt" in latex_table(shown, "names")
    for text in (markdown_table(shown), latex_table(shown, "names"), title):
        assert len(text) < 2000 and text.replace("\n", "").isprintable()
    assert csv_table(table).count("t") > 5000
    csv_table(table).encode()


def test_volumes_of_nothing_have_numbers_all_the_same():
    slices = [{"pixels": 0, "squared_error": 10**308, "squared_reference": 0, "ssim": 1}] * 2
    assert np.isinf(list(volume_metrics(slices).values())).tolist() == [True, False, True]
