"""`python -m pipelines sweep`: real trials by real runs, killed and gone on with."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gan_core.config import load_configs
from gan_core.config.trials import trials_path
from gan_core.store import Store
from pipelines.__main__ import main
from pipelines.partitions import partitions_of
from tests.pipelines.test_backfill import environment, pipelines
from tests.small_project import DATASET, EXPERIMENT, SWEEP, write_config

REPOSITORY = Path(__file__).parents[2]
NAMES = [f"search-trial-{number:03d}" for number in range(3)]
DATA = {**DATASET, "limit": 100}


@pytest.fixture
def folder(tmp_path) -> Path:
    for content in (DATA, EXPERIMENT, SWEEP):
        write_config(tmp_path / "configs", content)
    return tmp_path


def test_trials_are_partitions_before_they_are_chosen(folder):
    configs = load_configs(folder / "configs")
    partitions = partitions_of(configs)
    assert partitions.sweeps.get_partition_keys() == ["search"]
    assert partitions.experiments.get_partition_keys() == ["plain", *NAMES]
    upstream = partitions.dataset_of_experiment.get_upstream_mapped_partitions_result_for_partitions(
        partitions.experiments.subset_with_partition_keys(NAMES[:1]),
        partitions.experiments,
        partitions.datasets,
    )
    assert set(upstream.partitions_subset.get_partition_keys()) == {"few-digits"}


def test_a_plan_says_trials_images_and_time_and_makes_nothing(folder, monkeypatch, capsys):
    for name, value in environment(folder).items():
        monkeypatch.setenv(name, value)
    assert main(["sweep", "search", "--plan", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["trials"], plan["done"], plan["images"]) == (3, 0, 3000)
    assert [item["name"] for item in plan["experiments"]] == NAMES
    steps = [step["asset"] for step in plan["experiments"][0]["steps"]]
    assert steps == ["trained_gan", "samples", "evaluation"]
    assert main(["sweep", "search", "--plan"]) == 0
    assert "3 trials: 3 to come; 3,000 images; 3 to train; time unknown" in capsys.readouterr().out
    assert [path.name for path in folder.iterdir()] == ["configs"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sweep", "serach"], "no sweep is named `serach`; did you mean `search`?"),
        (["sweep", "search", "--json"], "--json goes with --plan"),
        (["backfill", NAMES[0]], f"no experiment matches `{NAMES[0]}`"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(folder, monkeypatch, capsys, words, expected):
    for name, value in environment(folder).items():
        monkeypatch.setenv(name, value)
    assert main(words) == 2
    said = capsys.readouterr()
    assert expected in said.err and len(said.err.splitlines()) == 1 and said.out == ""


def start(folder: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines", "sweep", "search"],
        cwd=REPOSITORY,
        env=environment(folder),
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process: subprocess.Popen, text: str) -> None:
    assert any(text in line for line in process.stderr), f"`{text}` was not printed"


def made(store: Store, asset: str) -> dict[str, list[str]]:
    """The versions of each trial's artefact."""
    return {
        name: [one for one in store.list_names(f"{asset}/{name}") if "." not in one and "lease" not in one]
        for name in store.list_names(asset)
    }


@pytest.mark.engines
def test_a_sweep_that_was_killed_goes_on_and_makes_no_trial_twice(folder):
    killed = start(folder)
    wait_for(killed, "trained_gan: made")  # the first trial is trained, and not measured
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    store = Store(folder / "store")
    first = store.require("trained_gan", NAMES[0])
    chosen = trials_path(folder / "configs", "search").read_text()

    interrupted = start(folder)
    wait_for(interrupted, f"({NAMES[1]})")
    interrupted.send_signal(signal.SIGINT)
    rest = interrupted.stderr.read()
    assert interrupted.wait(300) == 130
    assert "the same command goes on where this one stopped" in rest

    told = pipelines(folder, "sweep", "search")
    assert told.returncode == 0, told.stderr
    assert "3 trials: 3 done; best: search-trial-00" in told.stdout
    assert trials_path(folder / "configs", "search").read_text().startswith(chosen)
    again = store.require("trained_gan", NAMES[0])
    assert (again.fingerprint, again.created_at) == (first.fingerprint, first.created_at)
    for asset in ("trained_gan", "evaluation"):
        assert {name: len(found) for name, found in made(store, asset).items()} == dict.fromkeys(NAMES, 1)
        assert all(store.problems(store.require(asset, name), hashes=True) == [] for name in NAMES)
    assert list((folder / "store").rglob("*lease-*")) == []
    summary = store.require("sweep", "search")
    assert summary.figures["done"] == 3 and summary.details["best"] in NAMES
    assert (folder / "store" / "report" / "sweeps" / "search.html").exists()
    leaderboard = (folder / "store" / "leaderboard" / "leaderboard.csv").read_text()
    assert all(name in leaderboard for name in NAMES)

    # The same from the UI: everything is there.
    job = subprocess.run(
        [
            str(Path(sys.executable).parent / "dagster"),
            *("job", "execute", "-f", "pipelines/definitions.py", "-j", "run_sweep"),
            *("--tags", json.dumps({"dagster/partition": "search"})),
        ],
        cwd=REPOSITORY,
        env={**environment(folder), "PYTHONPATH": os.pathsep.join([str(REPOSITORY)])},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert job.returncode == 0, job.stderr
    assert store.require("sweep", "search").fingerprint == summary.fingerprint
