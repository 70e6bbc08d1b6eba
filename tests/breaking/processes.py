"""Commands of a small project as real processes, for the scripts that kill and stop them."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.small_project import DATASET, EXPERIMENT, write_config

STEPS = {
    "shard": "shard few-digits",
    "reference": "reference few-digits",
    "train": "train plain",
    "sample": "sample plain",
    "evaluate": "evaluate plain",
    "report": "report",
}
MADE_BY = {
    "shard": ("raw_images", "image_shards"),
    "reference": ("classifier", "reference_statistics"),
    "train": ("trained_gan",),
    "sample": ("samples",),
    "evaluate": ("evaluation",),
    "report": ("leaderboard",),
}
WITH_TIMES = ("leaderboard",)  # images a second are in its columns
DATASET_STEPS = ("shard", "reference")
GONE_SECONDS = 20.0


class Project:
    """A project at every stage, and how long each of its commands takes here."""

    def __init__(self, folder: Path):
        self.folder, self.configs = folder, folder / "configs"
        often = {"checkpoint_every": 500, "sample_every": 500, "evaluate_every": 1000}
        for content in (DATASET, {**EXPERIMENT, "length": {"images": 4000}, **often}):
            write_config(self.configs, content)
        self.whole = folder / "whole"
        self.seconds: dict[str, float] = {}
        for step in STEPS:
            if self.whole.exists():
                shutil.copytree(self.whole, self.before(step))
            began = time.monotonic()
            status, said = finished(self.start(step, self.whole))
            assert status == 0, said
            self.seconds[step] = time.monotonic() - began

    def before(self, step: str) -> Path:
        return self.folder / f"before-{step}"

    def store(self, step: str, name: str) -> Path:
        """A copy of what there is before a step."""
        store = self.folder / name
        shutil.rmtree(store, ignore_errors=True)
        if self.before(step).exists():
            shutil.copytree(self.before(step), store)
        return store

    def start(self, step: str, store: Path) -> subprocess.Popen:
        """The step's command."""
        return self._start([sys.executable, "-m", "gan_core", *STEPS[step].split()], store)

    def start_asset(self, step: str, store: Path, *, force: bool = False) -> subprocess.Popen:
        """The step's last asset, by `dagster job execute`."""
        asset = MADE_BY[step][-1]
        of_dataset = step in DATASET_STEPS
        job = "prepare_dataset" if of_dataset else "run_experiment"
        run_config = {"ops": {asset: {"config": {"force": True}}}} if force else {}
        path = self.folder / "run.json"
        path.write_text(json.dumps(run_config))
        command = [
            *(sys.executable, "-m", "dagster", "job", "execute", "-f", "pipelines/definitions.py"),
            *("-j", job, "-c", str(path)),
            *("--tags", json.dumps({"dagster/partition": "few-digits" if of_dataset else "plain"})),
        ]
        return self._start(command, store)

    def _start(self, command: list[str], store: Path) -> subprocess.Popen:
        home = self.folder / "dagster"
        home.mkdir(exist_ok=True)
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        places = {"GAN_STORE": store, "GAN_CONFIGS": self.configs, "DAGSTER_HOME": home}
        output = open(self.folder / "output", "w")  # noqa: SIM115 (a pipe that is not read would stop it)
        return subprocess.Popen(
            command,
            env={**os.environ, "OMP_NUM_THREADS": "1", **{name: str(path) for name, path in places.items()}},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def output(self) -> str:
        return (self.folder / "output").read_text(errors="replace")

    def goes_on(self, step: str, store: Path) -> None:
        """The same command ends well, with the bytes of an undisturbed run and nothing left over."""
        process = self.start(step, store)
        status = process.wait(300)
        assert status == 0, f"the next run ended with {status}: {self.output()[-800:]}"
        for asset in MADE_BY[step]:
            for manifest in (self.whole / asset).rglob("manifest.json"):
                there = store / manifest.relative_to(self.whole)
                assert there.exists(), f"{there} was not made"
                expected, found = (json.loads(path.read_bytes())["files"] for path in (manifest, there))
                differing = [
                    name
                    for name, entry in expected.items()
                    if entry["counts"]
                    and asset not in WITH_TIMES
                    and found[name]["sha256"] != entry["sha256"]
                ]
                assert not differing, f"{asset} has other bytes: {differing}"
            left = [path.name for path in (store / asset).rglob("*") if _is_left(path)]
            assert not left, f"left over: {left}"


def _is_left(path: Path) -> bool:
    if path.name.startswith(("files-", "packed", "hashed")) and path.is_dir():
        manifest = path.parent / "manifest.json"
        return not (manifest.exists() and path.name in manifest.read_text())
    return path.name.startswith((".", "lease-", "checkpoint"))


def finished(process: subprocess.Popen) -> tuple[int, str]:
    return process.wait(600), ""


def family(process: subprocess.Popen) -> list[psutil.Process]:
    """A process and what it has started."""
    try:
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def all_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=GONE_SECONDS)
    alive = [item for item in alive if item.is_running() and item.status() != psutil.STATUS_ZOMBIE]
    for item in alive:
        item.kill()
    assert not alive, f"still there after {GONE_SECONDS:.0f} s: {alive}"
