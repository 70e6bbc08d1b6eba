"""Every step on a disk that is full at one moment or another, or that takes nothing at all.

`python -m tests.breaking.full_disks [PATTERN ...]`, as root: each case mounts a small tmpfs, leaves so many
bytes of it free, runs a command and looks at what it said and left. Then there is room, and the same command
must end well with the bytes of an undisturbed run.

A command runs in a fork of this process, which has imported everything: a case takes a second or two.
"""

import contextlib
import functools
import http.server
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

from PIL import Image

from gan_core.cli import main
from gan_core.store import Store
from tests.breaking import processes
from tests.breaking.processes import STEPS
from tests.breaking.trials import Case, run_trials
from tests.small_project import DATASET, EXPERIMENT, write_config

DISK_MB = 48
MADE_BY = {
    **processes.MADE_BY,
    "evaluate": ("evaluation", "untrained"),
    "report": ("leaderboard", "answers", "report"),
}
# Of what a step writes in all, so much is free. The first levels are pages.
PAGES = (0, 1, 2, 3, 5)
SHARES = (0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 0.97)
# What an attempt may leave: a training's checkpoints and images that need not be hashed or packed again.
KEPT = re.compile(
    r"checkpoints/|/(hashed|packed)|\.tar\.json|\.tar$|inventory|tensorboard/|lease-|\.part|cache/"
)


class Bench:
    """A project at every stage, and the disk that it is copied to."""

    def __init__(self, folder: Path):
        self.folder, self.disk = folder, folder / "disk"
        self.configs = folder / "configs"
        experiment = {**EXPERIMENT, "checkpoint_every": 300, "sample_every": 300, "evaluate_every": 500}
        for content in (DATASET, experiment):
            write_config(self.configs, content)
        self.disk.mkdir()
        self.written = {}

    def prepare(self) -> None:
        """The store before each step, and how much each writes."""
        store = self.folder / "whole"
        for step, line in STEPS.items():
            if store.exists():
                shutil.copytree(store, self.before(step))
            else:
                self.before(step).mkdir()
            size = _size(store)
            status, output = self.run(line, GAN_STORE=store)
            assert status == 0, output
            self.written[step] = _size(store) - size

    def before(self, step: str) -> Path:
        return self.folder / f"before-{step}"

    def run(self, line: str, *, stdout: Path | None = None, **places: Path | str) -> tuple[int, str]:
        """Exit status and standard error of a command with these environment variables."""
        environment = {
            "GAN_CONFIGS": str(self.configs),
            # One worker: a fork that is not ended by Python's own exit would leave others behind.
            "LOKY_MAX_CPU_COUNT": "1",
            **{name: str(place) for name, place in places.items()},
        }
        return in_fork(lambda: main(line.split()), self.folder / "output", stdout, environment)

    @contextlib.contextmanager
    def small_disk(self, content: Path | None = None) -> Iterator[Path]:
        """A disk of its own with a copy of `content`."""
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "none", self.disk], check=True)
        try:
            if content:
                shutil.copytree(content, self.disk, dirs_exist_ok=True)
            yield self.disk
        finally:
            subprocess.run(["umount", "-l", self.disk], check=True)


def in_fork(
    call: Callable[[], int | None], errors: Path, stdout: Path | None, environment: dict[str, str]
) -> tuple[int, str]:
    """Exit status and standard error of a call in a process of its own."""
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            for number, path in ((1, stdout or os.devnull), (2, errors)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            sys.stdout, sys.stderr = open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
            os.environ |= environment
            tempfile.tempdir = None
            status = call() or 0
        except BaseException:
            traceback.print_exc()
            status = 70
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), errors.read_text(errors="replace")


@contextlib.contextmanager
def filled(disk: Path, free: int) -> Iterator[None]:
    """Leave `free` bytes of a disk."""
    ballast = disk / ".ballast"
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(4096, shutil.disk_usage(disk).free - free))
    yield
    ballast.unlink()


def store_full(bench: Bench, step: str, free: Callable[[int], int]) -> None:
    """The store's disk has so much room and no more, for as much as the step writes."""
    with bench.small_disk(bench.before(step)) as store:
        published = contents(store)
        with filled(store, free(bench.written[step])):
            status, said = bench.run(STEPS[step], GAN_STORE=store)
            if status:
                one_line(said, store, "GAN_STORE|GAN_CACHE")
                unchanged(store, published)
                nothing_left(store, published)
        status, said = bench.run(STEPS[step], GAN_STORE=store)
        assert status == 0, f"with room again: {said}"
        same_as_undisturbed(bench, step, store)


