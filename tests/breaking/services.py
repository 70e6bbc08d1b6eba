"""What runs where Dagster is operated, each as a process of its own that is started again when it ends: the
database, the store, the code location, the daemon, the web server. All of them listen on 127.0.0.1."""

import contextlib
import logging
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml
from moto.server import ThreadedMotoServer

from tests.fault_proxy import FaultProxy, upstream_of
from tests.pipelines.dev_server import REPOSITORY, free_port
from tests.postgres_server import Postgres

BIN = Path(sys.executable).parent
RESTART_SECONDS = 1.0


@dataclass
class Service:
    """A command that is started again as often as it ends."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    account: dict = field(default_factory=dict)  # of `subprocess.Popen`: as whom it runs
    process: subprocess.Popen | None = None
    starts: int = 0

    def start(self) -> None:
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd="/" if self.account else REPOSITORY,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self.account,
            )
        self.starts += 1

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Supervisor:
    """Looks once a second whether each service is there, and starts again what is not."""

    def __init__(self):
        self.services: dict[str, Service] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def add(self, service: Service) -> Service:
        service.start()
        self.services[service.name] = service
        return service

    def _look(self) -> None:
        while not self._over.wait(RESTART_SECONDS):
            for service in self.services.values():
                if service.process.poll() is not None:
                    service.start()

    @contextlib.contextmanager
    def running(self) -> Iterator["Supervisor"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._over.set()
            self._thread.join()
            for service in reversed(self.services.values()):
                service.process.terminate()
            for service in reversed(self.services.values()):
                try:
                    service.process.wait(30)
                except subprocess.TimeoutExpired:
                    service.kill()


def database_service(server: Postgres, log: Path) -> Service:
    return Service("database", server.command, dict(os.environ), log, server.account)


@contextlib.contextmanager
def s3_behind_a_proxy() -> Iterator[tuple[FaultProxy, str]]:
    """A bucket `gan` of moto's server behind a proxy that fails as it is told; and the address without it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    direct = "http://{}:{}".format(*server.get_host_and_port())
    urllib.request.urlopen(urllib.request.Request(f"{direct}/gan", method="PUT")).close()
    try:
        with FaultProxy(upstream_of(direct)).running() as proxy:
            yield proxy, direct
    finally:
        server.stop()


def settings_of_dagster() -> str:
    """The shipped `dagster.yaml`, with its state in PostgreSQL."""
    return "".join((REPOSITORY / name).read_text() for name in ("dagster.yaml", "deploy/postgres.yaml"))


def of_dagster(folder: Path, environment: dict[str, str]) -> dict[str, Service]:
    """Code server, daemon and web server, which meet at the code server's port."""
    ports = {name: free_port() for name in ("code", "web")}
    workspace = folder / "workspace.yaml"
    server = {"host": "127.0.0.1", "port": ports["code"], "location_name": "gan-pipelines"}
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    here = ("-h", "127.0.0.1")
    code = ("api", "grpc", *here, "-p", str(ports["code"]), "-f", "pipelines/definitions.py", "-d", ".")
    commands = {
        "code server": ["dagster", *code],
        "daemon": ["dagster-daemon", "run", "-w", str(workspace)],
        "web server": ["dagster-webserver", *here, "-p", str(ports["web"]), "-w", str(workspace)],
    }
    return {
        name: Service(
            name, [str(BIN / command[0]), *command[1:]], environment, folder / f"{name.replace(' ', '-')}.log"
        )
        for name, command in commands.items()
    }


def processes_of(home: Path) -> list[psutil.Process]:
    """All whose DAGSTER_HOME is this one, but for this process."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get("DAGSTER_HOME") == str(home):
                found.append(process)
    return found
