"""No byte of a store, of Dagster's home or of what is printed holds a password or signature of a source."""

import base64
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import numpy as np
import pytest
from PIL import Image

from gan_core.store import Store
from tests.small_project import EXPERIMENT, write_config

REPOSITORY = Path(__file__).parents[2]
DAGSTER = Path(sys.executable).parent / "dagster"
PASSWORD, SIGNATURE, TOKEN = "pass/w0rd-of-ours", "51gn+ature/of=ours", "sess10n-token-of-ours"
SECRETS = {
    form.encode()
    for secret in (PASSWORD, SIGNATURE, TOKEN)
    for form in (secret, quote(secret), quote(secret, safe=""), base64.b64encode(secret.encode()).decode())
} | {base64.b64encode(f"me:{PASSWORD}".encode())}
DATASET = {
    "name": "photos",
    "source": {"kind": "images"},
    "image_size": 16,
    "channels": 1,
    "splits": ["train"],  # one shard, so that no other processes are started
    "evaluation": {"samples": 100},
}
TRAINING = {**EXPERIMENT, "name": "plain", "dataset": "photos"}


class Guarded(ThreadingHTTPServer):
    """Gives `content` to whoever has the password (at /private/) or the signature (at /signed/)."""

    def __init__(self, content: bytes):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.status = content, 200

    @property
    def private(self) -> str:
        return f"http://me:{quote(PASSWORD, safe='')}@127.0.0.1:{self.server_port}/private/photos.zip"

    @property
    def signed(self) -> str:
        query = f"X-Amz-Security-Token={TOKEN}&X-Amz-Signature={quote(SIGNATURE, safe='')}"
        return f"http://127.0.0.1:{self.server_port}/signed/photos.zip?{query}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlsplit(self.path)
        basic = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()
        may = (
            self.headers.get("Authorization") == basic
            if url.path.startswith("/private/")
            else parse_qs(url.query).get("X-Amz-Signature") == [SIGNATURE]
        )
        if not may or self.server.status != 200:
            self.send_error(self.server.status if may else 403)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(self.server.content)

    do_HEAD = do_GET

    def log_message(self, *arguments):
        pass


def photos() -> bytes:
    buffer = io.BytesIO()
    random = np.random.default_rng(0)
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(120):
            picture = io.BytesIO()
            Image.fromarray(random.integers(0, 256, (16, 16), dtype=np.uint8)).save(picture, "PNG")
            archive.writestr(f"{number:03d}.png", picture.getvalue())
    return buffer.getvalue()


