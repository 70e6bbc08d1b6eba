"""A store and sources on S3 whose answers are wrong, late, cut or missing."""

import io
import pickle
import time
import zipfile

import fsspec
import pytest
import s3fs

from gan_core import remote
from gan_core.cli import main
from gan_core.config import Dataset
from gan_core.data.raw import collect_raw_images
from gan_core.errors import ConfigError, SourceError, StoreError
from gan_core.remote import RemoteFiles
from gan_core.store import Store
from tests.fault_proxy import PERMANENT, Fault, FaultProxy, upstream_of
from tests.gan_core.data.conftest import encoded

CONTENT = bytes(range(256)) * 4096
TRANSIENT = [
    *((kind, "GET") for kind in ("InternalError", "SlowDown", "RequestTimeout", "cut", "reset")),
    *((kind, "HEAD") for kind in ("ServiceUnavailable", "reset")),
]
PHOTOS = {
    "name": "photos",
    "source": {"kind": "images"},
    "image_size": 8,
    "channels": 3,
    "splits": ["train"],
}


@pytest.fixture
def proxy(s3_store, s3_server, monkeypatch):
    """Between the client and S3; `s3_store`'s bucket is behind it."""
    monkeypatch.setattr(remote, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(remote, "_last_note", -remote.NOTE_EVERY)
    with FaultProxy(upstream_of(s3_server)).running() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        monkeypatch.setenv(remote.PATIENCE, "30")
        s3fs.S3FileSystem.clear_instance_cache()
        yield running


@pytest.fixture
def store(proxy, s3_store) -> Store:
    return Store(s3_store.url, cache=s3_store.cache)


def make(store: Store, content: bytes = CONTENT):
    def build(work):
        (work.folder / "data.bin").write_bytes(content)

    return store.produce("thing", "one", config={"size": 1}, inputs={}, code_version="1", build=build)


@pytest.mark.parametrize(("kind", "method"), TRANSIENT)
def test_what_passes_is_tried_again_and_the_bytes_are_the_same(store, proxy, kind, method):
    manifest = make(store)
    proxy.faults = [Fault(kind, "/store/", method, times=2)]
    assert make(store).reused
    assert store.local(manifest, "data.bin").read_bytes() == CONTENT
    assert len(proxy.met) == 2


def test_a_body_that_arrives_damaged_is_fetched_again(store, proxy):
    manifest = make(store)
    proxy.faults = [Fault("corrupt", "data.bin", times=1)]
    assert store.problems(manifest, hashes=True) == []
    proxy.faults = [Fault("corrupt", "data.bin", times=1)]
    assert store.local(manifest, "data.bin").read_bytes() == CONTENT
    assert len(proxy.met) == 2


def test_a_copy_in_the_cache_that_is_damaged_is_replaced(store):
    manifest = make(store)
    copy = store.local(manifest, "data.bin")
    copy.write_bytes(b"damaged")
    assert store.local(manifest, "data.bin").read_bytes() == CONTENT


def test_a_file_that_is_damaged_in_the_store_is_refused(store):
    manifest = make(store)
    store.fs.pipe_file(store.file_path(manifest, "data.bin"), CONTENT[::-1])
    assert "has sha256" in store.problems(manifest, hashes=True)[0]
    with pytest.raises(StoreError, match="does not match its manifest"):
        store.local(manifest, "data.bin")


def test_a_large_file_whose_connection_is_cut_is_read_on_from_there(store, proxy, monkeypatch, tmp_path):
    monkeypatch.setattr(remote, "LARGEST_BLOCK", 2**18)
    monkeypatch.setattr(remote, "SMALLEST_BLOCK", 2**16)
    manifest = make(store)
    proxy.faults = [Fault("cut", "data.bin", times=3)]
    seen = []
    store.reading.copy(store.file_path(manifest, "data.bin"), tmp_path / "copy", seen.append)
    assert (tmp_path / "copy").read_bytes() == CONTENT
    assert seen[:2] == [2**16, 2**16] and sum(seen) == len(CONTENT)


@pytest.mark.parametrize("kind", sorted(PERMANENT))
def test_what_does_not_pass_is_one_line_at_once(store, proxy, kind):
    make(store)
    proxy.faults = [Fault(kind, "manifest.json")]
    began = time.monotonic()
    with pytest.raises(StoreError) as caught:
        store.current("thing", "one")
    assert time.monotonic() - began < 20
    assert len(proxy.met) == 1
    message = str(caught.value)
    assert store.url in message and "manifest.json cannot be read" in message and kind in message
    assert "\n" not in message


def test_what_never_passes_is_said_once_and_given_up(store, proxy, caplog, monkeypatch):
    make(store)
    monkeypatch.setattr(store.reading, "patience", 3.0)
    proxy.faults = [Fault("SlowDown", "manifest.json")]
    with pytest.raises(StoreError, match="SlowDown.*tried for 3 s.*then run again"):
        store.current("thing", "one")
    assert len(caplog.messages) == 1
    assert "manifest.json" in caplog.messages[0] and "trying again for up to 3 s" in caplog.messages[0]


def test_a_silent_server_is_said_soon(store, proxy, caplog, monkeypatch):
    make(store)
    assert remote.SILENCE <= 10
    monkeypatch.setattr(remote, "SILENCE", 1.0)
    proxy.faults = [Fault("silent", "manifest.json", times=1)]
    assert Store(store.url, cache=store.cache).current("thing", "one")
    assert "trying again" in caplog.messages[0]


def test_no_credentials_are_one_line_at_once(s3_store, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(StoreError, match="credentials.*set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        Store(s3_store.url, cache=s3_store.cache).current("thing", "one")


def test_an_endpoint_that_nobody_answers_at_is_one_line(s3_store, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv(remote.PATIENCE, "1")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(StoreError, match="127.0.0.1:9.*tried for 1 s.*that AWS_ENDPOINT_URL is right"):
        Store(s3_store.url, cache=s3_store.cache).current("thing", "one")


def test_a_bucket_that_is_not_there_is_no_empty_store(proxy):
    with pytest.raises(StoreError, match="NoSuchBucket.*create the bucket"):
        Store("s3://no-such-bucket-of-ours/store").current("thing", "one")


def test_the_command_line_says_one_line_without_a_traceback(store, proxy, capsys):
    make(store)
    proxy.faults = [Fault("ExpiredToken", method="*")]
    assert main(["report", "--store", store.url]) == 2
    printed = capsys.readouterr().err
    assert "StoreError: s3://" in printed and "renew them" in printed and "Traceback" not in printed


@pytest.mark.parametrize("place", ["photos.zip", "photos"])
@pytest.mark.parametrize("kind", ["InternalError", "cut", "AccessDenied"])
def test_a_source_on_s3_is_read_as_patiently(store, proxy, tmp_path, place, kind):
    bucket = store.root.split("/")[0]
    pictures = {f"{number}.png": encoded(number) for number in range(3)}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in pictures.items():
            file.writestr(name, content)
            store.fs.pipe_file(f"{bucket}/photos/{name}", content)
    store.fs.pipe_file(f"{bucket}/photos.zip", archive.getvalue())
    local, dataset = Store(tmp_path / "local"), Dataset.model_validate(PHOTOS)
    url = f"s3://{bucket}/{place}"
    proxy.faults = [Fault(kind, "photos", times=2 if kind != "AccessDenied" else 99)]
    if kind == "AccessDenied":
        with pytest.raises(SourceError, match=f"{url}.*cannot be read: 403.*AccessDenied"):
            collect_raw_images(local, dataset, locations={"train": url})
        return
    assert collect_raw_images(local, dataset, locations={"train": url}).figures["images_train"] == 3
    assert len(proxy.met) == 2


def test_other_file_systems_are_read_as_patiently(monkeypatch):
    monkeypatch.setattr(remote, "FIRST_PAUSE", 0.01)
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/remote/a.bin", CONTENT)
    files = pickle.loads(pickle.dumps(RemoteFiles("memory://remote", SourceError)))
    failures, read = [TimeoutError("slow"), ConnectionResetError("gone")], memory.cat_file

    def unsteady(path):
        if failures:
            raise failures.pop()
        return read(path)

    monkeypatch.setattr(files.fs, "cat_file", unsteady)
    assert files.cat_file("/remote/a.bin") == CONTENT
    with pytest.raises(FileNotFoundError):
        files.cat_file("/remote/b.bin")


@pytest.mark.parametrize("value", ["soon", "-1", "0", "inf", "nan"])
def test_a_patience_that_is_no_time_is_refused(monkeypatch, value):
    monkeypatch.setenv(remote.PATIENCE, value)
    with pytest.raises(ConfigError, match=f"GAN_REMOTE_PATIENCE is `{value}`"):
        Store("memory://patience")


@pytest.mark.parametrize("url", ["nothing://me:pa55word@here/store", "ftp://me:pa55word@127.0.0.1:9/store"])
def test_a_place_where_no_store_can_be_is_one_line(url):
    with pytest.raises(StoreError, match="there can be no store at .*me:[*]{3}@") as caught:
        Store(url)
    assert "pa55word" not in str(caught.value)
