"""Several first runs of one dataset at once: real processes, of which one does the work."""

import io
import os
import signal
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from gan_core.store import Store
from tests.gan_core.data.conftest import FileServer, encoded
from tests.gan_core.data.test_killed_sharding import wait_for

IMAGES, PER_SHARD, PROCESSES = 60, 5, 3
ARCHIVE = "/pictures.zip"
PATIENCE = 120  # seconds


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.slow)])
def store(request, tmp_path) -> Store:
    return Store(tmp_path / "store") if request.param == "local" else request.getfixturevalue("s3_store")


@pytest.fixture
def published(server: FileServer) -> str:
    """The URL of an archive of images."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(IMAGES):
            archive.writestr(f"{number:03d}.png", encoded(number))
    server.files[ARCHIVE] = buffer.getvalue()
    return server.url + ARCHIVE


def start(
    store: Store,
    url: str,
    log: Path,
    *,
    force: bool = False,
    slowly: float = 0.005,
    waited_for: Path | None = None,
):
    """`gan-core shard` as a process that notes every read image in `log`; it prints what it says.

    With `waited_for`, where all note that they wait, nobody reads on before all others wait for the step.
    """
    script = f"""
        import os, time
        from pathlib import Path
        from gan_core.data import raw, shards
        from gan_core.data.sources.images import ImageFiles
        from gan_core.store import Store
        from tests.gan_core.data.conftest import make_dataset

        raw.PART, shards.IMAGES_PER_SHARD = 10, {PER_SHARD}
        read = ImageFiles.read

        log, waiting = Path({str(log)!r}), {str(waited_for or "")!r} and Path({str(waited_for or "")!r})

        def count(path):
            return len(path.read_text().splitlines()) if path.exists() else 0

        def noted(self, entry):
            time.sleep({slowly})
            while waiting and count(waiting) < (count(log) // {IMAGES} + 1) * {PROCESSES - 1}:
                time.sleep(0.01)
            with log.open("a") as file:
                file.write(f"{{os.getpid()}} {{entry.key}}\\n")
            return read(self, entry)

        ImageFiles.read = noted
        store, dataset = Store({store.url!r}, {str(store.cache)!r}), make_dataset(splits=["train"])

        def say(line):
            print(line, flush=True)
            if waiting and "waiting for it to end" in line:
                with waiting.open("a") as file:
                    file.write(line + "\\n")

        given = {{"train": {url!r}}}
        made = raw.collect_raw_images(store, dataset, locations=given, force={force}, emit=say)
        shards.write_image_shards(store, dataset, made, workers=1, force={force}, emit=say)
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(processes: list[subprocess.Popen]) -> list[str]:
    said = []
    for process in processes:
        lines, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
        said.append(lines)
    return said


def shards(store: Store) -> dict[str, str]:
    made = store.require("image_shards", "pictures")
    assert store.problems(made, hashes=True) == []
    return {name: entry.sha256 for name, entry in made.files.items()}


def leases(store: Store) -> list[str]:
    store.fs.invalidate_cache()
    return [path for path in store.fs.find(store.root) if "lease-" in path]


@pytest.fixture
def expected(tmp_path, published) -> dict[str, str]:
    """The shards that one process makes on its own."""
    alone = Store(tmp_path / "alone")
    ended([start(alone, published, tmp_path / "alone.log", slowly=0)])
    return shards(alone)


def test_one_downloads_reads_and_shards_for_all(tmp_path, store, server, published, expected):
    server.seen.clear()
    log = tmp_path / "reads"
    waited_for = tmp_path / "waiting"
    said = ended([start(store, published, log, waited_for=waited_for) for _ in range(PROCESSES)])
    assert len(log.read_text().splitlines()) == 2 * IMAGES  # once to hash it, once to shard it
    assert server.ranges(ARCHIVE).count(None) == 1
    assert shards(store) == expected
    assert leases(store) == []
    assert any("is making it; waiting for it to end" in lines for lines in said)


def test_with_force_all_take_what_one_made_meanwhile(tmp_path, store, published, expected):
    ended([start(store, published, tmp_path / "first", slowly=0)])
    old = store.require("image_shards", "pictures")
    log, waited_for = tmp_path / "reads", tmp_path / "waiting"
    ended([start(store, published, log, force=True, waited_for=waited_for) for _ in range(PROCESSES)])
    assert len(log.read_text().splitlines()) == 2 * IMAGES
    new = store.require("image_shards", "pictures")
    assert new.files["train-000000.tar"].path != old.files["train-000000.tar"].path
    assert shards(store) == expected
    assert leases(store) == []


def test_the_others_go_on_with_what_a_killed_one_has_done(tmp_path, published, expected):
    store, log = Store(tmp_path / "store"), tmp_path / "reads"
    first = start(store, published, log, slowly=0.02)
    others = []
    wait_for(log.exists, first)
    others = [start(store, published, log) for _ in range(PROCESSES - 1)]
    wait_for(lambda: len(list(Path(store.root).rglob("*.tar.json"))) >= 3, first)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    said = ended(others)
    assert sum(f"process {first.pid} on" in lines and "has ended; took over" in lines for lines in said) == 1
    again = [line for line in log.read_text().splitlines() if not line.startswith(f"{first.pid} ")]
    assert len(again) <= IMAGES - 3 * PER_SHARD
    assert shards(store) == expected
    assert leases(store) == []


def test_one_who_waits_stops_at_once_when_interrupted(tmp_path, published):
    store, log = Store(tmp_path / "store"), tmp_path / "reads"
    first = start(store, published, log, slowly=0.5)
    wait_for(log.exists, first)
    second = start(store, published, log)
    assert any("waiting for it to end" in line for line in second.stdout)
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=20)
    assert second.returncode != 0
    assert first.poll() is None
    first.kill()
    first.communicate()


def test_a_lease_that_was_left_beside_a_whole_artefact_goes(tmp_path, published):
    store = Store(tmp_path / "store")
    ended([start(store, published, tmp_path / "reads", slowly=0)])
    made = store.require("image_shards", "pictures")
    folder = f"{made.asset}/{made.partition}/{made.fingerprint}"
    script = f"""
        import os
        from gan_core.store import Store
        from gan_core.store.lease import Lease
        for fingerprint in ({made.fingerprint!r}, ""):
            Lease(Store({store.url!r}), {made.asset!r}, {made.partition!r}, fingerprint).__enter__()
        os._exit(9)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)])
    assert store.read_bytes(f"{folder}/lease-000001.json")
    assert len(leases(store)) == 2
    assert store.reuse(made.asset, made.partition, made.fingerprint)
    assert leases(store) == []
