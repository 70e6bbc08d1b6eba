"""A real PostgreSQL server of one's own, on 127.0.0.1 and with a password."""

import contextlib
import glob
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import sqlalchemy

from tests.pipelines.dev_server import free_port

INITDB = shutil.which("initdb") or max(glob.glob("/usr/lib/postgresql/*/bin/initdb"), default=None)
USER = "dagster"
PATIENCE_SECONDS = 300


class Postgres:
    """A server in a folder of its own. It does not run as root, so under its package's user there."""

    def __init__(self, password: str, *settings: str):
        self.password, self.settings = password, settings
        root = os.getuid() == 0
        self.account = {"user": "postgres", "group": "postgres", "extra_groups": []} if root else {}
        self.folder, self.port = Path(tempfile.mkdtemp(prefix="postgres-")), free_port()
        password_file = self.folder / "password"
        password_file.write_text(password)
        if root:
            for path in (self.folder, password_file):
                shutil.chown(path, "postgres", "postgres")
        access = ("-U", USER, "--auth=scram-sha-256", f"--pwfile={password_file}")
        command = [INITDB, "-D", self.folder / "data", *access]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, **self.account)

    @property
    def command(self) -> list[str]:
        """What starts it, to be run as `account` in `folder`."""
        server = str(Path(INITDB).with_name("postgres"))
        places = ("-c", "listen_addresses=127.0.0.1", "-p", str(self.port), "-k", str(self.folder))
        settings = [word for setting in self.settings for word in ("-c", setting)]
        return [server, "-D", str(self.folder / "data"), *places, *settings]

    def url(self, database: str = "postgres", password: str | None = None) -> str:
        address = {"host": "127.0.0.1", "port": self.port, "database": database, "username": USER}
        made = sqlalchemy.URL.create("postgresql+psycopg2", password=password or self.password, **address)
        return made.render_as_string(hide_password=False)

    def wait(self) -> None:
        """Until it takes connections."""
        engine = sqlalchemy.create_engine(self.url())
        for _ in range(PATIENCE_SECONDS * 10):
            with contextlib.suppress(sqlalchemy.exc.OperationalError), engine.connect():
                return
            time.sleep(0.1)
        raise AssertionError("PostgreSQL does not start")

    def remove(self) -> None:
        shutil.rmtree(self.folder)
