"""The services of `deploy/compose.yaml` that are of this project, as processes of this machine: the same
commands, health checks, variables and dagster.yaml; addresses, ports and folders are of the test."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import yaml

from tests.pipelines.dev_server import ask, free_port
from tests.pipelines.test_durability import BIN, REPOSITORY, _tree

COMPOSE = yaml.safe_load((REPOSITORY / "deploy" / "compose.yaml").read_text())
PATIENCE = 1200  # seconds; the machine may have other work
BACKFILL = """mutation {{ launchPartitionBackfill(backfillParams: {parameters}) {{
    __typename ... on LaunchBackfillSuccess {{ backfillId }} ... on PythonError {{ message }} }} }}"""
STATUS = (
    """{{ partitionBackfillOrError(backfillId: "{number}") {{ ... on PartitionBackfill {{ status }} }} }}"""
)


class Deployment:
    """`places` replaces texts of compose.yaml by what stands for them here; `secrets` are its variables."""

    def __init__(self, folder: Path, places: dict[str, str], secrets: dict[str, str], **environment: str):
        self.home, self.log, self.processes = folder / "home", folder / "deployment.log", {}
        self.code_port, self.ui_port = str(free_port()), str(free_port())
        self.places = {
            "0.0.0.0": "127.0.0.1",
            "webserver:": "127.0.0.1:",
            "4000": self.code_port,
            "3000": self.ui_port,
            "/dagster/": f"{self.home}/",
            **places,
        }
        self.secrets = secrets
        (self.home / "storage").mkdir(parents=True)
        shipped = [REPOSITORY / "dagster.yaml", REPOSITORY / "deploy" / "postgres.yaml"]
        settings = yaml.safe_load("".join(path.read_text() for path in shipped))
        settings["run_monitoring"]["start_timeout_seconds"] = PATIENCE
        (self.home / "dagster.yaml").write_text(yaml.safe_dump(settings))
        told = {name: self.here(str(value)) for name, value in COMPOSE["x-dagster"]["environment"].items()}
        self.environment = {
            **os.environ,
            **told,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "DAGSTER_HOME": str(self.home),
            "GAN_CACHE": str(folder / "cache"),
            "GAN_CODE_HOST": "127.0.0.1",
            **environment,
        }

    def here(self, text: str) -> str:
        for there, place in self.places.items():
            text = text.replace(there, place)
        return re.sub(r"\$\{(\w+):\?\}", lambda found: self.secrets[found[1]], text)

    def command(self, words: list[str]) -> list[str]:
        """A command of a service; the image's Python is that of the tests."""
        found = [self.here(word) for word in words]
        return [sys.executable, *found[1:]] if found[0] == "python" else found

    def run(self, words: list[str]) -> subprocess.CompletedProcess:
        return subprocess.run(
            self.command(words), cwd=REPOSITORY, env=self.environment, capture_output=True, text=True
        )

    def start(self, service: str) -> None:
        """Start a service and wait until its health check says that it is there."""
        with open(self.log, "ab") as log:
            self.processes[service] = subprocess.Popen(
                self.command(COMPOSE["services"][service]["command"]),
                cwd=REPOSITORY,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait(f"{service} in health", lambda: self.is_healthy(service))

    def is_healthy(self, service: str) -> bool:
        assert self.processes[service].poll() is None, self.log.read_text()
        kind, *words = COMPOSE["services"][service]["healthcheck"]["test"]
        assert kind == "CMD"
        return self.run(words).returncode == 0

    def kill(self, *services: str) -> list[psutil.Process]:
        """SIGKILL to the services and all that they have started, which is returned."""
        killed = [process for name in services for process in _tree(self.processes[name].pid)]
        for process in killed:
            process.send_signal(signal.SIGKILL)
        for name in services:
            self.processes.pop(name).wait()
        return killed

    def wait(self, what: str, condition, seconds: float = PATIENCE):
        """What `condition` returns once it is true."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s\n{self.log.read_text()}"
            time.sleep(0.1)
        return found

    def launch_backfill(self, assets: list[str], partitions: list[str]) -> str:
        """Ask the UI for a backfill of assets; its id."""
        selection = ", ".join(f'{{path: ["{name}"]}}' for name in assets)
        parameters = f"{{assetSelection: [{selection}], partitionNames: {json.dumps(partitions)}}}"
        answer = ask(self.ui, BACKFILL.format(parameters=parameters))["launchPartitionBackfill"]
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        return answer["backfillId"]

    def status_of(self, backfill: str) -> str:
        return ask(self.ui, STATUS.format(number=backfill))["partitionBackfillOrError"]["status"]

    @property
    def ui(self) -> str:
        return f"http://127.0.0.1:{self.ui_port}"

    def close(self) -> None:
        self.kill(*list(self.processes))
