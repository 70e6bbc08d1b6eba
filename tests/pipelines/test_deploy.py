"""What `deploy/` ships: files that their own tools accept, and services that run here as they do there."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import dagster as dg
import psutil
import pytest
import s3fs
import sqlalchemy

from gan_core.config import load_configs
from gan_core.store import Store
from pipelines.definitions import build_definitions
from tests.gan_core.conftest import s3_server as s3_server  # noqa: PLC0414  a fixture
from tests.pipelines.deployment import COMPOSE, Deployment
from tests.pipelines.test_durability import BIN, REPOSITORY
from tests.pipelines.test_postgres import PASSWORD, count, needs_postgres
from tests.pipelines.test_postgres import database as database  # noqa: PLC0414
from tests.pipelines.test_postgres import postgres as postgres  # noqa: PLC0414
from tests.small_project import DATASET, EXPERIMENT, write_config

DEPLOY = REPOSITORY / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
FINITE = {**EXPERIMENT, "length": {"images": 20_000}, "checkpoint_every": 5000}
NAMES = [f"finite-{number}" for number in range(4)]


# --- without a daemon of Docker -----------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["compose.yaml", "compose.gpu.yaml"])
def test_compose_files_fit_the_specification(file):
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, DEPLOY / file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_compose_opens_ports_to_this_machine_only_and_pins_what_it_pulls():
    services = COMPOSE["services"].values()
    assert [port.partition(":")[0] for service in services for port in service.get("ports", [])] == [
        "127.0.0.1"
    ]
    pulled = {service["image"] for service in services} - {"gan-pipelines:local"}
    assert pulled and all(re.search(r":\d+\.\d+", image) for image in pulled)


def test_compose_has_no_secret_of_its_own():
    for service in COMPOSE["services"].values():
        for name, value in service["environment"].items():
            if re.search("PASSWORD|KEY|SECRET|URL$", name) and name != "AWS_ENDPOINT_URL":
                assert re.search(r"\$\{GAN_\w+:\?\}", value), name


def test_the_image_has_what_it_copies_and_all_that_the_project_needs():
    done = subprocess.run([BIN / "hadolint", DEPLOY / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    copied = [
        name for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()
    ]
    assert all((REPOSITORY / name).exists() for name in copied)
    assert {"assets/", "configs/", "deploy/", "gan_core/", "pipelines/", "dagster.yaml"} < set(copied)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = set(re.findall(r"--extra (\S+)", DOCKERFILE))
    assert {"dagster", "postgres"} < extras <= set(project["optional-dependencies"])
    (uv,) = re.findall(r"uv==(\S+)", DOCKERFILE)
    assert re.fullmatch(r"\d+\.\d+\.\d+", uv)


# --- the services, as processes -----------------------------------------------------------------------------


def started(folder: Path, database: str, s3: str, **environment: str) -> Deployment:
    """All services of this project."""
    address = sqlalchemy.make_url(database)
    deployment = Deployment(
        folder,
        {
            "postgres:5432/dagster": f"127.0.0.1:{address.port}/{address.database}",
            "http://s3:8333": s3,
        },
        {
            "GAN_POSTGRES_PASSWORD": quote(PASSWORD, safe=""),
            "GAN_S3_KEY": "a-key-of-s3",
            "GAN_S3_SECRET": "a-secret-of-s3",
        },
        GAN_CONFIGS=str(folder / "configs"),
        **environment,
    )
    made = deployment.run(COMPOSE["services"]["bucket"]["command"])
    assert made.returncode == 0, made.stderr
    for service in ("code", "webserver", "daemon"):
        deployment.start(service)
    return deployment


@pytest.fixture
def s3(s3_server, monkeypatch) -> str:
    for name, value in {"ENDPOINT_URL": s3_server, "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "test")
    s3fs.S3FileSystem.clear_instance_cache()
    return s3_server


@needs_postgres
@pytest.mark.engines
def test_the_services_of_compose_make_shards_in_s3(tmp_path, database, s3):
    write_config(tmp_path / "configs", DATASET)
    deployment = started(tmp_path, database, s3)
    try:
        backfill = deployment.launch_backfill(["raw_images", "image_shards"], [DATASET["name"]])
        deployment.wait("the backfill's end", lambda: deployment.status_of(backfill).startswith("COMPLETED"))
        assert deployment.status_of(backfill) == "COMPLETED_SUCCESS"
    finally:
        deployment.close()
    store = Store("s3://gan/store", cache=tmp_path / "cache-of-the-test")
    assert store.problems(store.require("image_shards", DATASET["name"]), hashes=True) == []
    assert count(database, "runs where status = 'SUCCESS'") >= 1
    assert not list(deployment.home.rglob("*.db"))
    assert "a-secret" not in deployment.log.read_text()


@pytest.fixture
def four(tmp_path, database, s3) -> Iterator[Deployment]:
    """The services with four slots in the pool, and four trainings to make in a local store."""
    configs = tmp_path / "configs"
    write_config(configs, {**DATASET, "limit": 100})
    for number, name in enumerate(NAMES):
        write_config(configs, {**FINITE, "name": name, "seed": number})
    store = Store(tmp_path / "store")
    definitions = build_definitions(load_configs(configs))
    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize(
            list(definitions.assets),
            instance=instance,
            partition_key=DATASET["name"],
            selection=["raw_images", "image_shards", "classifier"],
            resources={**definitions.resources, "store": store},
        )
    deployment = started(tmp_path, database, s3, GAN_STORE=store.url)
    slots = deployment.run(["dagster", "instance", "concurrency", "set", "gpu", "4"])
    assert slots.returncode == 0, slots.stderr
    yield deployment
    deployment.close()


def checkpoints(store: Path, name: str) -> list[int]:
    """By the images that each has seen."""
    found = (store / "trained_gan" / name).rglob("checkpoint-*.json")
    return [int(path.stem.removeprefix("checkpoint-")) for path in found]


def hold(deployment: Deployment, store: Path) -> dict[str, psutil.Process]:
    """The trainers, each suspended once it has a checkpoint: so they are at work at once on any machine."""
    held: dict[str, psutil.Process] = {}

    def all_are_held() -> bool:
        for name in NAMES:
            if name not in held and checkpoints(store, name):
                (lease,) = (store / "trained_gan" / name).rglob("lease-*.json")
                held[name] = psutil.Process(json.loads(lease.read_text())["pid"])
                held[name].suspend()
        return len(held) == len(NAMES)

    deployment.wait("four trainings with a checkpoint", all_are_held)
    return held


@needs_postgres
@pytest.mark.engines
def test_four_runs_of_a_backfill_outlast_daemon_and_code_server(four, tmp_path, database, monkeypatch):
    store = Store(tmp_path / "store")
    backfill = four.launch_backfill(["trained_gan"], NAMES)
    held = hold(four, tmp_path / "store")
    assert len({process.pid for process in held.values()}) == 4
    assert four.status_of(backfill) == "REQUESTED"
    killed = four.kill("daemon", "code")  # runs and all
    assert set(held.values()) <= set(killed)
    saved = {name: max(checkpoints(tmp_path / "store", name)) for name in NAMES}
    four.start("code")
    four.start("daemon")
    four.wait("the end of all of its runs", lambda: four.status_of(backfill).startswith("COMPLETED"))

    monkeypatch.setenv("DAGSTER_POSTGRES_URL", database)
    with dg.DagsterInstance.from_config(str(four.home)) as instance:
        runs = instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill}))
        by_status = {
            status: [run for run in runs if run.status.value == status] for status in ("FAILURE", "SUCCESS")
        }
        assert len(runs) == 8 and {len(found) for found in by_status.values()} == {4}
        assert {run.parent_run_id for run in by_status["SUCCESS"]} == {
            run.run_id for run in by_status["FAILURE"]
        }
        for run in by_status["SUCCESS"]:
            name = run.tags["dagster/partition"]
            said = "\n".join(event.message for event in instance.all_logs(run.run_id))
            assert f"/checkpoint-{saved[name]:012d}.pt: {saved[name]:,} images seen" in said
    for name in NAMES:
        assert store.problems(store.require("trained_gan", name), hashes=True) == []
    made = "event_logs where dagster_event_type = 'ASSET_MATERIALIZATION' and asset_key like '%trained_gan%'"
    assert count(database, made) == 4
    kept = "concurrency_slots join runs using (run_id) where status in ('SUCCESS', 'FAILURE')"
    assert count(database, kept) == 0  # `follow_new_data` goes on with samples meanwhile