def takes_nothing(bench: Bench, step: str, how: str) -> None:
    """A store that is mounted read-only, or whose files may not be changed."""
    with bench.small_disk(bench.before(step)) as store:
        published = contents(store)
        with refusing(store, how):
            status, said = bench.run(STEPS[step], GAN_STORE=store)
            assert status == 2, f"status {status}: {said}"
            one_line(said, store, "GAN_STORE|GAN_CACHE")
        unchanged(store, published)
        status, said = bench.run(STEPS[step], GAN_STORE=store)
        assert status == 0, f"once it could be written: {said}"
        same_as_undisturbed(bench, step, store)


@contextlib.contextmanager
def refusing(store: Path, how: str) -> Iterator[None]:
    if how == "read-only":
        subprocess.run(["mount", "-o", "remount,ro", store], check=True)
        yield
        subprocess.run(["mount", "-o", "remount,rw", store], check=True)
    else:  # no room for another inode
        used = sum(1 for _ in store.rglob("*"))
        subprocess.run(["mount", "-o", f"remount,nr_inodes={used + 1}", store], check=True)
        yield
        subprocess.run(["mount", "-o", "remount,nr_inodes=100000", store], check=True)


def output_full(bench: Bench, step: str) -> None:
    """`gan-core STEP > FILE` on a full disk: what was made is published all the same."""
    with bench.small_disk() as disk:
        store = bench.folder / f"output-{step}"
        shutil.copytree(bench.before(step), store, dirs_exist_ok=True)
        with filled(disk, 0):
            status, said = bench.run(STEPS[step], GAN_STORE=store, stdout=disk / "output")
            assert status == 2, f"status {status}: {said}"
            one_line(said, "standard output", "elsewhere")
        same_as_undisturbed(bench, step, store)


def configs_full(bench: Bench, kind: str) -> None:
    with bench.small_disk() as disk:
        with filled(disk, 0):
            status, said = bench.run(f"new {kind} another --configs {disk}/configs")
            assert status == 2, f"status {status}: {said}"
            one_line(said, disk, "GAN_CONFIGS")
            assert not list(disk.rglob("*.yaml")), "half a configuration was left"
        status, said = bench.run(f"new {kind} another --configs {disk}/configs")
        assert status == 0, said


def temporary_full(bench: Bench, step: str) -> None:
    """A full TMPDIR hinders no step: another temporary folder is found."""
    with bench.small_disk() as disk, filled(disk, 0):
        store = bench.folder / f"temporary-{step}"
        shutil.copytree(bench.before(step), store, dirs_exist_ok=True)
        status, said = bench.run(STEPS[step], GAN_STORE=store, TMPDIR=disk)
        assert status == 0, said
        same_as_undisturbed(bench, step, store)


def download_full(bench: Bench, url: str, free: int) -> None:
    """The cache is full while an archive is downloaded, or copied."""
    with bench.small_disk() as cache:
        store = bench.folder / f"downloaded-{free}"
        line = f"shard downloaded --train {url}"
        with filled(cache, free):
            status, said = bench.run(line, GAN_STORE=store, GAN_CACHE=cache)
            if status:
                one_line(said, cache, "GAN_CACHE")
                assert Store(store).current("image_shards", "downloaded") is None
        status, said = bench.run(line, GAN_STORE=store, GAN_CACHE=cache)
        assert status == 0, said


def remote_store_cache_full(bench: Bench, step: str, free: Callable[[int], int], url: str) -> None:
    """The store is a bucket; the local disk that attempts write to and files are copied to is full."""
    with bench.small_disk() as cache:
        address = f"{url}/{step}-{free(10**6)}"

        def upload() -> None:
            store = Store(address)
            store.fs.put(f"{bench.before(step)}/", f"{store.root}/", recursive=True)

        # A connection that this process had would not outlive a fork.
        status, said = in_fork(upload, bench.folder / "output", None, {})
        assert status == 0, said
        with filled(cache, free(bench.written[step])):
            status, said = bench.run(STEPS[step], GAN_STORE=address, GAN_CACHE=cache)
            if status:
                one_line(said, cache, "GAN_CACHE")
            left = [path for path in cache.rglob("*") if "attempts/" in str(path)]
            assert not left, f"left in the cache: {left}"
        status, said = bench.run(STEPS[step], GAN_STORE=address, GAN_CACHE=cache)
        assert status == 0, said


