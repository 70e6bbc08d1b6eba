"""The demo as the README promises it. Takes minutes: `make test-slow`."""

import os
import subprocess
import sys
from pathlib import Path

import pandas
import pytest

from gan_core.store import Store
from tests.report_pages import whole_report

REPOSITORY = Path(__file__).parents[2]
EXPERIMENTS = ["demo-acgan", "demo-dcgan", "demo-wgan-gp"]
pytestmark = pytest.mark.slow


def run_demo(folder: Path) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "pipelines", "backfill", "demo-*"],
        cwd=REPOSITORY,
        env={**os.environ, "GAN_STORE": str(folder / "store"), "DAGSTER_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_demo_trains_three_gans_that_can_be_told_from_noise_and_then_reuses_all(tmp_path):
    printed = run_demo(tmp_path)
    store = Store(tmp_path / "store")
    table = tmp_path / "store" / "leaderboard" / "leaderboard.csv"
    content = table.read_bytes()
    assert sorted(pandas.read_csv(table)["experiment"]) == EXPERIMENTS
    assert all(name in printed for name in EXPERIMENTS)
    assert str(tmp_path / "store" / "report" / "index.html") in printed
    for name in EXPERIMENTS:
        evaluation = store.current("evaluation", name)
        figures = evaluation.figures
        assert figures["fid_low"] < figures["fid"] < figures["fid_high"] < figures["fid_untrained"] / 2
        assert figures["copying"] < 0.05 < figures["recall"] and "copying-classifier.png" in evaluation.files
    assert store.current("evaluation", "demo-acgan").figures["class_accuracy"] >= 0.8
    page = whole_report(store)
    assert "one seed: spread unknown" in page and "Copying" in page

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("manifest.json")}
    run_demo(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("manifest.json")} == before
    assert table.read_bytes() == content
