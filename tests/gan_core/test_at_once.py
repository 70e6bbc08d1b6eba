"""The same command three times at once: real processes of `gan-core`, of which one does the work."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from gan_core.store import Store
from tests.gan_core.data.conftest import encoded
from tests.small_project import DATASET, EXPERIMENT, write_config

AT_ONCE = 3
PATIENCE = 600  # seconds


@pytest.fixture
def project(tmp_path) -> Path:
    write_config(tmp_path / "configs", DATASET)
    write_config(tmp_path / "configs", EXPERIMENT)
    return tmp_path


def start(project: Path, *arguments: str, **environment: str) -> subprocess.Popen:
    places = {"GAN_CONFIGS": str(project / "configs"), "GAN_STORE": str(project / "store")}
    return subprocess.Popen(
        [sys.executable, "-m", "gan_core", *arguments],
        env={**os.environ, **places, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def at_once(project: Path, *arguments: str) -> list[bool]:
    """Run the command several times at once; of each, whether it says that it reused what was there."""
    processes = [start(project, *arguments) for _ in range(AT_ONCE)]
    reused = []
    for process in processes:
        output, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
        reused.append(json.loads(output)["reused"])
    return sorted(reused)


def made(project: Path, asset: str, partition: str) -> dict[str, str]:
    store = Store(project / "store")
    manifest = store.require(asset, partition)
    assert store.problems(manifest, hashes=True) == []
    return {name: entry.sha256 for name, entry in manifest.files.items() if entry.counts}


@pytest.mark.slow
def test_every_command_does_its_work_once(project, tmp_path_factory):
    alone = tmp_path_factory.mktemp("alone")
    (alone / "configs").symlink_to(project / "configs")
    commands = [
        ("shard", "few-digits", "image_shards"),
        ("reference", "few-digits", "reference_statistics"),
        ("train", "plain", "trained_gan"),
        ("sample", "plain", "samples"),
        ("evaluate", "plain", "evaluation"),
    ]
    for command, name, asset in commands:
        assert at_once(project, command, name) == [False, True, True], command
        assert start(alone, command, name).wait(PATIENCE) == 0
        assert made(project, asset, name) == made(alone, asset, name)
        if command != "train":  # which would train three times, one after the other
            assert False in at_once(project, command, name, "--force"), command
    assert list((project / "store").rglob("*lease-*")) == []
    attempts = [path for path in (project / "store").glob("*/*/*/files-*") if path.is_dir()]
    assert len(attempts) == len({path.parent for path in attempts})


def test_no_process_is_left_of_a_killed_shard_command(project):
    """`kill -9` reaches the command alone; its workers end with it."""
    write_config(project / "configs", large_images(project / "images"))
    process = start(project, "shard", "large")
    until = time.monotonic() + PATIENCE
    while not list((project / "store").rglob("*.tar.json")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.05)
    started = psutil.Process(process.pid).children(recursive=True)
    assert len(started) >= 2
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(started, timeout=20)
    assert alive == []


def large_images(folder: Path) -> dict:
    """A dataset whose shards, of five images each, take several processes a while."""
    folder.mkdir()
    content = encoded(0, (300, 300))
    for number in range(1000):
        (folder / f"{number:04d}.png").write_bytes(content)
    source = {"kind": "images", "train": str(folder)}
    sizes = {"image_size": 256, "max_shard_mb": 1}
    return {"name": "large", "source": source, "channels": 3, "splits": ["train"], **sizes}