def dagster_store_full(bench: Bench, job: str, step: str, partition: str, free: Callable[[int], int]) -> None:
    """An asset through `dagster job execute`, on a full store."""
    with bench.small_disk(bench.before(step)) as store:
        published = contents(store)
        environment = dagster_environment(bench, GAN_STORE=store)
        command = [
            *(sys.executable, "-m", "dagster", "job", "execute", "-f", "pipelines/definitions.py", "-j", job),
            *("--tags", json.dumps({"dagster/partition": partition})),
        ]
        with filled(store, free(bench.written[step])):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode != 0, "it succeeded on a full disk"
            said = [line for line in (done.stdout + done.stderr).splitlines() if "StoreError" in line]
            said += [line for line in (done.stdout + done.stderr).splitlines() if "TrainingError" in line]
            assert any("GAN_STORE" in line and str(store) in line for line in said), done.stderr[-3000:]
            unchanged(store, published)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        same_as_undisturbed(bench, step, store)


def backfill_store_full(bench: Bench, free: int) -> None:
    with bench.small_disk() as store:
        environment = dagster_environment(bench, GAN_STORE=store)
        command = [sys.executable, "-m", "pipelines", "backfill", "plain"]
        with filled(store, free):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 1, f"status {done.returncode}: {done.stderr[-2000:]}"
            failed = [line for line in done.stderr.splitlines() if line.startswith("FAILED plain")]
            assert failed and "GAN_STORE" in failed[0] and str(store) in failed[0], done.stderr[-2000:]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]


def backfill_home_full(bench: Bench, free: int) -> None:
    """DAGSTER_HOME is full: Dagster cannot go on, and one line says so."""
    with bench.small_disk() as home:
        environment = dagster_environment(bench, GAN_STORE=bench.folder / f"home-{free}", DAGSTER_HOME=home)
        command = [sys.executable, "-m", "pipelines", "backfill", "plain"]
        with filled(home, free):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 2, f"status {done.returncode}: {done.stderr[-3000:]}"
            one_line(done.stderr, home, "DAGSTER_HOME")
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]


def dagster_environment(bench: Bench, **places: Path) -> dict[str, str]:
    home = bench.folder / "dagster"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    places = {"DAGSTER_HOME": home, "GAN_CONFIGS": bench.configs, **places}
    return {**os.environ, **{name: str(place) for name, place in places.items()}}


# -- what must hold


def one_line(said: str, place: Path | str, remedy: str) -> None:
    """No traceback; the last line names the place, the cause and the remedy."""
    assert "Traceback" not in said, said[-700:]
    lines = said.strip().splitlines()
    errors = [line for line in lines if re.match(r"\w*Error: ", line)] or lines[-1:]
    assert len(errors) == 1 and errors[0] == lines[-1], f"not one line at the end: {said}"
    assert str(place) in errors[0] and re.search(remedy, errors[0]), errors[0]


def contents(store: Path) -> dict[str, bytes]:
    """What is published: every file that a manifest names, manifests and pointers."""
    found = {}
    for path in [*store.rglob("manifest.json"), *store.rglob("current.json")]:
        found[str(path)] = path.read_bytes()
        for entry in json.loads(path.read_bytes()).get("files", {}).values():
            found[str(path.parent / entry["path"])] = (path.parent / entry["path"]).read_bytes()
    return found


def unchanged(store: Path, published: dict[str, bytes]) -> None:
    now = contents(store)  # raises where a manifest or one of its files is not whole
    for name, content in published.items():
        if not name.endswith("current.json"):
            assert now.get(name) == content, f"{name} is not what it was"


def nothing_left(store: Path, published: dict[str, bytes]) -> None:
    """Of a failed attempt only what the next goes on from."""
    whole = contents(store)
    left = [
        str(path.relative_to(store))
        for path in store.rglob("*")
        if path.is_file() and str(path) not in whole and path.name != ".ballast"
    ]
    unknown = [name for name in left if "files-" in name or not KEPT.search(name)]
    known = (
        "known_content.json",
        "manifest-copy.json",
        "leaderboard/leaderboard.",
        "answers/answers.md",
        "report/index.html",
    )
    unknown = [name for name in unknown if not any(part in name for part in known)]
    assert not unknown, f"left behind: {unknown}"


def same_as_undisturbed(bench: Bench, step: str, store: Path) -> None:
    """The same files with the same bytes, but for what holds times."""
    whole = Store(bench.folder / "whole")
    for asset in MADE_BY[step]:
        if asset == "report":  # named by the moments at which its inputs were made
            assert contents(store / asset), "no report was made"
            continue
        for manifest in sorted((Path(whole.root) / asset).rglob("manifest.json")):
            there = store / manifest.relative_to(whole.root)
            assert there.exists(), f"{there} was not made"
            expected, found = (json.loads(path.read_bytes()) for path in (manifest, there))
            for name, entry in expected["files"].items():
                if entry["counts"] and asset != "leaderboard":
                    assert found["files"][name]["sha256"] == entry["sha256"], f"{asset}: {name} differs"
    left = [path for path in store.rglob("files-*") if not _is_named(path)]
    assert not left, f"left behind after all: {left}"


