"""New configuration files: seen, and known without a restart of anything."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import dagster as dg
import pytest

from gan_core.config.folder_state import folder_state
from pipelines.automation.reloading import ask_for_reload, reload_sensor
from tests.pipelines.dev_server import ask, dev_server, wait_for
from tests.small_project import EXPERIMENT

START = """mutation { startSensor(sensorSelector: {repositoryName: "__repository__",
  repositoryLocationName: "gan-pipelines", sensorName: "new_configurations"}) { __typename } }"""
PARTITIONS = """{ assetNodeOrError(assetKey: {path: ["trained_gan"]}) {
  ... on AssetNode { partitionKeys assetObservations(limit: 100) { partition } } } }"""


@contextlib.contextmanager
def web_server(answer: bytes):
    """Answers every POST so; yields its address and what it was sent."""
    sent = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,)).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", sent
    finally:
        server.shutdown()
        server.server_close()


def answer(typename: str, **fields: str) -> bytes:
    return json.dumps({"data": {"reloadRepositoryLocation": {"__typename": typename, **fields}}}).encode()


@pytest.fixture
def look(bench, monkeypatch):
    """A look of the sensor, of definitions that were loaded before."""
    folder = bench.folder / "configs"
    monkeypatch.delenv("GAN_UI", raising=False)
    loaded = folder_state(folder)
    sensor = reload_sensor(folder, loaded, bench.configs)
    context = SimpleNamespace(cursor=None, code_location_origin=SimpleNamespace(location_name="here"))

    def look() -> str:
        result = sensor._raw_fn(context)
        if isinstance(result, dg.SensorResult):
            context.cursor, result = result.cursor, result.skip_reason
        return result.skip_message

    return look


def test_a_reload_is_asked_for_once_for_each_state(bench, look, monkeypatch):
    assert bench.definitions.resolve_sensor_def("new_configurations").default_status == (
        dg.DefaultSensorStatus.STOPPED
    )
    assert look() == "the files are those that were read"
    bench.write("experiments", {**EXPERIMENT, "name": "new"})
    assert "press *Reload definitions*, or set GAN_UI" in look()
    with web_server(answer("WorkspaceLocationEntry")) as (address, sent):
        monkeypatch.setenv("GAN_UI", address)
        assert look() == "files changed: the definitions are read again"
        assert "asked for already" in look()
        assert [one["variables"] for one in sent] == [{"name": "here"}]
        bench.write("experiments", {**EXPERIMENT, "name": "newer"})
        assert "read again" in look()
    bench.write("experiments", {**EXPERIMENT, "name": "newest"})
    assert "did not reload: ConnectionError: press" in look()
    assert "did not reload" in look()  # so it is tried again


@pytest.mark.parametrize(
    "content, told",
    [
        (answer("ReloadNotSupported", message="cannot"), "cannot"),
        (answer("UnauthorizedError", message="may not"), "may not"),
        (b"<html>", "is not that of Dagster's GraphQL"),
        (b'{"errors": []}', "is not that of Dagster's GraphQL"),
    ],
)
def test_what_kept_it_from_reloading_is_said(content, told):
    with web_server(content) as (address, _):
        assert told in ask_for_reload(address, "here")


@pytest.mark.engines
def test_a_new_experiment_is_known_without_a_restart(bench):
    """To the web server, and to the daemon: the partition is described by a sensor of the new definitions."""
    configs = str(bench.folder / "configs")

    def known(address: str) -> dict:
        return ask(address, PARTITIONS)["assetNodeOrError"]

    with dev_server(bench.folder, GAN_CONFIGS=configs) as (address, log):
        assert "new" not in known(address)["partitionKeys"]
        assert ask(address, START)["startSensor"]["__typename"] == "Sensor"
        bench.write("experiments", {**EXPERIMENT, "name": "new"})
        wait_for(lambda: "new" in known(address)["partitionKeys"], "the UI does not know it", log)

        def described() -> bool:
            return "new" in {one["partition"] for one in known(address)["assetObservations"]}

        wait_for(described, "the daemon does not know it", log)
