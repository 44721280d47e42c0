"""The pages of the documentation: their commands are right, their snippets run, their links lead somewhere."""

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from alps_exp.cli import main as command

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text() for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
}
FENCE = re.compile(r"^```(\w+)(?: title=\"(.+?)\")?\n(.*?)^```$", re.M | re.S)
PLANNING = ("restore", "calibrate", "train", "distill")
"""Verbs that say with dry_run=true what they would do, which needs none of their files."""


def blocks(page, *languages):
    """Return title and code of the blocks of a page in some languages."""
    return [(title, code) for language, title, code in FENCE.findall(PAGES[page]) if language in languages]


def commands(page):
    """Yield the commands `alps ...` in the console blocks of a page, with its variables put in."""
    variables = {}
    for _, code in blocks(page, "console"):
        for line in code.replace("\\\n", " ").splitlines():
            if set_variable := re.match(r'(\w+)="(.*)"$', line):
                variables[set_variable[1]] = set_variable[2]
                continue
            for name, value in variables.items():
                line = re.sub(rf"\${name}\b", lambda _, value=value: value, line)
            words = shlex.split(line, comments=True)
            if words[:1] == ["alps"]:
                yield words[1:]


CONSOLE = [(page, words) for page in PAGES for words in commands(page)]
OWN = (
    "hydra.searchpath",
    "--config-dir",
    "--from",
)  # need a package or a run: tests/cli/test_own_package.py, test_rerun.py


def can_be_planned(words):
    return words[0] in PLANNING and not any(word.startswith(OWN) for word in words)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "words"), [case for case in CONSOLE if can_be_planned(case[1])], ids=lambda x: str(x)[:60]
)
def test_a_command_that_is_not_run_is_one_that_would_be(page, words, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["alps", *words, "dry_run=true"])
    with pytest.raises(SystemExit) as stop:
        command.main()
    assert stop.value.code == 0, f"{page}: {capsys.readouterr().err}"


def test_console_blocks_are_looked_at():
    assert len(CONSOLE) > 40 and sum(can_be_planned(words) for _, words in CONSOLE) > 30


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "sh", "python")])
def test_the_snippets_of_a_page_run_in_their_order(page, tmp_path):
    alps = tmp_path / "bin" / "alps"
    alps.parent.mkdir()
    alps.write_text(f'#!/bin/sh\nexec {sys.executable} -m alps_exp "$@"\n')
    alps.chmod(0o755)
    script = [
        f"set -e; export PATH={alps.parent}:$PATH PYTHONPATH={ROOT / 'src'}:$PYTHONPATH",
        f'python() {{ {sys.executable} "$@"; }}',
    ]
    for language, title, code in FENCE.findall(PAGES[page]):
        if title:
            script.append(f"cat > {shlex.quote(title)} <<'END'\n{code}END")
        elif language == "python":
            script.append(f"{sys.executable} - <<'END'\n{code}END")
        elif language == "sh":
            script.append(code)
    work = tmp_path / "work"
    work.mkdir()
    run = subprocess.run(["bash", "-c", "\n".join(script)], cwd=work, capture_output=True, text=True, timeout=580)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-4000:]


def anchors(text):
    """Return the anchors of the headings of a page, as MkDocs and GitHub make them of plain titles."""
    found = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.M)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title.replace("`", "")).strip().lower()) for title in found}


GENERATED = ("reference/config.md", "reference/choices.md", "reference/api/")
"""Pages that docs/hooks.py makes; `make docs` checks links to these."""


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page):
    folder = (ROOT / page).parent
    for target, anchor in re.findall(r"\]\(([^)\s#:]*)(?:#([^)\s]*))?\)", FENCE.sub("", PAGES[page])):
        path = (folder / target).resolve() if target else ROOT / page
        if not path.exists() and page != "README.md":
            assert path.relative_to(ROOT / "docs").as_posix().startswith(GENERATED), f"{page}: {target}"
            continue
        assert path.exists(), f"{page}: {target}"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path.read_text()), f"{page}: {target}#{anchor}"


def test_every_sampler_and_operator_has_its_row():
    for group in ("sampler", "operator"):
        page = PAGES[f"docs/reference/{group}s.md"]
        named = set(re.findall(r"`([\w.]+)`", page))
        missing = [path.stem for path in (ROOT / "conf" / group).glob("*.yaml") if path.stem not in named]
        endings = tuple(name.removeprefix("...") for name in named if name.startswith("..."))
        assert [name for name in missing if not name.endswith(endings or "/")] == []


def texts_of_the_code():
    """Return every text in the source, with those of a formatted one in pieces."""
    trees = (ast.parse(path.read_text()) for path in (ROOT / "src").rglob("*.py"))
    return "\n".join(
        n.value for t in trees for n in ast.walk(t) if isinstance(n, ast.Constant) and isinstance(n.value, str)
    )


def test_messages_are_those_of_the_code():
    texts = texts_of_the_code()
    page = PAGES["docs/troubleshooting.md"].partition("## Flags")[0]
    messages = re.findall(r"^\| `(.+?)`", page, re.M)
    pieces = [piece.strip(" :=") for message in messages for piece in message.split("...")]
    assert len(messages) > 30 and [piece for piece in pieces if piece not in texts] == []
