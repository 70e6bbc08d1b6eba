"""Trainings that another program starts: Slurm's srun, a real one where it is installed, and a stub."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from gan_core.errors import ConfigError
from gan_core.training.processes.launch import COMMAND, training_command
from tests.assets.test_several_processes import PREPARED, failure, materialise, processes_started
from tests.pipelines.dev_server import free_port
from tests.pipelines.test_durability import ENDLESS, _tree, is_gone
from tests.pipelines.test_durability import world as world  # noqa: PLC0414  a fixture
from tests.small_project import DATASET, write_config

SLURM = [shutil.which(program) for program in ("munged", "slurmctld", "slurmd", "srun")]
needs_slurm = pytest.mark.skipif(
    None in SLURM or os.getuid() != 0, reason="needs slurm-wlm and munge, and root, which starts them"
)
PATIENCE = 300  # seconds
# Runs what it is given where the step's process cannot see it, and as srun does: one SIGINT changes nothing,
# SIGTERM is the end of all.
STUB = f"""#!{sys.executable}
import signal, subprocess, sys

process = subprocess.Popen(sys.argv[2:], start_new_session=True)
signal.signal(signal.SIGINT, lambda number, frame: None)
signal.signal(signal.SIGTERM, lambda number, frame: process.kill())
sys.exit(process.wait())
"""


@pytest.fixture
def stub(tmp_path) -> str:
    path = tmp_path / "stub"
    path.write_text(STUB)
    path.chmod(0o755)
    return f"{path} --gres=gpu:1"


def configuration(folder: Path, port: int) -> str:
    """Of a Slurm of one node, which is this machine, and needs no cgroups."""
    host = socket.gethostname().partition(".")[0]
    return f"""
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={free_port()}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
CommunicationParameters=NoCtldInAddrAny
NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> Iterator[str]:
    """A real Slurm on 127.0.0.1; the command that starts a training by it."""
    folder = tmp_path / "slurm"
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    (folder / "key").write_bytes(os.urandom(1024))
    (folder / "key").chmod(0o400)
    (folder / "slurm.conf").write_text(configuration(folder, free_port()))
    monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    places = {"key-file": "key", "socket": "munge.socket", "pid-file": "p", "log-file": "l", "seed-file": "s"}
    munge = [f"--{option}={folder / name}" for option, name in places.items()]
    started = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in (["munged", "--force", "--foreground", *munge], ["slurmctld", "-D"], ["slurmd", "-D"])
    ]
    until = time.monotonic() + PATIENCE
    while "idle" not in subprocess.run(["sinfo"], capture_output=True, text=True).stdout:
        assert time.monotonic() < until, (folder / "slurmctld.log").read_text()
        time.sleep(0.2)
    yield "srun --ntasks=1 --quiet"
    for process in reversed(started):
        process.terminate()
        process.wait(PATIENCE)


@pytest.fixture(params=["stub", pytest.param("slurm", marks=needs_slurm)])
def command(request, monkeypatch) -> str:
    monkeypatch.setenv(COMMAND, request.getfixturevalue(request.param))
    return request.param


@pytest.mark.engines
def test_a_training_that_a_command_starts(project, command):
    assert materialise(project, PREPARED, DATASET["name"]).success
    result = materialise(project, ["trained_gan"], "plain", observe_seconds=0.5)
    assert result.success and processes_started(project, result)
    (event,) = result.asset_materializations_for_node("trained_gan")
    assert "verdict" in event.metadata and event.metadata["reused"].value is False
    assert project.instance.fetch_observations(dg.AssetKey("trained_gan"), limit=1).records
    assert project.store.problems(project.store.require("trained_gan", "plain"), hashes=True) == []


@pytest.mark.engines
@pytest.mark.parametrize("ending", ["terminated", "killed"])
def test_the_end_of_the_run_is_the_end_of_the_training_which_saves(world, command, ending):
    world.environment |= {name: os.environ[name] for name in (COMMAND, "SLURM_CONF") if name in os.environ}
    write_config(world.configs_folder, ENDLESS)
    worker = world.execute("endless")
    trainer = world.wait_for_training("endless")
    if ending == "terminated":
        worker.send_signal(signal.SIGTERM)
        worker.wait(PATIENCE)
    else:
        launcher = os.environ[COMMAND].split()[0]
        started = [process for process in _tree(worker.pid) if launcher in " ".join(process.cmdline()[:2])]
        (starter,) = [process for process in started if process.parent() not in started]  # srun forks itself
        starter.parent().kill()  # the step
    world.wait("the training's end", lambda: is_gone(trainer), PATIENCE)
    assert max(world.checkpoints("endless")) % ENDLESS["checkpoint_every"] != 0  # the last whole step


def test_a_command_that_is_not_there_is_named(project, monkeypatch):
    assert materialise(project, PREPARED, DATASET["name"]).success
    monkeypatch.setenv(COMMAND, "no-such-program --gres=gpu:1")
    result = materialise(project, ["trained_gan"], "plain")
    assert "cannot be started by GAN_TRAINING_COMMAND, `no-such-program`: No such file" in failure(result)


def test_a_command_is_for_one_process_and_of_whole_words(monkeypatch):
    assert training_command(8) == []
    monkeypatch.setenv(COMMAND, "srun --comment='a b'")
    assert training_command(1) == ["srun", "--comment=a b"]
    with pytest.raises(ConfigError, match=r"2 processes cannot be started by GAN_TRAINING_COMMAND \(`srun"):
        training_command(2)
    monkeypatch.setenv(COMMAND, "srun 'a")
    with pytest.raises(ConfigError, match="GAN_TRAINING_COMMAND is `srun 'a`: No closing quotation"):
        training_command(1)
