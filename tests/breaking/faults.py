"""Servers that fail: HTTP sources and S3 stores and sources, each operation with each fault.

`python -m tests.breaking.faults [PATTERN ...]`, minutes. A fault that passes must cost nothing but time: the
same bytes. One that does not must be one error of `gan_core`, on one line that names the place, and nothing
broken may be kept. What HTTP sends is compared with what the file is.
"""

import contextlib
import hashlib
import io
import itertools
import logging
import os
import socket
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import s3fs
from moto.server import ThreadedMotoServer

from gan_core import remote
from gan_core.data import download as downloads
from gan_core.data.sources.file_collections import open_files
from gan_core.data.sources.zips import ZipFiles
from gan_core.errors import GanError
from gan_core.store import Manifest, Store
from tests.breaking.trials import Case, run_trials
from tests.fault_proxy import ANSWERS, PERMANENT, Fault, FaultProxy, upstream_of

PICTURES = {f"{number:02d}.png": os.urandom(5_000) for number in range(30)}
FILES = {f"a/{name}": content for name, content in PICTURES.items()}


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


ARCHIVE, OTHER = zipped(FILES), zipped({"b.png": b"other"})

# --- HTTP -------------------------------------------------------------------------------------------------

PASSES = [
    *(408, 425, 429, 500, 502, 503, 504),
    *("cut", "reset", "slow", "no length", "no range", "no version", "no HEAD", "HEAD 503", "HEAD cut"),
    *("redirect", "changed meanwhile", "chunked", "cut twice", "weak version", "range too far"),
]
STAYS = [
    *(401, 403, 404, 410, 418, 501),
    *("junk length", "junk range", "wrong range", "a page", "a page for ever", "half without a length"),
    *("redirect in a ring", "nobody listens", "no such host", "compressed junk", "empty", "error in 200"),
]


class HttpServer(ThreadingHTTPServer):
    """Serves the archive, and for its first answers to GET does what `fault` says."""

    daemon_threads = True

    def __init__(self, fault):
        super().__init__(("127.0.0.1", 0), HttpHandler)
        self.fault, self.left = fault, 2 if fault in ("cut twice", "range too far") else 1
        self.content, self.lock = ARCHIVE, threading.Lock()

    def handle_error(self, request, client_address):
        pass