class World:
    """Configurations, a store, a cache and a DAGSTER_HOME, and all that commands have printed."""

    def __init__(self, folder: Path, server: Guarded):
        self.folder, self.server = folder, server
        (folder / "home").mkdir()
        settings = (REPOSITORY / "dagster.yaml").read_text()
        (folder / "home" / "dagster.yaml").write_text(settings)
        write_config(folder / "configs", DATASET)
        write_config(folder / "configs", TRAINING)
        self.printed = b""
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GAN_")},
            "HOME": str(folder / "user"),
            "GAN_CONFIGS": str(folder / "configs"),
            "GAN_STORE": str(folder / "store"),
            "GAN_CACHE": str(folder / "cache"),
            "DAGSTER_HOME": str(folder / "home"),
        }

    def run(self, *command: str | Path, **environment: str) -> tuple[int, str]:
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=300,
            check=False,
        )
        self.printed += done.stdout
        return done.returncode, done.stdout.decode()

    def cli(self, line: str, *more: str, **environment: str) -> tuple[int, str]:
        return self.run(sys.executable, "-m", "gan_core", *line.split(), *more, **environment)

    def dagster(self, job: str, partition: str | None, config: dict | None = None, **environment: str):
        tags = ["--tags", json.dumps({"dagster/partition": partition})] if partition else []
        file = self.folder.with_name(f"{self.folder.name}-run.yaml")  # not among what is searched
        file.write_text(json.dumps(config or {}))
        given = ["--config", str(file)] if config else []
        return self.run(
            *(DAGSTER, "job", "execute", "-f", "pipelines/definitions.py", "-d", ".", "-j", job),
            *tags,
            *given,
            **environment,
        )

    def assert_no_secret(self, *, but: str = "") -> None:
        """In any file below the folder, of whatever kind, or in what was printed. `but`: see the run
        configuration, which Dagster itself keeps."""
        contents = {str(path): path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        told = [
            (place, secret)
            for place, content in {**contents, "console": self.printed}.items()
            for secret in SECRETS
            if secret in content and not (but and but in place)
        ]
        assert not told


@pytest.fixture
def server() -> Iterator[Guarded]:
    server = Guarded(photos())
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def world(tmp_path, server) -> World:
    return World(tmp_path, server)


def test_the_secret_would_be_found(world, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "file").write_bytes(b"x" + PASSWORD.encode() + b"y")
    with pytest.raises(AssertionError):
        world.assert_no_secret()


@pytest.mark.slow
def test_the_command_line_keeps_no_secret_in_success_or_failure(world, server):
    assert world.cli("shard photos --train", server.private)[0] == 0
    named = {"GAN_SOURCE_PHOTOS": server.private}
    assert world.cli("shard photos --force", **named)[0] == 0
    assert world.cli("train plain")[0] == 0
    assert world.cli("report")[0] == 0
    archives = ("--real", server.signed, "--fake", server.private)
    code, printed = world.cli("evaluate --extractor classifier --classifier photos", *archives)
    assert code == 0 and "X-Amz-Signature=***" in printed, printed
    world.assert_no_secret()

    whole = server.content
    for status, content in ((404, whole), (403, whole), (500, whole), (200, whole[:-100]), (200, b"<html>")):
        server.status, server.content = status, content
        for url in (server.private, server.signed):
            code, printed = world.cli("shard photos --train", url + ("&v=2" if "?" in url else "?v=2"))
            assert code == 2 and "Traceback" not in printed and "***" in printed, printed
    world.assert_no_secret()


@pytest.mark.slow
def test_dagster_keeps_no_secret_in_success_or_failure(world, server):
    named = {"GAN_SOURCE_PHOTOS": server.private}
    code, printed = world.dagster("prepare_dataset", "photos", **named)
    assert code == 0, printed
    code, printed = world.dagster("run_experiment", "plain", **named)
    assert code == 0, printed
    manifest = Store(world.folder / "store").current("raw_images", "photos")
    assert manifest.details["locations"]["train"] == server.private.replace(
        f"me:{quote(PASSWORD, safe='')}", "***"
    )
    world.assert_no_secret()

    server.content = server.content[:-100]
    for url, force in ((server.private, True), (server.signed, False)):
        again = {"ops": {"raw_images": {"config": {"force": force}}}}
        code, printed = world.dagster(
            "prepare_dataset", "photos", again, GAN_SOURCE_PHOTOS=url.replace("photos.zip", "others.zip")
        )
        assert code != 0 and "cannot be opened as an archive" in printed, printed
    refused = server.private.replace(f":{server.server_port}", ":9")  # nobody listens there
    write_config(world.folder / "configs", {**DATASET, "source": {"kind": "images", "train": refused}})
    code, printed = world.dagster("prepare_dataset", "photos")
    assert code != 0 and "cannot be reached" in printed, printed
    write_config(world.folder / "configs", DATASET)  # the file itself is the user's
    world.assert_no_secret()


@pytest.mark.slow
def test_a_secret_in_the_run_configuration_is_refused_with_what_to_do_instead(world, server):
    config = {"ops": {"raw_images": {"config": {"train": server.private}}}}
    code, printed = world.dagster("prepare_dataset", "photos", config)
    assert code != 0 and "GAN_SOURCE_PHOTOS_TRAIN" in printed, printed
    config = {"resources": {"store": {"config": {"url": server.private}}}}
    code, printed = world.dagster("prepare_dataset", "photos", config)
    assert code != 0 and "set GAN_STORE in the environment" in printed, printed
    world.assert_no_secret(but="home/history")  # which is Dagster's own record of the configuration


def test_shards_say_what_is_missing_where_the_secret_is_gone(world, server):
    assert world.cli("shard photos", GAN_SOURCE_PHOTOS=server.private)[0] == 0
    imports = "from gan_core.config import load_configs; from gan_core.store import default_store;"
    code, printed = world.run(
        *(sys.executable, "-c"),
        f"{imports} from gan_core.data.raw import reopen_sources; store = default_store();"
        "reopen_sources(store, load_configs().dataset('photos'), store.require('raw_images', 'photos'))",
    )
    assert code != 0 and "set GAN_SOURCE_PHOTOS_TRAIN to the whole URL" in printed
    world.assert_no_secret()
