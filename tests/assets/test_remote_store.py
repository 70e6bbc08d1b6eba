"""Assets whose store and source are on S3, behind a server that fails; and what a run may not be given."""

# ruff: noqa: F811 (fixtures that are imported)

import dagster as dg
import pytest
import s3fs

from gan_core import remote
from gan_core.store import Store
from tests.fault_proxy import Fault, FaultProxy, upstream_of
from tests.gan_core.conftest import s3_server, s3_store  # noqa: F401  fixtures
from tests.gan_core.data.conftest import encoded
from tests.small_project import DATASET, EXPERIMENT, write_config

PHOTOS = {
    "name": "photos",
    "source": {"kind": "images"},
    "image_size": 8,
    "channels": 3,
    "splits": ["train"],
}


@pytest.fixture
def proxy(s3_store, s3_server, monkeypatch):
    monkeypatch.setattr(remote, "FIRST_PAUSE", 0.01)
    with FaultProxy(upstream_of(s3_server)).running() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        monkeypatch.setenv(remote.PATIENCE, "60")
        s3fs.S3FileSystem.clear_instance_cache()
        yield running


@pytest.fixture
def materialise(project):
    def run(store: Store | str, asset: str, partition: str, config: dict | None = None):
        definitions = project.definitions
        resources = definitions.resources
        if isinstance(store, Store):
            resources = {**resources, "store": store}
        return dg.materialize(
            list(definitions.assets),
            instance=project.instance,
            partition_key=partition,
            selection=[asset],
            resources=resources,
            run_config=config,
            raise_on_error=False,
        )

    return run


def failure(result: dg.ExecuteInProcessResult) -> str:
    """What the failed step says, which is one line."""
    (event,) = (event for event in result.all_events if event.is_step_failure)
    error = event.event_specific_data.error
    assert error.message.startswith("Failed: ") and error.cause is None
    (line,) = error.message.splitlines()
    return line


def test_an_asset_on_s3_survives_what_passes_and_says_one_line_of_what_does_not(
    materialise,
    project,
    proxy,
    s3_store,
):
    project.write(PHOTOS)
    bucket = s3_store.root.split("/")[0]
    for number in range(3):
        s3_store.fs.pipe_file(f"{bucket}/photos/{number}.png", encoded(number))
    config = {"ops": {"raw_images": {"config": {"train": f"s3://{bucket}/photos"}}}}
    store = Store(s3_store.url, cache=s3_store.cache)
    proxy.faults = [Fault("InternalError", times=3), Fault("cut", "photos/1.png", times=2)]
    assert materialise(store, "raw_images", "photos", config).success
    assert len(proxy.met) == 5

    proxy.faults = [Fault("AccessDenied", "photos")]
    message = failure(materialise(store, "raw_images", "photos", config))
    assert f"s3://{bucket}/photos cannot be read: 403 AccessDenied" in message
    proxy.faults = [Fault("ExpiredToken", "/store/")]
    message = failure(materialise(store, "raw_images", "photos", config))
    assert "renew them" in message


def test_a_source_with_a_secret_in_the_run_configuration_is_refused(materialise, project):
    project.write(PHOTOS)
    url = "http://me:pass-of-ours@127.0.0.1:9/photos.zip"
    config = {"ops": {"raw_images": {"config": {"train": url}}}}
    message = failure(materialise("", "raw_images", "photos", config))
    assert "pass-of-ours" not in message
    assert "http://***@127.0.0.1:9/photos.zip" in message and "set GAN_SOURCE_PHOTOS_TRAIN" in message


@pytest.mark.slow
def test_a_training_from_s3_behind_a_server_that_fails_has_the_same_bytes(
    materialise,
    project,
    proxy,
    s3_store,
    tmp_path,
):
    write_config(project.folder / "configs", DATASET)
    write_config(project.folder / "configs", EXPERIMENT)
    steps = [("raw_images", "few-digits"), ("image_shards", "few-digits"), ("classifier", "few-digits")]
    steps += [("trained_gan", "plain")]
    weights = {}
    for store in (Store(tmp_path / "local"), Store(s3_store.url, cache=s3_store.cache)):
        for asset, partition in steps:
            proxy.faults = [
                *(Fault(kind, "/store/", times=2) for kind in ("InternalError", "reset")),
                Fault("SlowDown", "/store/", "HEAD", times=1),
                Fault("cut", ".tar", times=1),
                Fault("corrupt", ".tar", times=1),
            ]
            assert materialise(store, asset, partition).success, asset
        trained = store.require("trained_gan", "plain")
        weights[store.is_local] = {
            name: entry.sha256 for name, entry in trained.files.items() if name.endswith(".safetensors")
        }
    assert proxy.met
    assert weights[True] == weights[False] != {}
