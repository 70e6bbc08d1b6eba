"""Shards that a step of a real run makes in several processes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from gan_core.store import Store
from tests.pipelines.test_durability import REPOSITORY
from tests.small_project import write_config

PATIENCE = 200  # seconds; workers that nobody ends hold their step up for 300


def photos(folder: Path) -> Path:
    """Noise, which PNG does not make smaller: several shards of a megabyte."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(250):
        pixels = random.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def test_a_step_finds_the_library_in_its_processes_and_ends_with_its_work(tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    source = {"kind": "images", "train": str(photos(tmp_path / "photos"))}
    write_config(
        tmp_path / "configs",
        {
            "name": "noise",
            "source": source,
            "image_size": 64,
            "channels": 3,
            "max_shard_mb": 1,
            "test_fraction": 0.2,
        },
    )
    (tmp_path / "home").mkdir()
    for name, folder in (("GAN_CONFIGS", "configs"), ("GAN_STORE", "store"), ("DAGSTER_HOME", "home")):
        monkeypatch.setenv(name, str(tmp_path / folder))
    ran = subprocess.run(
        [
            *(Path(sys.executable).parent / "dagster", "job", "execute", "-f", "pipelines/definitions.py"),
            *("-d", ".", "-j", "prepare_dataset", "-o", "raw_images,image_shards"),
            *("--tags", json.dumps({"dagster/partition": "noise"})),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert ran.returncode == 0, ran.stderr
    assert len(Store(tmp_path / "store").require("image_shards", "noise").files) > 2
