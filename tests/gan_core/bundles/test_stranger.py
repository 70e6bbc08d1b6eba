"""Who has a bundle and a clone of the project, and nothing else: no store, no configurations, no packages."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gan_core.bundles.small_bundle import flip

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def stranger(exported, tmp_path_factory):
    """Runs a command of another checkout in an empty folder, with a fresh environment of the bundle's
    `requirements.txt`."""
    folder = tmp_path_factory.mktemp("stranger")
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        pytest.skip("uv is not installed")
    shutil.copytree(REPOSITORY / "gan_core", folder / "checkout" / "gan_core")
    shutil.copy(REPOSITORY / "pyproject.toml", folder / "checkout")
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    install = [uv, "pip", "install", "-q", "--python", python, "-r", exported / "requirements.txt"]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the packages cannot be had here: {done.stderr.strip().splitlines()[:1]}")
    (folder / "empty").mkdir()
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(folder / "checkout")

    def run(*arguments) -> subprocess.CompletedProcess:
        command = [python, "-m", "gan_core", *map(str, arguments)]
        return subprocess.run(
            command, cwd=folder / "empty", env=environment, capture_output=True, text=True, check=False
        )

    yield run
    assert list((folder / "empty").iterdir()) == []


@pytest.mark.slow
def test_a_stranger_verifies_a_bundle_in_an_empty_folder(stranger, exported, tmp_path):
    done = stranger("verify", exported)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["agrees"] and told["notes"] == [] and len(told["figures"]) > 20
    drawn = stranger("sample", exported, "--out", tmp_path / "grid.png")
    assert drawn.returncode == 0 and (tmp_path / "grid.png").stat().st_size > 1000


@pytest.mark.slow
def test_a_stranger_finds_one_changed_bit(stranger, bundle):
    flip(bundle / "generator.onnx")
    done = stranger("verify", bundle)
    assert done.returncode == 1
    assert list(json.loads(done.stdout)["damages"]) == ["generator.onnx"]
    assert "damaged: generator.onnx has changed" in done.stderr


@pytest.mark.slow
def test_a_stranger_makes_the_images_and_measures_against_them(stranger, exported, tmp_path):
    made = stranger("shard", "few-digits", "--configs", exported / "configs", "--store", tmp_path / "store")
    assert made.returncode == 0, made.stderr
    done = stranger("verify", exported, "--store", tmp_path / "store")
    assert done.returncode == 0, done.stderr
    assert {row["agreement"] for row in json.loads(done.stdout)["figures"]} == {"exact"}