def _is_named(folder: Path) -> bool:
    manifest = folder.parent / "manifest.json"
    return manifest.exists() and folder.name in manifest.read_text()


def _size(folder: Path) -> int:
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


# -- the cases


def cases(bench: Bench, web: str, bucket: str) -> dict[str, Case]:
    found: dict[str, Case] = {}
    pages = {f"{count} pages": lambda whole, count=count: 4096 * count for count in PAGES}
    shares = {f"{share:.0%}": lambda whole, share=share: int(whole * share) for share in SHARES}
    for step in STEPS:
        for level, free in (pages | shares).items():
            found[f"store {step} {level}"] = functools.partial(store_full, bench, step, free)
        for how in ("read-only", "inodes"):
            found[f"store {step} {how}"] = functools.partial(takes_nothing, bench, step, how)
        found[f"output {step}"] = functools.partial(output_full, bench, step)
        found[f"temporary {step}"] = functools.partial(temporary_full, bench, step)
        for level in ("0 pages", "3 pages", "25%", "70%"):
            free = (pages | shares)[level]
            found[f"remote {step} {level}"] = functools.partial(
                remote_store_cache_full, bench, step, free, bucket
            )
    for kind in ("dataset", "experiment"):
        found[f"configs {kind}"] = functools.partial(configs_full, bench, kind)
    for free in (0, 4096, 8192, 100_000, 180_000):
        found[f"download {free}"] = functools.partial(download_full, bench, web, free)
    for job, step, partition in (
        ("prepare_dataset", "shard", "few-digits"),
        ("run_experiment", "train", "plain"),
    ):
        for level in ("0 pages", "40%"):
            found[f"dagster {job} {level}"] = functools.partial(
                dagster_store_full, bench, job, step, partition, (pages | shares)[level]
            )
    for free in (0, 400_000):
        found[f"backfill store {free}"] = functools.partial(backfill_store_full, bench, free)
    for free in (0, 8192, 200_000, 600_000):
        found[f"backfill home {free}"] = functools.partial(backfill_home_full, bench, free)
    return found


@contextlib.contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """The address of an archive of 60 images."""
    with tarfile.open(folder / "images.tar", "w") as tar:
        for number in range(60):
            content = io.BytesIO()
            Image.frombytes("L", (48, 48), os.urandom(48 * 48)).save(content, "PNG")
            header = tarfile.TarInfo(f"{number:03d}.png")
            header.size = len(content.getvalue())
            tar.addfile(header, io.BytesIO(content.getvalue()))
    handler = functools.partial(_QuietHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/images.tar"
    server.shutdown()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_) -> None:
        pass


@contextlib.contextmanager
def bucket_server() -> Iterator[str]:
    """The URL of a bucket on this machine, served by a process of its own."""
    serve = (
        "from moto.server import ThreadedMotoServer as S; import logging, time, boto3;"
        "logging.getLogger('werkzeug').setLevel(40);"
        "s = S(ip_address='127.0.0.1', port=0); s.start(); address = '%s:%d' % s.get_host_and_port();"
        "boto3.client('s3', endpoint_url='http://' + address, aws_access_key_id='test', "
        "aws_secret_access_key='test', region_name='us-east-1').create_bucket(Bucket='bucket');"
        "print('at', address, flush=True); time.sleep(1e6)"
    )
    with subprocess.Popen([sys.executable, "-c", serve], stdout=subprocess.PIPE, text=True) as process:
        address = next(line.split()[1] for line in process.stdout if line.startswith("at "))
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://{address}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        yield "s3://bucket"
        process.send_signal(signal.SIGTERM)


def preload() -> None:
    """What commands import, so that their forks need not."""
    import gan_core.data.raw
    import gan_core.evaluation.evaluate
    import gan_core.report.report
    import gan_core.sampling
    import gan_core.training.train  # noqa: F401


if __name__ == "__main__":
    if os.geteuid():
        sys.exit("mounting a small disk needs root")
    preload()
    with tempfile.TemporaryDirectory() as folder, web_server(Path(folder)) as web, bucket_server() as bucket:
        bench = Bench(Path(folder))
        downloaded = {key: value for key, value in DATASET.items() if key not in ("classes", "limit")}
        write_config(bench.configs, {**downloaded, "name": "downloaded", "source": {"kind": "images"}})
        bench.prepare()
        sys.exit(run_trials("a full disk", cases(bench, web, bucket)))
