"""The installed package: built, installed beside the dependencies, and used from an empty folder."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from tests.small_project import DATASET, EXPERIMENT, write_config

REPOSITORY = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
pytestmark = pytest.mark.slow


def run(command: list, folder: Path, status: int = 0, **environment: str) -> str:
    """What the command prints on standard output, or on standard error where it fails."""
    hidden = ("PYTHONPATH", "GAN_STORE", "GAN_CONFIGS")
    clean = {name: value for name, value in os.environ.items() if name not in hidden}
    result = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == status, result.stdout + result.stderr
    return result.stderr if status else result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    for package in ("gan_core", "assets", "pipelines"):
        shutil.copytree(REPOSITORY / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index", "--no-build-isolation"]
    run([*build, "--wheel-dir", built, source], source)
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def gan_core(wheel, tmp_path_factory) -> Path:
    """The console command of an environment that has the wheel, and sees what this one has installed."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel], folder
    )
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "shared.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin" / "gan-core"


def test_the_wheel_holds_the_library_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].removesuffix(f"-{PROJECT['version']}.dist-info") for name in names} == {
        "gan_core",
        "gan_pipelines",
    }
    assert any(name.endswith(".html") for name in names)


def test_the_command_says_its_version(gan_core, tmp_path):
    expected = f"gan-core {PROJECT['version']}"
    assert run([gan_core, "--version"], tmp_path).strip() == expected
    as_module = [gan_core.parent / "python", "-m", "gan_core", "--version"]
    assert run(as_module, tmp_path).strip() == expected


def test_every_step_runs_from_an_empty_folder(gan_core, tmp_path):
    write_config(tmp_path / "settings", DATASET)
    write_config(tmp_path / "settings", EXPERIMENT)
    folder = tmp_path / "empty"
    folder.mkdir()
    places = {"GAN_CONFIGS": str(tmp_path / "settings"), "GAN_STORE": str(tmp_path / "results")}
    made = {
        line: json.loads(run([gan_core, *line.split()], folder, **places))
        for line in (
            "shard few-digits",
            "reference few-digits",
            "train plain",
            "sample plain",
            "evaluate plain",
            "report",
        )
    }
    assert made["report"]["figures"]["experiments"] == 1
    assert made["evaluate plain"]["figures"]["fid"] > 0
    assert all(item["path"].startswith(str(tmp_path / "results")) for item in made.values())
    assert list(folder.iterdir()) == []


def test_a_new_user_begins_with_the_starters(gan_core, tmp_path):
    told = run([gan_core, "train", "mine"], tmp_path, status=2)
    assert "new dataset" in told and "new experiment" in told
    assert "digits.yaml" in run([gan_core, "new", "dataset", "digits"], tmp_path)
    run([gan_core, "new", "experiment", "mine", "--dataset", "digits"], tmp_path)
    assert (tmp_path / "configs" / "datasets" / "digits.yaml").exists()
    assert (tmp_path / "configs" / "experiments" / "mine.yaml").exists()
    told = run([gan_core, "train", "mine"], tmp_path, status=2)
    assert "there is no store at" in told and "shard" in told  # and the configuration is read
    assert not (tmp_path / "store").exists()
