"""The command line: the whole chain without Dagster, and what a mistake or an interrupt is told."""

import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gan_core.cli import main
from gan_core.store import Store
from tests.few_images import train_briefly
from tests.small_project import DATASET, EXPERIMENT, write_config

REPOSITORY = Path(__file__).parents[2]
LONG = {**EXPERIMENT, "name": "long", "length": {"images": 10**8}, "checkpoint_every": 10**8}


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    train_briefly(monkeypatch)
    monkeypatch.setenv("GAN_CONFIGS", str(tmp_path / "configs"))
    monkeypatch.setenv("GAN_STORE", str(tmp_path / "store"))
    for content in (DATASET, EXPERIMENT, LONG):
        write_config(tmp_path / "configs", content)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def command(line: str, status: int = 0):
        """The JSON that a command prints, or what it says on standard error where it fails."""
        assert main(line.split()) == status
        printed = capsys.readouterr()
        return json.loads(printed.out) if status == 0 else printed.err

    yield command
    for number, handler in before.items():
        signal.signal(number, handler)


def test_every_step_without_dagster(run, tmp_path):
    assert run("shard few-digits")["figures"]["images_train"] == 300
    trained = run("train plain")["figures"]
    assert trained["images_seen"] == 1000
    assert "far from real" in trained["verdict"]  # after 20 steps
    assert run("sample plain")["figures"]["samples"] == 200
    evaluated = run("evaluate plain")["figures"]
    assert evaluated["fid"] > 0
    assert evaluated["verdict"].endswith(("far from real", "no better than untrained"))
    assert run("report")["figures"]["experiments"] == 1
    assert run("train plain")["reused"]
    store = Store(tmp_path / "store")
    real = store.local(store.current("image_shards", "few-digits"), "train-000000.tar")
    fake = store.local(store.current("samples", "plain"), "samples-000000.tar")
    given = f"evaluate --real {real} --fake {fake} --extractor classifier --classifier few-digits"
    anew = run(f"{given} --metrics fid,kid,is")
    assert anew["fid"] == pytest.approx(evaluated["fid"], rel=1e-6)
    assert anew["kid"] == pytest.approx(evaluated["kid"], rel=1e-6)
    assert anew["inception_score"] == pytest.approx(evaluated["inception_score"], rel=1e-6)
    assert anew["is"] == anew["inception_score"] and "classifier-" in anew["protocol"]
    evaluation = store.current("evaluation", "plain")
    split = run(f"evaluate --real few-digits/train --fake {fake} --metrics fid")
    assert split["protocol"] == evaluation.details["protocol"]
    assert split["fid"] == pytest.approx(evaluated["fid"], rel=1e-9)
    network = store.local(store.current("classifier", "few-digits"), "classifier.safetensors")
    by_path = f"evaluate --real {real} --extractor classifier --classifier {network}"
    told = run(f"{by_path} --save-statistics {tmp_path / 'real.npz'}")
    assert told["real_images"] == 300 and "fid" not in told
    by_file = run(f"evaluate --real {tmp_path / 'real.npz'} --fake {fake} {by_path.partition(str(real))[2]}")
    assert by_file["fid"] == pytest.approx(evaluated["fid"], rel=1e-6)
    assert "image_size is 0" in run(f"{by_path} --fake {fake} --image-size 0", status=2)
    row = run(f"leaderboard add published {fake} --dataset few-digits --description theirs")
    assert row["figures"]["fid"] == pytest.approx(evaluated["fid"], rel=1e-9)
    assert store.current("external_evaluation", "published").config["description"] == "theirs"
    taken = run(f"leaderboard add plain {fake} --dataset few-digits", status=2)
    assert "`plain` is an experiment of yours" in taken
    assert run("leaderboard remove published") == {"removed": "external_evaluation/published"}
    assert "no row from elsewhere is called `published`" in run("leaderboard remove published", status=2)

    write_config(tmp_path / "configs", {**EXPERIMENT, "seed": 1})
    assert "trained with another configuration than it has now" in run("sample plain", status=2)
    run("train plain")
    assert "samples again first" in run("evaluate plain", status=2)
    write_config(tmp_path / "configs", {**DATASET, "crop": "crop_then_resize"})
    assert "another crop than its configuration has now" in run("train plain", status=2)


def test_shards_leave_near_duplicates_out_where_the_dataset_says_so(run, tmp_path):
    whole = run("shard few-digits")["figures"]
    settings = {"threshold": 8, "remove": True}
    write_config(tmp_path / "configs", {**DATASET, "deduplicate": settings})
    fewer = run("shard few-digits")["figures"]
    assert fewer["duplicates_left_out"] > 0
    assert fewer["images_train"] == whole["images_train"] - fewer["duplicates_left_out"]
    assert run("shard few-digits")["reused"] and not run("shard few-digits --force")["reused"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("shard absent", "no dataset is named `absent`; there are: few-digits"),
        ("train absent", "no experiment is named `absent`; there are: long, plain"),
        ("train plain", "there is no store at"),
        ("report --store /nowhere/at-all", "there is no store at /nowhere/at-all"),
        ("sample plain", "or make one with `python -m gan_core shard DATASET`"),
        ("evaluate plain", "there is no store at"),
        ("reference few-digits", "there is no store at"),
        ("evaluate --real x --fake y --store /nowhere", "there is no store at /nowhere"),
        ("evaluate", "needs an experiment's name, or --real and --fake"),
        ("evaluate --real x", "needs both --real and --fake"),
        ("evaluate plain --real x", "needs an experiment's name, or --real and --fake"),
        ("evaluate plain --metrics fid", "--metrics goes with --real and --fake"),
        ("evaluate plain --held-out x", "--held-out goes with --real and --fake"),
        ("report --configs /nowhere", "is no configuration folder"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(run, line, expected):
    said = run(line, status=2)
    assert expected in said
    assert len(said.strip().splitlines()) == 1


def test_a_command_that_reads_makes_no_store(run, tmp_path):
    for line in ("report", "train plain", "sample plain", "evaluate plain", "reference few-digits"):
        run(line, status=2)
    assert not (tmp_path / "store").exists()
    (tmp_path / "store" / "photos").mkdir(parents=True)  # a folder, but no store
    assert f"{tmp_path}/store holds no artefact yet" in run("report", status=2)
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["photos"]


def test_the_version_is_that_of_the_project():
    expected = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    command = [sys.executable, "-m", "gan_core", "--version"]
    printed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == f"gan-core {expected}"


def test_the_reference_is_what_evaluation_would_make(run):
    run("shard few-digits")
    made = run("reference few-digits")
    assert not made["reused"] and made["figures"]["classifier_fid_floor"] > 0
    assert run("reference few-digits")["reused"]
    assert not run("reference few-digits --force")["reused"]


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_an_interrupt_saves_a_checkpoint_and_says_how_to_go_on(run, tmp_path, number):
    write_config(tmp_path / "configs", {**DATASET, "limit": 60})  # its classifier is trained first
    run("shard few-digits")
    process = subprocess.Popen(
        [sys.executable, "-m", "gan_core", "train", "long"],
        cwd=REPOSITORY,
        env=dict(os.environ),
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:  # the first line of progress: it trains
        if "training long" in line:
            break
    process.send_signal(number)
    rest = process.stderr.read()
    assert process.wait(30) == 128 + number  # days before its end
    assert rest.strip().splitlines()[-1] == "stopped; the same command goes on where this one stopped"
    assert "Traceback" not in rest
    assert list((tmp_path / "store" / "trained_gan" / "long").rglob("checkpoint-*.pt"))
