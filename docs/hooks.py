"""What MkDocs does before it builds: pages from the code and from `experiments/`, and links between all of them.

The reference of config keys is made of what `alps VERB --help` shows, that of the API of what each room exports.
"""

from __future__ import annotations

import ast
import logging
import posixpath
import re
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import TypeAlias

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))
SOURCE = ROOT / "src" / "alps_exp"
CONF = ROOT / "conf"
ELSEWHERE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "experiments/baselines/README.md": "results/baselines.md",
    "experiments/bench/README.md": "results/cost.md",
    "experiments/calibration/CLOSED_FORM.md": "results/closed_form.md",
    "experiments/calibration/README.md": "results/calibration.md",
    "experiments/calibration/closed_form.png": "results/closed_form.png",
    "experiments/calibration/shipped.png": "results/shipped.png",
    "experiments/conformal/README.md": "results/conformal.md",
    "experiments/deblurring/README.md": "results/deblurring.md",
    "experiments/distillation/README.md": "results/distillation.md",
    "experiments/gpu/README.md": "results/gpu.md",
    "experiments/gpu/RESULTS.md": "results/gpu_results.md",
    "experiments/inpainting/README.md": "results/inpainting.md",
    "experiments/intervals/README.md": "results/intervals.md",
    "experiments/map/README.md": "results/map.md",
    "experiments/modes/README.md": "results/modes.md",
    "experiments/mri/README.md": "results/mri.md",
    "experiments/mri/REGULARIZATION.md": "results/regularization.md",
    "experiments/mri/SOLVES.md": "results/solves.md",
    "experiments/paper/README.md": "results/paper.md",
}
"""Pages and pictures that stand outside `docs/`, and where they are in the documentation."""

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
ROOMS = (
    "operators",
    "samplers",
    "priors",
    "reconstruction",
    "masks",
    "datasets",
    "mri",
    "restoration",
    "evaluation",
    "training",
    "networks",
    "checkpoints",
    "runs",
    "report",
)
Nav: TypeAlias = "list[dict[str, Nav | str] | str]"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the API into the navigation."""
    pages: Nav = [{"alps_exp": "reference/api/alps_exp.md"}, *({room: f"reference/api/{room}.md"} for room in ROOMS)]
    for section in config.nav or ():
        for i, entry in enumerate(section.get("Reference", ())):
            if entry == {"API": "api"}:
                section["Reference"][i] = {"API": pages}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made, and those that stand elsewhere."""
    for source, uri in ELSEWHERE.items():
        path = ROOT / source
        if path.exists():
            content = path.read_bytes() if path.suffix == ".png" else path.read_text()
            files.append(File.generated(config, uri, content=content))
    files.append(File.generated(config, "reference/api/alps_exp.md", content=_api("alps_exp", SOURCE)))
    for room in ROOMS:
        page = _api(f"alps_exp.{room}", SOURCE / room)
        files.append(File.generated(config, f"reference/api/{room}.md", content=page))
    verbs, choices = _config_pages()
    files.append(File.generated(config, "reference/config.md", content=verbs))
    files.append(File.generated(config, "reference/choices.md", content=choices))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages; what is no page is named instead."""
    uri = page.file.src_uri
    source = next((path for path, at in ELSEWHERE.items() if at == uri), f"docs/{uri}")

    def linked(found: re.Match[str]) -> str:
        image, text, target, anchor = found[1], found[2], found[3], found[4] or ""
        if not target or ":" in target:
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        place = ELSEWHERE.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        if place is not None and files.get_file_from_path(place) is not None:
            return f"{image}[{text}]({posixpath.relpath(place, posixpath.dirname(uri) or '.')}{anchor})"
        if not (ROOT / path).exists():
            logging.getLogger("mkdocs.hooks").warning("%s links to %s, which is not there", source, path)
        return f"{text} (`{path}`)" if path not in text else text

    return LINK.sub(linked, markdown)


def _api(module: str, folder: Path) -> str:
    """Return the page of what a room exports."""
    from alps_exp.config.docstrings import find

    tree = ast.parse((folder / "__init__.py").read_text())
    names = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    summary = (ast.get_docstring(tree) or "").partition("\n\n")[0]
    blocks = [f"::: {module}.{name}" for name in sorted(names) if find(f"{module}.{name}")]  # classes and functions
    rooms = [f"[`{room}`]({room}.md)" for room in ROOMS] if module == "alps_exp" else []
    return "\n\n".join([f"# `{module}`", summary, *([f"Rooms: {', '.join(rooms)}."] if rooms else []), *blocks]) + "\n"


def _config_pages() -> tuple[str, str]:
    """Return the page of the verbs with their keys, and that of the choices of each group with theirs."""
    from hydra import compose, initialize_config_dir
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import DictConfig

    from alps_exp.cli import main  # noqa: F401 - registers what the configs refer to
    from alps_exp.cli.composition import composed_once
    from alps_exp.cli.help import Key, groups_of, keys_of
    from alps_exp.cli.verbs import VERBS
    from alps_exp.config.docstrings import examples

    def composed(verb: str, *words: str) -> DictConfig:
        config = compose(verb, [*words], return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        return config

    def rows(keys: list[Key]) -> Iterator[str]:
        yield from ("| key | default | |", "|---|---|---|")
        yield from (f"| `{key.name}` | {_code(key.default)} | {_cell(key.description)} |" for key in keys)

    verbs = ["# Config keys", _CONFIG_INTRODUCTION]
    shown: dict[str, tuple[str, list[str]]] = {}
    with initialize_config_dir(str(CONF), version_base="1.3"), composed_once([]):
        for verb, purpose in VERBS.items():
            config = composed(verb)
            groups = groups_of(config)
            sections = {group.partition("@")[2] or group for group in groups}
            own = [key for key in keys_of(config) if key.name.partition(".")[0] not in sections]
            verbs += [f"## alps {verb}", f"{purpose[0].upper()}{purpose[1:]}."]
            verbs += ["\n".join(["```text", *examples(f"alps_exp.cli.{verb}.{verb}"), "```"])]
            if groups:
                links = [f"[`{group}`](choices.md#{_anchor(group)})" for group in groups]
                verbs += [f"Groups: {', '.join(links)}."]
            verbs += ["\n".join(rows(own))]
            for group, names in groups.items():
                shown.setdefault(group, (verb, names))
        choices = [
            "# Choices of each group",
            "A choice is made by `GROUP=CHOICE`; its keys are set by `GROUP.KEY=VALUE`.",
        ]
        for group, (verb, names) in shown.items():
            choices.append(f"## {group} {{ #{_anchor(group)} }}")
            for name in names:
                choices += [f"### {group}={name}", _comment(CONF / group.partition("@")[0] / f"{name}.yaml")]
                if group.partition("@")[0] in ("experiment", "debug"):
                    continue
                word = f"{group}=[{name}]" if group.startswith("callbacks") else f"{group}={name}"
                section = group.partition("@")[2] or group
                keys = [key for key in keys_of(composed(verb, word)) if key.name.startswith(f"{section}.")]
                if keys:
                    choices.append("\n".join(rows(keys)))
    return "\n\n".join(verbs) + "\n", "\n\n".join(choices) + "\n"


_CONFIG_INTRODUCTION = """This page is made of what `alps VERB --help` shows; `alps VERB GROUP=CHOICE --help` shows the
keys of a choice in a terminal. `KEY=VALUE` sets a key, `+KEY=VALUE` adds one where that is allowed, and `-m KEY=A,B`
runs a job for each value. Every key and type is checked before anything runs."""


def _anchor(group: str) -> str:
    return re.sub(r"\W+", "-", group)


def _comment(path: Path) -> str:
    """Return the comment at the top of a config."""
    lines = takewhile(lambda line: line.startswith("#"), path.read_text().splitlines())
    return _cell(" ".join(line.lstrip("# ") for line in lines).removeprefix("@package _global_").strip())


def _code(value: object) -> str:
    if value is None or isinstance(value, bool):
        return f"`{ {None: 'null', True: 'true', False: 'false'}[value] }`"
    text = str(value).replace("|", "\\|").replace("\n", " ")
    return f"`{text}`" if text else ""


def _cell(text: str) -> str:
    return re.sub(r"([<>*_|])", r"\\\1", text)
