"""The lines of the Dockerfile, run in a clean folder and a new environment, where no container engine is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def instructions():
    """Return the instructions of the Dockerfile with what follows them."""
    lines = (line.strip() for line in (ROOT / "Dockerfile").read_text().splitlines())
    return [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]


@pytest.mark.slow
def test_its_lines_run(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    hidden = ("PYTHONPATH", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment["PATH"] = f"{tmp_path / 'venv' / 'bin'}:{environment['PATH']}"
    folder = tmp_path / "root"

    def run(line, at):
        done = subprocess.run(["sh", "-c", line], cwd=at, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    for instruction, rest in instructions():
        if instruction == "WORKDIR":
            folder = tmp_path / "root" / rest.lstrip("/")
            folder.mkdir(parents=True)
        elif instruction == "COPY":
            assert rest == ". ."
            run(f"git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t '{folder}'", ROOT)
        elif instruction == "RUN":
            run(rest, folder)
        elif instruction == "ENTRYPOINT":
            assert "alps VERB" in run("alps --help", folder)
        else:
            assert instruction == "FROM" and rest.startswith("python:3.")