class HttpHandler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        fault = self.server.fault
        if fault == "no HEAD":
            return self.send_error(405)
        if fault in ("HEAD 503", "HEAD cut") and self.take():
            return self.send_error(503) if fault == "HEAD 503" else self.hang_up()
        return self.give(ARCHIVE)

    def do_GET(self):
        fault, server = self.server.fault, self.server
        if fault in STAYS:
            return self.stay(fault)
        if fault in ("redirect",) and self.path == "/x.zip":
            return self.forward("/y/x.zip")
        if fault in ("no length", "chunked"):
            return self.give(ARCHIVE, length=False, chunked=fault == "chunked")
        if fault == "slow":
            return self.give(ARCHIVE, pieces=10)
        if not self.take():
            return self.give(server.content)
        if isinstance(fault, int):
            return self.send_error(fault)
        if fault == "reset":
            return self.hang_up()
        if fault == "changed meanwhile":
            server.content = ARCHIVE  # what is cut off is of another version
            return self.give(OTHER + bytes(len(ARCHIVE)), cut=True)
        if fault == "range too far" and self.headers.get("Range"):
            return self.give(b"", status=416, more={"Content-Range": "bytes */7"})
        return self.give(ARCHIVE, cut=fault not in ("no version", "no HEAD", "HEAD 503", "HEAD cut"))

    def stay(self, fault):
        if isinstance(fault, int):
            return self.send_error(fault)
        if fault == "redirect in a ring":
            return self.forward(self.path)
        if fault in ("junk range", "wrong range"):
            if self.take():
                return self.give(ARCHIVE, cut=True)
            wrong = {"junk range": "bytes so-many", "wrong range": "bytes 7-8/9"}[fault]
            return self.give(ARCHIVE, status=206, more={"Content-Range": wrong})
        if fault == "junk length":
            return self.give(ARCHIVE, more={"Content-Length": "many"}, length=False)
        if fault == "half without a length":
            return self.give(ARCHIVE[: len(ARCHIVE) // 2], length=False)
        if fault == "compressed junk":
            return self.give(b"junk" * 99, more={"Content-Encoding": "gzip"})
        pages = {"empty": b"", "error in 200": b'{"error": "no such file"}'}
        return self.give(pages.get(fault, b"<html>Sign in</html>"))

    def take(self) -> bool:
        with self.server.lock:
            self.server.left -= 1
            return self.server.left >= 0

    def give(self, content, *, status=200, cut=False, length=True, chunked=False, pieces=1, more=None):
        asked = self.headers.get("Range")
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        start = 0
        ranged = asked and self.server.fault != "no range" and self.headers.get("If-Range", tag) == tag
        if ranged and status == 200:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        body = content[start:]
        self.protocol_version = "HTTP/1.1" if chunked else "HTTP/1.0"
        self.send_response(206 if start else status)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if length:
            self.send_header("Content-Length", str(len(body)))
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        if self.server.fault not in ("no version", "a page for ever", "half without a length"):
            self.send_header("ETag", f"W/{tag}" if self.server.fault == "weak version" else tag)
        for name, value in (more or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        body = body[: len(body) // 2] if cut else body
        size = -(-len(body) // pieces) or 1
        for begin in range(0, len(body), size):
            piece = body[begin : begin + size]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            time.sleep(0.02 if pieces > 1 else 0)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def forward(self, path):
        self.send_response(302)
        self.send_header("Location", path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def hang_up(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def served(fault) -> Iterator[str]:
    server = HttpServer(fault)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        place = {"nobody listens": "127.0.0.1:9", "no such host": "no-such-host.invalid"}
        yield f"http://{place.get(fault, f'127.0.0.1:{server.server_port}')}/x.zip"
    finally:
        server.shutdown()
        server.server_close()


def http_passes(fault) -> None:
    with served(fault) as url, tempfile.TemporaryDirectory() as folder:
        files = open_files(url, Path(folder), quiet)
        assert isinstance(files, ZipFiles) and files.path.read_bytes() == ARCHIVE, "other bytes"


def http_stays(fault) -> None:
    with served(fault) as url, tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            one_line(lambda: open_files(url, Path(folder), quiet), url)
        kept = [path.name for path in Path(folder).rglob("*.zip")]
        assert not kept, f"kept in the cache: {kept}"


# --- S3 ---------------------------------------------------------------------------------------------------

CONTENT = os.urandom(600_000)


class Bucket:
    """A bucket with an artefact and photographs, of which `store` sees what the proxy lets through."""

    def __init__(self, proxy: FaultProxy, folder: Path, name: str):
        self.proxy, self.folder, self.name = proxy, folder, name
        self.fs = s3fs.S3FileSystem()
        self.fs.mkdir(name)
        self.fs.pipe_file(f"{name}/photos.zip", ARCHIVE)
        for key, content in FILES.items():
            self.fs.pipe_file(f"{name}/photos/{key}", content)
        self.store = Store(f"s3://{name}/store", cache=folder / "cache")
        self.manifest = self.make()

    def make(self) -> Manifest:
        def build(work):
            (work.folder / "data.bin").write_bytes(CONTENT)

        return self.store.produce("thing", "one", config={}, inputs={}, code_version="1", build=build)

    # What is done, and that it was done right.

    def reads_its_manifest(self):
        assert self.store.require("thing", "one").version == self.manifest.version

    def reuses(self):
        assert self.make().reused

    def lists(self):
        assert "manifest.json" in self.store.list_names(f"thing/one/{self.manifest.fingerprint}")

    def fetches_a_file(self):
        cache = Path(tempfile.mkdtemp(dir=self.folder))
        local = Store(self.store.url, cache=cache).local(self.manifest, "data.bin")
        assert local.read_bytes() == CONTENT

    def verifies(self):
        assert self.store.problems(self.manifest, hashes=True) == []

    def opens_an_archive(self):
        cache = Path(tempfile.mkdtemp(dir=self.folder))
        files = open_files(f"s3://{self.name}/photos.zip", cache, quiet)
        assert files.path.read_bytes() == ARCHIVE

    def opens_a_folder(self):
        files = open_files(f"s3://{self.name}/photos", self.folder, quiet)
        assert {name: files.read(name) for name in files.names()} == FILES


OPERATIONS = {
    "reads_its_manifest": "manifest.json",
    "reuses": "/store/",
    "lists": "list-type",
    "fetches_a_file": "data.bin",
    "verifies": "data.bin",
    "opens_an_archive": "photos.zip",
    "opens_a_folder": "photos",
}
# A page in the place of a listing or a manifest is nothing that passes, and a file has its checksum.
S3_PASSES = [*sorted(set(ANSWERS) - PERMANENT), "cut", "reset", "silent"]
DAMAGED = ["fetches_a_file", "verifies"]


def s3_passes(bucket: Bucket, operation: str, fault: str) -> None:
    bucket.proxy.faults = [Fault(fault, OPERATIONS[operation], times=2)]
    met = len(bucket.proxy.met)
    try:
        getattr(bucket, operation)()
    finally:
        bucket.proxy.faults = []
    assert len(bucket.proxy.met) > met, "the fault was not met"


def s3_stays(bucket: Bucket, operation: str, fault: str) -> None:
    bucket.proxy.faults = [Fault(fault, OPERATIONS[operation])]
    try:
        began = time.monotonic()
        one_line(getattr(bucket, operation), bucket.name)
        assert time.monotonic() - began < 60, "it took too long to give up"
    finally:
        bucket.proxy.faults = []


def s3_gives_up(bucket: Bucket, operation: str, fault: str) -> None:
    bucket.store.reading.patience, before = 1.0, bucket.store.reading.patience
    os.environ[remote.PATIENCE] = "1"
    try:
        s3_stays(bucket, operation, fault)
    finally:
        bucket.store.reading.patience = before
        os.environ[remote.PATIENCE] = "60"


# --- all --------------------------------------------------------------------------------------------------


def one_line(act: Callable[[], object], place: str) -> None:
    """Raise `AssertionError` unless `act` raises an error of `gan_core` on one line that names the place."""
    try:
        act()
    except GanError as error:
        assert "\n" not in str(error), f"several lines: {error}"
        assert place in str(error), f"it does not name {place}: {error}"
        return
    raise AssertionError("nothing was said")


def quiet(message: str) -> None:
    pass


def cases(bucket: Bucket) -> dict[str, Case]:
    http = {f"http: {fault} passes": partial(http_passes, fault) for fault in PASSES}
    http |= {f"http: {fault} is one line": partial(http_stays, fault) for fault in STAYS}
    s3 = {}
    for operation, fault in itertools.product(OPERATIONS, S3_PASSES):
        s3[f"s3: {fault} while it {operation} passes"] = partial(s3_passes, bucket, operation, fault)
    for operation, fault in itertools.product(OPERATIONS, sorted(PERMANENT)):
        s3[f"s3: {fault} while it {operation} is one line"] = partial(s3_stays, bucket, operation, fault)
    for operation, fault in itertools.product(OPERATIONS, ["SlowDown", "reset"]):
        s3[f"s3: {fault} for ever while it {operation} is one line"] = partial(
            s3_gives_up, bucket, operation, fault
        )
    for operation in DAMAGED:
        s3[f"s3: a damaged body while it {operation} passes"] = lambda operation=operation: _damaged(
            bucket, operation
        )
    return http | s3


def _damaged(bucket: Bucket, operation: str) -> None:
    bucket.proxy.faults = [Fault("corrupt", "data.bin", times=1)]
    getattr(bucket, operation)()


def main() -> int:
    logging.disable(logging.ERROR)
    downloads.FIRST_PAUSE = remote.FIRST_PAUSE = 0.01
    remote.SILENCE = 1.0
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with (
        tempfile.TemporaryDirectory() as folder,
        FaultProxy(upstream_of(f"http://{host}:{port}")).running() as proxy,
    ):
        os.environ |= {
            "AWS_ENDPOINT_URL": proxy.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            remote.PATIENCE: "60",
        }
        try:
            return run_trials("servers that fail: HTTP and S3", cases(Bucket(proxy, Path(folder), "bucket")))
        finally:
            server.stop()


if __name__ == "__main__":
    sys.exit(main())
