"""Runs that are stopped and killed, in real processes: what is saved, what Dagster says, what goes on.

The fast tests run the job by `dagster job execute`, whose process is the run worker. Those with the daemon,
a code server and retries take minutes: `make test-slow`.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pandas
import psutil
import pytest
import yaml

from gan_core.config import load_configs
from gan_core.store import Store
from pipelines.definitions import build_definitions
from tests.small_project import DATASET, EXPERIMENT, write_config

REPOSITORY = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
ENDLESS = {**EXPERIMENT, "name": "endless", "length": {"images": 10**9}, "checkpoint_every": 5000}
FINITE = {**ENDLESS, "name": "finite", "length": {"images": 60_000}}


class World:
    """A DAGSTER_HOME with the shipped dagster.yaml and more settings, a store with shards, and the processes
    of a test."""

    def __init__(self, folder: Path, more: dict | None = None):
        self.folder, self.processes = folder, []
        self.configs_folder, self.home = folder / "configs", folder / "home"
        write_config(self.configs_folder, {**DATASET, "limit": 100})
        self.store = Store(folder / "store")
        self.home.mkdir()
        settings = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())
        settings["run_monitoring"] |= {"poll_interval_seconds": 1, "free_slots_after_run_end_seconds": 1}
        settings |= more or {}
        (self.home / "dagster.yaml").write_text(yaml.safe_dump(settings))
        self.instance = dg.DagsterInstance.from_config(str(self.home))
        self.environment = {
            **os.environ,
            "DAGSTER_HOME": str(self.home),
            "GAN_CONFIGS": str(self.configs_folder),
            "GAN_STORE": str(folder / "store"),
            "DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS": "1",
        }

    def materialise(self, assets: list[str], partition: str, store: Store | None = None) -> None:
        """Make artefacts in this process, unseen by the instance."""
        definitions = build_definitions(load_configs(self.configs_folder))
        with dg.DagsterInstance.ephemeral() as instance:
            dg.materialize(
                list(definitions.assets),
                instance=instance,
                partition_key=partition,
                selection=assets,
                resources={**definitions.resources, "store": store or self.store},
            )

    def start(self, *arguments: str) -> subprocess.Popen:
        with open(self.folder / "log.txt", "ab") as log:
            process = subprocess.Popen(
                [BIN / arguments[0], *arguments[1:]],
                cwd=REPOSITORY,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def execute(self, experiment: str) -> subprocess.Popen:
        """A run of its training whose worker is the returned process."""
        return self.start(
            *("dagster", "job", "execute", "-f", "pipelines/definitions.py", "-d", "."),
            *("-j", "run_experiment"),
            *("--tags", json.dumps({"dagster/partition": experiment})),
        )

    def launch(self, experiment: str, steps: str = "trained_gan") -> None:
        """Ask the daemon for a run of its training."""
        launching = self.start(
            *("dagster", "job", "launch", "-w", "workspace.yaml", "-j", "run_experiment", "-o", steps),
            *("--tags", json.dumps({"dagster/partition": experiment})),
        )
        assert launching.wait(600) == 0, (self.folder / "log.txt").read_text()

    def wait(self, what: str, condition: Callable, seconds: float = 300):
        """What `condition` returns once it is true."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            log = self.folder / "log.txt"
            assert time.monotonic() < deadline, (
                f"{what}: not within {seconds} s\n{log.read_text() if log.exists() else ''}"
            )
            time.sleep(0.05)
        return found

    def runs(self) -> list[dg.DagsterRun]:
        """Those of experiments, oldest first, without what the sensors ask for."""
        return self.instance.get_runs(dg.RunsFilter(job_name="run_experiment"))[::-1]

    def messages(self, run: dg.DagsterRun) -> str:
        return "\n".join(event.message for event in self.instance.all_logs(run.run_id))

    def checkpoints(self, experiment: str) -> list[int]:
        found = (self.folder / "store" / "trained_gan" / experiment).rglob("checkpoint-*.json")
        return sorted(int(path.stem.removeprefix("checkpoint-")) for path in found)

    def trainer(self, experiment: str) -> psutil.Process | None:
        """The process that holds the lease on it."""
        for path in (self.folder / "store" / "trained_gan" / experiment).rglob("lease-*.json"):
            try:
                return psutil.Process(json.loads(path.read_text())["pid"])
            except (OSError, ValueError, psutil.NoSuchProcess):
                continue
        return None

    def wait_for_training(self, experiment: str, unlike: tuple[int, ...] = ()) -> psutil.Process:
        """The trainer (of another pid than `unlike`), once it has written a checkpoint of its own."""

        def found() -> psutil.Process | None:
            assert not self.processes[-1].poll(), (self.folder / "log.txt").read_text()
            trainer = self.trainer(experiment)
            return trainer if trainer and trainer.pid not in unlike else None

        trainer = self.wait("a trainer", found)
        before = max(self.checkpoints(experiment), default=0)
        self.wait("a new checkpoint", lambda: max(self.checkpoints(experiment), default=0) > before)
        return trainer

    def close(self) -> None:
        for process in self.processes:
            for each in _tree(process.pid):
                each.kill()
            process.wait()
        self.instance.dispose()


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


