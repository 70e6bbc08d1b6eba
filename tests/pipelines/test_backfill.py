"""`python -m pipelines backfill`: what it selects, and how it stops."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gan_core.config import load_configs
from gan_core.errors import ConfigError
from pipelines.backfill import select_experiments
from tests.small_project import DATASET, EXPERIMENT, write_config

REPOSITORY = Path(__file__).parents[2]


def test_patterns_select_experiments():
    configs = load_configs(REPOSITORY / "configs")
    demos = ["demo-acgan", "demo-dcgan", "demo-wgan-gp"]
    assert select_experiments(configs, ["demo-*"]) == demos
    assert select_experiments(configs, ["demo-dcgan", "demo-d*"]) == ["demo-dcgan"]
    with pytest.raises(ConfigError, match="no experiment matches `nope`; there are: .*demo-acgan"):
        select_experiments(configs, ["demo-*", "nope"])


def test_an_interrupt_stops_the_whole_backfill_and_saves_a_checkpoint(tmp_path):
    write_config(tmp_path / "configs", DATASET)
    for name in ("a-long", "b-long"):
        write_config(tmp_path / "configs", {**EXPERIMENT, "name": name, "length": {"images": 10**8}})
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines", "backfill", "*-long"],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "GAN_CONFIGS": str(tmp_path / "configs"),
            "GAN_STORE": str(tmp_path / "store"),
            "DAGSTER_HOME": str(tmp_path / "home"),
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if "training a-long" in line:
            break
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(60) == 130
    assert "the same command goes on where this one stopped" in rest
    assert list((tmp_path / "store" / "trained_gan" / "a-long").rglob("checkpoint-*.pt"))
    assert not (tmp_path / "store" / "trained_gan" / "b-long").exists()
