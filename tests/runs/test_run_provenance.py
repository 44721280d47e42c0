import hashlib
import json
import subprocess
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import pytest

from alps_exp.runs import Provenance, collect_provenance
from alps_exp.runs.provenance import changed_code, check_version, code_version


@pytest.fixture
def checkout(tmp_path):
    """Return a committed package in a checkout."""
    package = tmp_path / "src" / "package"
    package.mkdir(parents=True)
    (package / "module.py").write_text("a = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first")
    return package


def git(folder, *arguments):
    done = subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_clean_checkout_has_its_commit(checkout):
    code = code_version(checkout)
    assert code["commit"] == git(checkout, "rev-parse", "HEAD")
    assert code["diff"] == code["untracked"] == ""


def test_uncommitted_changes_are_kept(checkout):
    (checkout / "module.py").write_text("a = 2\n")
    (checkout / "new.py").write_text("")
    code = code_version(checkout)
    assert "-a = 1\n+a = 2\n" in code["diff"]
    assert code["untracked"] == "new.py\n"


def test_a_checkout_that_does_not_track_the_package_is_not_its_own(checkout):
    installed = checkout.parents[1] / "site-packages" / "package"
    installed.mkdir(parents=True)
    assert set(code_version(installed)) == {"version"}


def test_without_a_checkout_the_version_stands(tmp_path):
    assert set(code_version(tmp_path)) == {"version"}


def test_what_is_collected(tmp_path):
    checkpoint = tmp_path / "teacher.safetensors"
    checkpoint.write_bytes(b"weights" * 1000000)
    found = collect_provenance(
        seeds={"seed": 3}, device="cpu", checkpoints={"teacher": checkpoint}, data_hash="abc", num_images=2
    )
    digest = hashlib.sha256(b"weights" * 1000000).hexdigest()
    assert found.checkpoints == {"teacher": {"path": str(checkpoint), "sha256": digest}}
    assert found.packages["h5py"] == version("h5py") and found.packages["torch"] == version("torch")
    assert found.seeds == {"seed": 3} and found.data == "abc" and found.end is None
    assert json.loads(json.dumps(asdict(found))) == asdict(found)


def test_the_same_commit_with_other_changes_is_other_code(checkout):
    first = collect_provenance(seeds={}, device="cpu")
    second = collect_provenance(seeds={}, device="cpu")
    first.code = code_version(checkout)
    (checkout / "module.py").write_text("a = 2\n")
    second.code = code_version(checkout)
    (phrase,) = changed_code(first, second)
    commit = first.code["commit"][:12]
    assert phrase.startswith(f"code {commit} before, {commit} with changes ")
    assert changed_code(second, second) == []


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.safetensors"):
        collect_provenance(seeds={}, device="cpu", checkpoints={"energy": tmp_path / "none.safetensors"})


def test_a_value_of_another_type_is_named_and_a_version_of_many_digits_is_one():
    values = vars(collect_provenance(seeds={}, device="cpu"))
    for name, value in (("command", ["alps", 7]), ("seeds", {"seed": "0"}), ("checkpoints", {"energy": {"sha256": 7}})):
        with pytest.raises(TypeError, match=f"{name} is of type"):
            Provenance(**values | {name: value})
    check_version(Path("run"), Provenance(**values | {"code": {"version": "9" * 10_000}}))