@pytest.fixture
def world(tmp_path) -> Iterator[World]:
    world = World(tmp_path)
    world.materialise(["raw_images", "image_shards", "classifier"], "few-digits")
    write_config(world.configs_folder, ENDLESS)
    yield world
    world.close()


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_an_orphan_saves_and_ends_itself_and_a_new_run_goes_on_until_sigterm_cancels_it(world):
    worker = world.execute("endless")
    trainer = world.wait_for_training("endless")
    worker.kill()
    world.wait("the orphan's end", lambda: is_gone(trainer), 10)
    saved = max(world.checkpoints("endless"))
    assert saved % ENDLESS["checkpoint_every"] != 0  # not one that was due: the last whole step
    assert world.trainer("endless") is None
    (first,) = world.runs()
    assert first.status == dg.DagsterRunStatus.STARTED  # for `lost_runs` or the code server to mark as failed
    # As the daemon does after a killed run: its step's slot in the pool is free again.
    world.instance.event_log_storage.free_concurrency_slots_for_run(first.run_id)

    worker = world.execute("endless")
    trainer = world.wait_for_training("endless")
    began = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    worker.wait(60)
    world.wait("the trainer's end", lambda: is_gone(trainer), 60)
    assert time.monotonic() - began < 60
    second = world.runs()[-1]
    assert second.status == dg.DagsterRunStatus.CANCELED
    assert f"/checkpoint-{saved:012d}.pt: {saved:,} images seen" in world.messages(second)
    assert max(world.checkpoints("endless")) % ENDLESS["checkpoint_every"] != 0
    assert world.trainer("endless") is None


# --- with the daemon --------------------------------------------------------------------------------------


@pytest.fixture
def daemon(world) -> subprocess.Popen:
    return world.start("dagster-daemon", "run", "-w", "workspace.yaml")


def wait_for_end(world: World, number: int, seconds: float = 240) -> dg.DagsterRun:
    """The run number `number` (from 0), once it has ended."""

    def ended() -> dg.DagsterRun | None:
        runs = world.runs()
        return runs[number] if len(runs) > number and runs[number].is_finished else None

    return world.wait(f"the end of run {number}", ended, seconds)


@pytest.mark.slow
def test_terminate_cancels_and_is_not_retried_and_a_new_run_goes_on(world, daemon):
    world.launch("endless")
    trainer = world.wait_for_training("endless")
    (run,) = world.runs()
    began = time.monotonic()
    world.instance.run_coordinator.cancel_run(run.run_id)
    assert wait_for_end(world, 0, 10).status == dg.DagsterRunStatus.CANCELED
    world.wait("the trainer's end", lambda: is_gone(trainer), 10)
    assert time.monotonic() - began < 60
    saved = max(world.checkpoints("endless"))

    world.launch("endless")
    trainer = world.wait_for_training("endless")
    assert len(world.runs()) == 2
    assert f"{saved:,} images seen" in world.messages(world.runs()[1])
    trainer.send_signal(signal.SIGINT)  # the step alone
    assert wait_for_end(world, 1, 20).status == dg.DagsterRunStatus.CANCELED
    time.sleep(10)
    assert len(world.runs()) == 2


@pytest.mark.slow
def test_what_a_step_raised_is_not_retried(world, daemon):
    too_short = {"n_critic": 50, "length": {"epochs": 0.01}}
    write_config(world.configs_folder, {**EXPERIMENT, "name": "broken", **too_short})
    world.launch("broken")
    run = wait_for_end(world, 0)
    assert run.status == dg.DagsterRunStatus.FAILURE
    assert "too few for a single step of the generator" in json.dumps(
        [str(event.dagster_event) for event in world.instance.all_logs(run.run_id)]
    )
    world.wait(
        "the daemon's word", lambda: "Not retrying run since it failed due to an asset" in world.messages(run)
    )
    assert len(world.runs()) == 1


def kill_the_step(world: World, run: dg.DagsterRun, trainer: psutil.Process) -> None:
    trainer.kill()


def kill_the_worker(world: World, run: dg.DagsterRun, trainer: psutil.Process) -> None:
    found = re.search(r"Started process for run \(pid: (\d+)\)", world.messages(run))
    psutil.Process(int(found[1])).kill()


def kill_everything(world: World, run: dg.DagsterRun, trainer: psutil.Process) -> None:
    """As a power cut does; then the daemon is started again."""
    processes = _tree(world.processes[0].pid)
    assert trainer in processes
    for process in processes:
        process.kill()
    time.sleep(1)
    world.start("dagster-daemon", "run", "-w", "workspace.yaml")


@pytest.mark.slow
@pytest.mark.parametrize("kill", [kill_the_step, kill_the_worker, kill_everything])
def test_a_killed_run_is_retried_and_ends_with_the_same_bytes(world, daemon, kill):
    write_config(world.configs_folder, FINITE)
    untouched = Store(world.folder / "untouched")
    world.materialise(["raw_images", "image_shards", "classifier"], "few-digits", untouched)
    world.materialise(["trained_gan", "samples"], "finite", untouched)

    world.launch("finite", "trained_gan,samples")
    trainer = world.wait_for_training("finite")
    (run,) = world.runs()
    kill(world, run, trainer)
    assert wait_for_end(world, 0).status == dg.DagsterRunStatus.FAILURE
    if kill is kill_everything:
        assert "The process of this run is gone without a word" in world.messages(run)
    retried = wait_for_end(world, 1)
    assert retried.status == dg.DagsterRunStatus.SUCCESS
    assert retried.parent_run_id == run.run_id
    assert len(world.runs()) == 2
    assert f"going on from {world.folder}" in world.messages(retried)
    assert results(world.store) == results(untouched)


def results(store: Store) -> dict:
    """What the training and its samples are, without times."""
    trained, samples = store.require("trained_gan", "finite"), store.require("samples", "finite")
    history = pandas.read_parquet(store.local(trained, "history.parquet"))
    return {
        **{
            name: entry.sha256
            for manifest in (trained, samples)
            for name, entry in manifest.files.items()
            if name.endswith((".safetensors", ".png", ".npy", ".npz", ".tar"))
        },
        "history": history.to_csv(),
    }
