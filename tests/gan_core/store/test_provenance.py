"""What a manifest says an artefact was made with."""

import platform
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from gan_core.store import Build, Manifest, Store
from gan_core.store import provenance as module
from gan_core.store.provenance import commit_in_words, provenance


def make(store: Store) -> Manifest:
    def build(work: Build) -> None:
        (work.folder / "data.bin").write_bytes(b"one")

    return store.produce("thing", "p", config={}, inputs={}, code_version="1", build=build)


@pytest.fixture
def clone(tmp_path) -> Path:
    """A repository with one commit."""
    folder = tmp_path / "clone"
    folder.mkdir()
    (folder / "code.py").write_text("1")
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for arguments in (["init", "-q"], ["add", "code.py"], [*who, "commit", "-qm", "First"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    return folder


def test_a_manifest_has_it_and_no_version_stands_on_it(tmp_path, monkeypatch):
    manifest = make(Store(tmp_path / "one"))
    found = Store(tmp_path / "one").require("thing", "p").provenance
    assert found == provenance()
    assert found["packages"]["numpy"] == numpy.__version__
    assert found["packages"]["python"] == platform.python_version()
    assert found["machine"]["cores"] >= 1 and found["machine"]["memory_bytes"] > 2**20
    assert platform.node() not in str(found)
    monkeypatch.setattr("gan_core.store.store.provenance", lambda: {"commit": "other"})
    other = make(Store(tmp_path / "two"))
    assert (other.fingerprint, other.version) == (manifest.fingerprint, manifest.version)


def test_the_commit_is_named_and_whether_the_files_are_its(clone):
    clean = module._commit(clone)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=clone, capture_output=True, text=True, check=True)
    assert clean == {"commit": head.stdout.strip(), "clean": True}
    assert commit_in_words(clean) == clean["commit"][:12]
    (clone / "code.py").write_text("2")
    assert module._commit(clone)["clean"] is False
    assert commit_in_words(module._commit(clone)) == f"{clean['commit'][:12]} with changes"


def test_where_there_is_no_clone_or_no_git_there_is_no_commit(clone, tmp_path, monkeypatch):
    unknown = {"commit": None, "clean": None}
    assert module._commit(None) == unknown
    (tmp_path / "unpacked").mkdir()
    assert module._commit(tmp_path / "unpacked") == unknown
    monkeypatch.setenv("PATH", str(tmp_path))
    assert module._commit(clone) == unknown
    assert commit_in_words(unknown) is None


def test_it_is_found_without_torch():
    code = "import sys, gan_core.store.provenance as p; p.provenance(); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'torch'" not in done.stdout
    assert "'psutil'" in done.stdout
