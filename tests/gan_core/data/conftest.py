"""A store, small image sources of every kind, and an HTTP server that can fail."""

import contextlib
import hashlib
import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_core.config import Dataset
from gan_core.data import download as download_module
from gan_core.store import Store


class FileServer(ThreadingHTTPServer):
    """Serves `files` (path → bytes) with Range, If-Range and ETag; `faults` are used up one a request.

    A fault is a status code, "cut" (half of what was asked for, then the connection closes), "no range", or a
    dictionary of headers that are sent in the place of the right ones. A `silent` server tells no version.
    `head_faults` are status codes, or "cut", that HEAD requests are answered with first.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list] = {}
        self.silent = False
        self.head_faults: list = []
        self.seen: list[tuple[str, str, str | None]] = []  # method, path, Range

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def ranges(self, path: str) -> list[str | None]:
        return [asked for method, seen, asked in self.seen if seen == path and method == "GET"]


class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        if self.server.head_faults:
            fault = self.server.head_faults.pop(0)
            if fault == "cut":
                self.close_connection = True
            else:
                self.send_error(fault)
            return
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, with_body: bool):
        asked = self.headers.get("Range")
        self.server.seen.append((self.command, self.path, asked))
        content = self.server.files.get(self.path)
        faults = self.server.faults.get(self.path, [])
        fault = faults.pop(0) if faults and with_body else None
        if isinstance(fault, int) or content is None:
            self.send_error(fault or 404)
            return
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and fault != "no range" else 0
        if self.headers.get("If-Range", tag) != tag:
            start = 0
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        headers = {"Content-Length": str(len(content) - start)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if not self.server.silent:
            headers["ETag"] = tag
        if isinstance(fault, dict):
            headers |= fault
        self.send_response(206 if start else 200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        body = content[start:]
        if with_body:
            with contextlib.suppress(ConnectionError):  # the client may have seen enough
                self.wfile.write(body[: len(body) // 2] if fault == "cut" else body)
        self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download_module, "FIRST_PAUSE", 0.001)
    running = FileServer()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(autouse=True)
def no_sources_of_the_machine(monkeypatch):
    """Variables of whoever runs the tests must not redirect them."""
    import os

    for name in os.environ:
        if name.startswith(("GAN_SOURCE_", "GAN_MIRROR_", "GAN_CACHE")):
            monkeypatch.delenv(name)


def make_dataset(**changes) -> Dataset:
    values = {"name": "pictures", "source": {"kind": "images"}, "image_size": 8, "channels": 3}
    return Dataset.model_validate({**values, **changes})


def encoded(seed: int, size: tuple[int, int] = (12, 10), extension: str = "png", mode: str = "RGB") -> bytes:
    """A random picture as the bytes of an image file."""
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "JPEG" if extension == "jpg" else extension.upper())
    return buffer.getvalue()


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def class_files(counts: dict[str, int], prefix: str = "", seed: int = 0) -> dict[str, bytes]:
    """`<prefix><class>/<number>.png` for every class, all pictures different."""
    numbered = ((name, index) for name, count in counts.items() for index in range(count))
    return {
        f"{prefix}{name}/{index:03d}.png": encoded(1000 * seed + position)
        for position, (name, index) in enumerate(numbered)
    }
