r"""Tables in LaTeX: what they say, and that TeX takes them."""

import re
import shutil
import subprocess

import pandas as pd
import pytest
from test_report_table import make_run, record

from alps_exp.report import build_table, to_latex, to_markdown
from alps_exp.report.latex import latex_table, latex_text
from alps_exp.report.layout import DisplayTable


@pytest.fixture
def table(tmp_path):
    make_run(tmp_path / "runs" / "a", [record("a", spread=0.1, error=0.3), record("b", psnr=24.0)])
    make_run(tmp_path / "runs" / "b", [record("a", "map", "map", task="x|y_z", num_samples=1, flags=["misfit"])])
    return build_table([tmp_path / "runs"])


def body(latex):
    """Return the cells of all rows, and the lines between them."""
    lines = latex[latex.index(r"\toprule") : latex.index(r"\end{tabular}")].splitlines()
    return [line.removesuffix(r" \\").split(" & ") if line.endswith(r"\\") else [line] for line in lines]


def test_rows_say_what_markdown_says_in_groups_by_task(table):
    shown = to_markdown(table).splitlines()
    first, second = ([cell.strip() for cell in line.replace(r"\|", "!").strip("|").split(" | ")] for line in shown[2:4])
    _, head, _, of_blur, blur, _, of_other, other, _ = body(to_latex(table))
    assert len(head) == len(blur) == len(other) == 10
    assert of_blur == [r"\multicolumn{10}{@{}l}{\textit{blur}, noise 0.05}"]
    assert of_other == [r"\multicolumn{10}{@{}l}{\textit{x\textbar{}y\_z}, noise 0.05}"]
    assert [cell.replace(r"$\pm$", "±") for cell in blur] == first[2:-1]
    assert other == [r"map\textsuperscript{1}", *second[3:-1]] and second[-1] == "flagged [1]"
    assert r"\textsuperscript{1}~1 of 1 estimates flagged (misfit)." in to_latex(table)


def test_a_label_and_a_caption_are_there(table):
    latex = to_latex(table)
    assert latex.count(r"\begin{table}") == latex.count(r"\end{table}") == 1
    assert r"\label{tab:restoration}" in latex and r"\caption{Restored images: means $\pm$ standard" in latex


def test_a_long_table_comes_in_parts_that_keep_groups_together():
    rows = [("blur", f"a{i}") for i in range(25)] + [("mri", f"b{i}") for i in range(25)] + [("new", "c [2]")]
    displayed = DisplayTable(pd.DataFrame(rows, columns=["Task", "Sampler"]), "Many.", ["unused", "a remark"])
    first, second = latex_table(displayed, "many").split(r"\end{table}")[:2]
    assert "a24" in first and "b0" not in first and "a remark" not in first
    assert (
        "b24" in second
        and "~a remark." in second
        and "unused" not in second
        and r"\label{tab:many-2}" in second
        and "Part 2 of 2" in second
    )


def test_a_group_of_more_rows_than_a_page_has_lines_is_cut():
    displayed = DisplayTable(pd.DataFrame({"Task": ["a"] * 90, "Sampler": [f"s{i}" for i in range(90)]}), "Many.")
    parts = latex_table(displayed, "many").split(r"\end{table}")[:-1]
    assert [part.count(r"\multicolumn") for part in parts] == [1, 1, 1]
    assert sorted(re.findall(r"^s(\d+)", "".join(parts), re.MULTILINE), key=int) == [str(i) for i in range(90)]


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("a_b & 100 % #1 $x$ {y} ~ ^", r"a\_b \& 100 \% \#1 \$x\$ \{y\} \textasciitilde{} \textasciicircum{}"),
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("[-1, 2]*", "{[}-1, 2]{*}"),
        ("**1.0 ± 2.0**", r"\textbf{1.0 $\pm$ 2.0}"),
        ("**1.0** [12]", r"\textbf{1.0}\textsuperscript{12}"),
        ("<a|b>", r"\textless{}a\textbar{}b\textgreater{}"),
        ("Čapek 漢 α", "Čapek U+6F22 U+03B1"),
    ],
)
def test_names_are_text_in_latex(text, latex):
    assert latex_text(text) == latex


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex")
def test_tex_takes_every_table_and_twelve_rows_fit_a_page(tmp_path):
    names = ["alps", "[x]", "*y", "a_b\\input{no}", "漢字αβ", "".join(map(chr, range(0xA1, 0x180))), "100 % & ^~#$"]
    names += ["--", "“q” ‘r’ … – —", '"', "`", "'"]
    for i, name in enumerate(names):
        flags = ["misfit"] if i % 2 else []
        make_run(tmp_path / str(i), [record("a", "map", name, flags=flags), record("b", "map", name, psnr=25.0)])
    table = build_table([tmp_path])
    assert len(table) == 12
    (tmp_path / "table.tex").write_text(to_latex(table))
    head = (
        r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}\input{table.tex}\ref{tab:restoration}"
    )
    (tmp_path / "document.tex").write_text(head + r"\end{document}")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "(1 page," in done.stdout and "Overfull" not in done.stdout and "Missing character" not in done.stdout


def test_a_table_without_rows_is_a_table():
    latex = latex_table(DisplayTable(pd.DataFrame({"Task": [], "Sampler": []}, dtype=str), "None."), "none")
    assert [line for line in latex.splitlines() if "rule" in line] == [r"\toprule", r"\midrule", r"\bottomrule"]
