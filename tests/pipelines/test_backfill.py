"""`python -m pipelines backfill`: what it selects, and how it stops."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gan_core.config import load_configs
from gan_core.errors import ConfigError
from gan_core.store import Store
from pipelines.__main__ import main
from tests.small_project import DATASET, EXPERIMENT, QUESTION, write_config

REPOSITORY = Path(__file__).parents[2]


def test_patterns_select_experiments():
    configs = load_configs(REPOSITORY / "configs")
    demos = ["demo-acgan", "demo-dcgan", "demo-wgan-gp"]
    assert configs.matching(["demo-*"]) == demos
    assert configs.matching(["demo-dcgan", "demo-d*"]) == ["demo-dcgan"]
    with pytest.raises(ConfigError, match="no experiment matches `nope`; there are: .*bedroom-"):
        configs.matching(["demo-*", "nope"])


def pipelines(folder: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "pipelines", *words],
        cwd=REPOSITORY,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_a_dry_run_says_what_would_be_made_and_makes_nothing(tmp_path):
    write_config(tmp_path / "configs", DATASET)
    write_config(tmp_path / "configs", EXPERIMENT)
    write_config(tmp_path / "configs", {**EXPERIMENT, "name": "other", "seed": 1})
    told = pipelines(tmp_path, "backfill", "--dataset", "few-digits", "--tag", "seed=0", "--plan", "--json")
    assert told.returncode == 0 and told.stderr == ""
    plan = json.loads(told.stdout)
    assert plan["total"]["to_train"] == 1 and plan["experiments"][0]["state"] == "never trained"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["configs"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["backfill", "plain", "--json"], "--json goes with --dry-run"),
        (["backfill", "absent"], "no experiment matches `absent`"),
        (["backfill"], "name experiments or patterns such as 'demo-*' ('*' is all of them), or choose by"),
        (["backfill", "--dataset", "absent"], "--dataset knows no `absent`; there are: few-digits"),
        (["stop"], "name experiments or patterns"),
        (["stop", "absent"], "no experiment matches `absent`"),
        (["follow", "--json"], "--json goes with --once"),
        (["answer", "absent"], "no question is named `absent`"),
        (["backfil"], "No such command 'backfil'. Did you mean 'backfill'?"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(tmp_path, monkeypatch, capsys, words, expected):
    for content in (DATASET, EXPERIMENT):
        write_config(tmp_path / "configs", content)
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    assert main(words) == 2
    said = capsys.readouterr()
    assert expected in said.err and len(said.err.splitlines()) == 1 and said.out == ""


def environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "GAN_CONFIGS": str(folder / "configs"),
        "GAN_STORE": str(folder / "store"),
        "DAGSTER_HOME": str(folder / "home"),
    }


def start(folder: Path, pattern: str = "*-long") -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines", "backfill", pattern],
        cwd=REPOSITORY,
        env=environment(folder),
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process: subprocess.Popen, text: str) -> None:
    assert any(text in line for line in process.stderr), f"`{text}` was not printed"


@pytest.mark.slow
def test_a_killed_backfill_does_not_block_the_next_which_goes_on_and_saves_at_an_interrupt(tmp_path):
    write_config(tmp_path / "configs", DATASET)
    for name in ("a-long", "b-long"):
        long = {**EXPERIMENT, "name": name, "length": {"images": 10**8}, "checkpoint_every": 1000}
        write_config(tmp_path / "configs", long)
    killed = start(tmp_path)
    wait_for(killed, "training a-long")  # after five seconds, and so with a checkpoint
    killed.kill()
    killed.wait()
    process = start(tmp_path)
    wait_for(process, "going on from")
    wait_for(process, "training a-long")
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(60) == 130
    assert "the same command goes on where this one stopped" in rest
    assert list((tmp_path / "store" / "trained_gan" / "a-long").rglob("checkpoint-*.pt"))
    assert not (tmp_path / "store" / "trained_gan" / "b-long").exists()


@pytest.mark.engines
def test_a_backfill_is_followed_stopped_and_only_what_did_not_end_is_run_again(tmp_path):
    write_config(tmp_path / "configs", DATASET)
    for name in ("a-long", "b-long"):
        long = {**EXPERIMENT, "name": name, "length": {"images": 10**8}, "tags": ["long"]}
        write_config(tmp_path / "configs", long)
    process = start(tmp_path)
    wait_for(process, "training a-long")
    look = json.loads(pipelines(tmp_path, "follow", "--once", "--json").stdout)
    assert look["states"] == {"a-long": "running"}
    assert look["moments"]["a-long"]["images_seen"] > 0 and look["moments"]["a-long"]["seconds_left"] > 0
    stopped = pipelines(tmp_path, "stop", "--tag", "long")
    assert process.wait(60) == 130
    assert stopped.returncode == 0, stopped.stderr
    saved = re.search(r"^a-long: trained_gan: Saved at ([\d,]+) of 100,000,000 images", stopped.stdout)
    assert saved and stopped.stdout.endswith("\n1 stopped\n"), stopped.stdout
    told = pipelines(tmp_path, "backfill", "--tag", "long", "--failed", "--plan", "--json")
    (again,) = json.loads(told.stdout)["experiments"]
    assert (again["name"], again["steps"][0]["action"]) == ("a-long", "resume")
    assert f"{again['images_seen']:,}" == saved[1]
    for more in ([], ["--plan"]):
        none = pipelines(tmp_path, "backfill", "b-long", "--failed", *more)
        assert none.stdout == "none of these experiments has failed\n"


@pytest.mark.slow
def test_a_question_is_answered_by_one_command(tmp_path):
    for content in (
        DATASET,
        EXPERIMENT,
        {**EXPERIMENT, "name": "conditional", "conditioning": {"name": "acgan"}},
    ):
        write_config(tmp_path / "configs", content)
    write_config(tmp_path / "configs", QUESTION)
    answering = pipelines(tmp_path, "answer", "classes")
    assert answering.returncode == 0, answering.stderr
    assert "experiment 2 of 2 (plain), about" in answering.stderr
    assert "Do classes help?" in answering.stdout and "2 of 2 experiments succeeded" in answering.stdout
    assert "one seed says nothing of others" in answering.stdout
    assert (tmp_path / "store" / "answer" / "classes" / "answer.png").exists()


@pytest.mark.slow
def test_two_first_backfills_at_once_both_succeed(tmp_path):
    write_config(tmp_path / "configs", DATASET)
    write_config(tmp_path / "configs", EXPERIMENT)
    processes = [start(tmp_path, "plain") for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
    store = Store(tmp_path / "store")
    for asset in ("trained_gan", "evaluation"):
        assert store.problems(store.require(asset, "plain"), hashes=True) == []
    assert list((tmp_path / "store").rglob("*lease-*")) == []
