"""A training whose steps take longer than one may wait for a stop, by real processes."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gan_core.store import Store
from tests.small_project import DATASET, EXPERIMENT, write_config

REPOSITORY = Path(__file__).parents[3]
STEP_SECONDS = 25  # what a step should take at least on this machine
WIDTH = 128  # so slow that the batch of such a step stays far below the 65,536 allowed, on fast machines too
FIRST_BATCH = 100


@pytest.fixture
def start(tmp_path):
    environment = {**os.environ, "GAN_CONFIGS": str(tmp_path / "configs")}

    def run(command: str, store: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "gan_core", *command.split()],
            cwd=REPOSITORY,
            env={**environment, "GAN_STORE": str(tmp_path / store)},
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


def configured(folder: Path, name: str, batch_size: int, steps: int) -> None:
    slow = {"name": name, "batch_size": batch_size, "length": {"images": steps * batch_size}}
    never = {"checkpoint_every": 10**9, "evaluate_every": 10**9, "sample_every": 10**9, "log_every": 1}
    write_config(folder, {**EXPERIMENT, "architecture": {"width": WIDTH}, **slow, **never})


def seconds_training(store: Store, name: str) -> float:
    return store.require("trained_gan", name).figures["seconds_training"]


@pytest.mark.slow
def test_a_stop_does_not_wait_for_the_step_and_costs_no_byte(start, tmp_path):
    configs = tmp_path / "configs"
    write_config(configs, DATASET)
    configured(configs, "measured", FIRST_BATCH, 2)
    for store in ("whole", "stopped"):
        assert start("shard few-digits", store).wait() == 0
    assert start("train measured", "whole").wait() == 0
    a_step = seconds_training(Store(tmp_path / "whole"), "measured") / 2
    configured(configs, "slow", FIRST_BATCH * max(1, round(STEP_SECONDS / a_step)), 3)
    assert start("train slow", "whole").wait() == 0
    step = seconds_training(Store(tmp_path / "whole"), "slow") / 3

    process = start("train slow", "stopped")
    for line in process.stderr:
        if re.search(r"training slow: .* of ", line):  # the first step is done
            break
    time.sleep(step / 4)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait() == 130
    assert time.monotonic() - began < step / 2  # of which three quarters were left; at rest it takes 6 s
    assert "stopping: slow at " in rest and "Traceback" not in rest
    assert rest.strip().splitlines()[-1] == "stopped; the same command goes on where this one stopped"
    assert list((tmp_path / "stopped").rglob("checkpoint-*.pt"))

    process = start("train slow", "stopped")
    said = process.stderr.read()
    assert process.wait() == 0 and "going on from" in said
    for name in ("generator.safetensors", "discriminator.safetensors", "progress.png"):
        digests = {
            Store(tmp_path / store).require("trained_gan", "slow").files[name].sha256
            for store in ("whole", "stopped")
        }
        assert len(digests) == 1, name
