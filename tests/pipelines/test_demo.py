"""The demo as the README promises it. Takes minutes: `make test-slow`."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pandas
import pytest

from gan_core.store import Store

REPOSITORY = Path(__file__).parents[2]
EXPERIMENTS = ["demo-acgan", "demo-dcgan", "demo-wgan-gp"]
pytestmark = pytest.mark.slow


def run_demo(folder: Path) -> tuple[str, float]:
    began = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-m", "pipelines", "backfill", "demo-*"],
        cwd=REPOSITORY,
        env={**os.environ, "GAN_STORE": str(folder / "store"), "DAGSTER_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout, time.monotonic() - began


def test_the_demo_trains_three_gans_that_can_be_told_from_noise_and_then_reuses_all(tmp_path):
    printed, _ = run_demo(tmp_path)
    store = Store(tmp_path / "store")
    table = tmp_path / "store" / "leaderboard" / "leaderboard.csv"
    content = table.read_bytes()
    assert sorted(pandas.read_csv(table)["experiment"]) == EXPERIMENTS
    assert all(name in printed for name in EXPERIMENTS)
    assert str(tmp_path / "store" / "report" / "index.html") in printed
    for name in EXPERIMENTS:
        figures = store.current("evaluation", name).figures
        assert figures["fid_floor"] < figures["fid"] < figures["fid_untrained"] / 2
    assert store.current("evaluation", "demo-acgan").figures["class_accuracy"] >= 0.8
    assert "Real against real" in (tmp_path / "store" / "report" / "index.html").read_text()

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("manifest.json")}
    _, seconds = run_demo(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("manifest.json")} == before
    assert table.read_bytes() == content
    assert seconds < 40
