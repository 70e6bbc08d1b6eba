"""`python -m pipelines dev` as a user starts it, for tests that look at the UI or ask its GraphQL."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PATIENCE_SECONDS = 240


@contextlib.contextmanager
def dev_server(folder: Path, **environment: str) -> Iterator[tuple[str, Path]]:
    """Its address and its log, with its state under `folder`; in the end none of its processes is left."""
    port, log = free_port(), folder / "log"
    home = {"DAGSTER_HOME": str(folder / "home"), "GAN_STORE": str(folder / "store")}
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines", "dev", "--port", str(port)],
            cwd=REPOSITORY,
            env={**os.environ, **home, **environment},
            stdout=file,
            stderr=file,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(address, process, log), f"{address} did not answer", log)
        yield address, log
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def wait_for(condition, otherwise: str, log: Path):
    """What `condition` returns as soon as it is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.5)
    raise AssertionError(f"{otherwise} within {PATIENCE_SECONDS} s:\n{log.read_text()}")


def answers(address: str, process: subprocess.Popen, log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    with contextlib.suppress(OSError):
        urllib.request.urlopen(f"{address}/server_info", timeout=2).close()
        return True
    return False


def ask(address: str, query: str) -> dict:
    """The data that the UI's GraphQL answers with."""
    request = urllib.request.Request(
        f"{address}/graphql",
        data=json.dumps({"query": query}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["data"]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
