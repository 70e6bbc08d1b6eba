"""S3 on this machine: moto's server, and a store in a bucket of its own; a project whose experiment was made
by every step."""

import logging
import uuid

import pytest

from gan_core import remedies
from gan_core.store import Store
from tests.few_images import analyse_few
from tests.made_once import made_once
from tests.small_store import Project, made


@pytest.fixture(autouse=True)
def without_dagster(monkeypatch):
    """Messages are those of the library, also where another test of this process has imported `assets`."""
    monkeypatch.setattr(remedies, "in_dagster", False)


@pytest.fixture(scope="session")
def s3_server():
    from moto.server import ThreadedMotoServer  # tests on a GPU run where it is not installed

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_store(s3_server, tmp_path, monkeypatch) -> Store:
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    bucket = f"bucket-{uuid.uuid4().hex}"
    s3fs.S3FileSystem().mkdir(bucket)
    return Store(f"s3://{bucket}/store", cache=tmp_path / "cache")


@pytest.fixture(scope="session")
def whole(tmp_path_factory) -> Project:
    """`plain` was made by every step. Not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        analyse_few(patch)
        return Project(made_once(tmp_path_factory, "whole", made))
