"""Which lines of `dagster dev` are shown, and who can reach it."""

import socket

import psutil
import pytest

from pipelines import __main__ as command
from pipelines.dev import is_worth_showing
from tests.pipelines.dev_server import dev_server

BEGIN = "\x1b[32m2026-01-02 03:04:05 +0000\x1b[0m - "


@pytest.mark.parametrize(
    "line",
    [
        "dagster - \x1b[34mWARNING\x1b[0m - Found a dagster instance configuration value (dagster.yaml)",
        "dagster.daemon.EventLogConsumerDaemon - WARNING - No cursor for event type RUN_FAILURE, ignoring",
        "dagster.daemon.SensorDaemon - \x1b[34mINFO\x1b[0m - Checking for new runs for sensor: lost_runs",
        "dagster.daemon.SensorDaemon - INFO - Sensor lost_runs skipped: 0 runs in progress, 0 of them lost",
        "dagster.daemon.AssetDaemon - INFO - Tick produced 0 runs and 8 asset evaluations",
        "dagster.daemon.AssetDaemon - INFO - Submitting 0 runs for evaluation 4 for follow_new_data",
    ],
)
def test_what_happened_on_purpose_or_led_to_nothing_is_not_shown(line):
    assert not is_worth_showing(BEGIN + line)


@pytest.mark.parametrize(
    "line",
    [
        "dagster-webserver - INFO - Serving dagster-webserver on http://127.0.0.1:3000 in process 7",
        "dagster.daemon.SensorDaemon - INFO - Launching run for lost_runs",
        "dagster.daemon.SensorDaemon - ERROR - Sensor daemon caught an error for sensor lost_runs",
        "dagster.daemon.SensorDaemon - WARNING - Checking for new runs took 70 s",
        "dagster.daemon.AssetDaemon - INFO - Tick produced 3 runs and 8 asset evaluations",
        "dagster.daemon.AssetDaemon - INFO - Tick produced 10 runs and 8 asset evaluations",
        "dagster.daemon.AssetDaemon - INFO - Submitting 1 runs for evaluation 4 for follow_new_data",
        "dagster - WARNING - Another warning about dagster.yaml",
        "Traceback (most recent call last):",
        "left out: configs/experiments/wrong.yaml:3: unknown key `lenght`",
    ],
)
def test_everything_else_is(line):
    assert is_worth_showing(BEGIN + line) and is_worth_showing(line)


def test_a_port_that_another_program_has_is_told_before_a_daemon_starts(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert command.main(["dev", "--port", str(port)]) == 2
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert told.startswith(f"127.0.0.1:{port} cannot be listened on: Address already in use; ")
    assert not (tmp_path / "home").exists()


def test_a_port_that_cannot_be_is_refused(capsys):
    assert command.main(["dev", "--port", "99999"]) == 2
    assert "65535" in capsys.readouterr().err


@pytest.mark.slow
def test_the_ui_and_all_that_belongs_to_it_are_out_of_reach_of_other_hosts(tmp_path):
    with dev_server(tmp_path) as (address, _):
        sockets = [
            connection
            for process in psutil.Process().children(recursive=True)
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ]
    assert int(address.rpartition(":")[2]) in {connection.laddr.port for connection in sockets}
    assert {connection.laddr.ip for connection in sockets} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
