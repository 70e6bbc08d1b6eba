"""What runs where Dagster is operated, each as a process of its own that is started again when it ends: the
database, the store, the code location, the daemon, the web server. All of them listen on 127.0.0.1."""

import contextlib
import glob
import logging
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import sqlalchemy
import yaml
from moto.server import ThreadedMotoServer

from tests.fault_proxy import FaultProxy, upstream_of
from tests.pipelines.dev_server import REPOSITORY, free_port

BIN = Path(sys.executable).parent
INITDB = shutil.which("initdb") or max(glob.glob("/usr/lib/postgresql/*/bin/initdb"), default=None)
USER = "dagster"
RESTART_SECONDS = 1.0
PATIENCE_SECONDS = 300


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


class Postgres:
    """A server in a folder of its own. It does not run as root, so under its package's user."""

    def __init__(self):
        root = os.getuid() == 0
        self.account = {"user": "postgres", "group": "postgres", "extra_groups": []} if root else {}
        self.folder, self.port = Path(tempfile.mkdtemp(prefix="postgres-")), free_port()
        self.password = secrets.token_urlsafe()
        password_file = self.folder / "password"
        password_file.write_text(self.password)
        if root:
            shutil.chown(self.folder, "postgres", "postgres")
            shutil.chown(password_file, "postgres")
        access = ("-U", USER, "--auth=scram-sha-256", f"--pwfile={password_file}")
        subprocess.run(
            [INITDB, "-D", self.folder / "data", *access],
            check=True,
            capture_output=True,
            cwd=self.folder,
            **self.account,
        )

    def service(self, log: Path) -> Service:
        server = str(Path(INITDB).with_name("postgres"))
        places = ("-c", "listen_addresses=127.0.0.1", "-p", str(self.port), "-k", str(self.folder))
        command = [server, "-D", str(self.folder / "data"), *places]
        return Service("database", command, dict(os.environ), log, self.account)

    @property
    def url(self) -> str:
        address = {"username": USER, "password": self.password, "host": "127.0.0.1", "port": self.port}
        address["database"] = "postgres"
        return sqlalchemy.URL.create("postgresql+psycopg2", **address).render_as_string(hide_password=False)

    def wait(self) -> None:
        engine = sqlalchemy.create_engine(self.url)
        for _ in range(PATIENCE_SECONDS):
            with contextlib.suppress(sqlalchemy.exc.OperationalError), engine.connect():
                return
            time.sleep(1)
        raise AssertionError("PostgreSQL does not start")


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
    settings = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())
    settings["storage"] = {"postgres": {"postgres_url": {"env": "DAGSTER_POSTGRES_URL"}}}
    return yaml.safe_dump(settings)


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
