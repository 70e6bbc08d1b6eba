"""`python -m tests.breaking.power_cuts`: real commands on a real ext4 file system whose power is cut.

Needs root and a loop device. The disk is a file; to cut the power is to shut the file system down without
writing its journal (EXT4_IOC_SHUTDOWN), to kill what still runs and to mount again: what was not synced, and
was not written by the kernel's own timers, is gone as it would be.
"""

import contextlib
import fcntl
import functools
import http.server
import io
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
from PIL import Image

from gan_core.store import Manifest, Store
from tests.breaking.trials import run_trials
from tests.small_project import DATASET, EXPERIMENT, write_config

REPOSITORY = Path(__file__).parents[2]
# EXT4_IOC_SHUTDOWN and EXT4_GOING_FLAGS_NOLOGFLUSH of the kernel's ext4.h
SHUTDOWN, WITHOUT_THE_JOURNAL = 0x8004587D, 2
# Seconds after a command's end: ext4 writes its journal every 5 s, the kernel what a file holds after 30 s.
DELAYS = (0, 3, 8, 20, 40)
MOMENTS = 6  # random ones while each command works
TRAINING = {**EXPERIMENT, "length": {"images": 30_000}, "checkpoint_every": 1000}
PICTURES = {
    "name": "pictures",
    "source": {"kind": "images"},
    "image_size": 16,
    "channels": 3,
    "test_fraction": 0.2,
    "max_shard_mb": 1,
}


def why_not() -> str:
    """Why the power cannot be cut on this machine; empty where it can."""
    if os.geteuid() != 0:
        return "root is needed to mount a file system"
    if not Path("/dev/loop-control").exists() or shutil.which("mkfs.ext4") is None:
        return "a loop device and mkfs.ext4 are needed"
    return ""


class Disk:
    """An ext4 file system in a file, mounted with its default options."""

    def __init__(self, folder: Path, like: Path | None = None):
        self.image, self.folder = folder / "disk.img", folder / "disk"
        self.folder.mkdir(parents=True)
        if like:
            subprocess.run(["cp", "--sparse=always", like, self.image], check=True)
        else:
            with open(self.image, "wb") as file:
                file.truncate(2**29)
            subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True)
        self.mount()

    def mount(self) -> None:
        # A device of its own: `mount -o loop` can take the one that is just being given back for this file.
        attach = ["losetup", "--find", "--show", self.image]
        self.device = subprocess.run(attach, check=True, capture_output=True, text=True).stdout.strip()
        subprocess.run(["mount", self.device, self.folder], check=True)
        assert self.folder.is_mount()

    def unmount(self) -> None:
        subprocess.run(["umount", self.folder], check=True)
        subprocess.run(["losetup", "--detach", self.device], check=True)

    def cut(self, process: subprocess.Popen | None = None) -> None:
        """Cut the power, under this process and its group if it still runs, and bring it back."""
        number = os.open(self.folder, os.O_RDONLY)
        fcntl.ioctl(number, SHUTDOWN, struct.pack("I", WITHOUT_THE_JOURNAL))
        os.close(number)
        if process and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.unmount()
        self.mount()


class World:
    """Configurations that no cut reaches, and a store on a disk of its own."""

    def __init__(self, folder: Path, like: "World | None" = None):
        self.configs = folder / "configs"
        for content in (DATASET, TRAINING, PICTURES):
            write_config(self.configs, content)
        self.disk = Disk(folder, like and like.disk.image)
        self.store = Store(self.disk.folder / "store")
        self.log = folder / "log.txt"

    def start(self, *arguments: str) -> subprocess.Popen:
        environment = {
            **os.environ,
            "GAN_STORE": self.store.url,
            "GAN_CONFIGS": str(self.configs),
            "OMP_NUM_THREADS": "1",
        }
        with open(self.log, "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "gan_core", *arguments],
                cwd=REPOSITORY,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self, *arguments: str) -> str:
        """Run one command to its end; what it said."""
        begins = self.log.stat().st_size if self.log.exists() else 0
        status = self.start(*arguments).wait()
        said = self.log.read_text()[begins:]
        assert status == 0, f"{' '.join(arguments)} ended with {status}:\n{said}"
        return said

    def checkpoints(self) -> list[int]:
        found = Path(self.store.url, "trained_gan").rglob("checkpoint-*.json")
        return sorted(int(path.stem.removeprefix("checkpoint-")) for path in found)


class Trials:
    """Cases that each begin with a copy of a disk on which what the command reads lies."""

    def __init__(self, folder: Path, url: str):
        self.folder = folder
        # A command, and the artefacts that are there once it ended.
        self.commands: dict[str, tuple[list[str], list[tuple[str, str]]]] = {
            "download": (["shard", "pictures", "--train", url], [("image_shards", "pictures")]),
            "shard": (["shard", "few-digits"], [("image_shards", "few-digits")]),
            "reference": (["reference", "few-digits"], [("reference_statistics", "few-digits")]),
            "train": (["train", "plain"], [("trained_gan", "plain")]),
            "sample": (["sample", "plain"], [("samples", "plain")]),
            "evaluate": (["evaluate", "plain"], [("evaluation", "plain")]),
            "report": (["report"], [("leaderboard", "all"), ("answers", "all"), ("report", "all")]),
        }
        self.seconds: dict[str, float] = {}
        self.undisturbed: dict[str, list[Manifest]] = {}
        self.before: dict[str, World] = {}
        self.ended: dict[str, World] = {}

    def cases(self) -> dict[str, Callable[[], None]]:
        chosen = random.Random(0)
        cases = {}
        for name in self.commands:
            for delay in DELAYS:
                cases[f"{name}-{delay:02d}-s-after"] = functools.partial(self.after, name, delay)
            for number in range(MOMENTS):
                moment = chosen.uniform(0.05, 1.05)
                cases[f"{name}-during-{number}"] = functools.partial(self.during, name, moment)
        return cases

    def after(self, name: str, delay: float) -> None:
        """The power is cut so many seconds after the command ended well."""
        with self._world(name) as world:
            world.run(*self.commands[name][0])
            time.sleep(delay)
            world.disk.cut()
            self._check(name, world)
            said = world.run(*self.commands[name][0])
            assert "going on from" not in said, said
            self._check(name, world)

    def during(self, name: str, moment: float) -> None:
        """The power is cut while the command works, after this share of the time that it takes."""
        with self._world(name) as world:
            process = world.start(*self.commands[name][0])
            time.sleep(moment * self.seconds[name])
            saved = world.checkpoints()
            time.sleep(0.2)  # what has its name may still be on its way to the disk
            world.disk.cut(process)
            is_made = world.store.current(*self.commands[name][1][-1]) is not None
            said = world.run(*self.commands[name][0])
            self._check(name, world)
            if saved and not is_made:
                (line,) = [line for line in said.splitlines() if "going on from" in line]
                assert int(line.rpartition(": ")[2].split()[0].replace(",", "")) >= saved[-1], line

    def _check(self, name: str, world: World) -> None:
        """What the command made is there, whole, as it is where no power is cut."""
        for expected in self.undisturbed[name]:
            manifest = world.store.require(expected.asset, expected.partition)
            problems = world.store.problems(manifest, hashes=True)
            assert not problems, problems
            if name != "report":  # it tells when what it shows was made
                assert manifest.version == expected.version, f"other bytes: {manifest.files}"

    @contextlib.contextmanager
    def _world(self, name: str) -> Iterator[World]:
        self._prepare(name)
        world = World(self.folder / f"case-{time.monotonic_ns()}", self.before[name])
        try:
            yield world
        finally:
            world.disk.unmount()
            world.disk.image.unlink()

    def _prepare(self, name: str) -> None:
        """Run the commands up to this one, undisturbed, each once: what it begins from, what it makes."""
        last = None
        for earlier, (command, artefacts) in self.commands.items():
            if earlier not in self.ended:
                self.before[earlier] = World(self.folder / f"before-{earlier}", last)
                self.before[earlier].disk.unmount()
                world = self.ended[earlier] = World(self.folder / f"ended-{earlier}", self.before[earlier])
                began = time.monotonic()
                world.run(*command)
                self.seconds[earlier] = time.monotonic() - began
                self.undisturbed[earlier] = [world.store.require(*artefact) for artefact in artefacts]
                world.disk.unmount()
            if earlier == name:
                return
            last = self.ended[earlier]


@contextlib.contextmanager
def serving_pictures(folder: Path) -> Iterator[str]:
    """The URL of an archive of 400 pictures on this machine."""
    folder.mkdir()
    pixels = numpy.random.default_rng(0)
    with zipfile.ZipFile(folder / "pictures.zip", "w") as archive:
        for number in range(400):
            buffer = io.BytesIO()
            Image.fromarray(pixels.integers(0, 256, (32, 32, 3), dtype=numpy.uint8)).save(buffer, "PNG")
            archive.writestr(f"{number:03d}.png", buffer.getvalue())
    handler = functools.partial(Silent, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/pictures.zip"
        server.shutdown()


class Silent(http.server.SimpleHTTPRequestHandler):
    """A server of files that says nothing of it."""

    def log_message(self, *_) -> None:
        pass


def main() -> int:
    if reason := why_not():
        print(f"the power cannot be cut here: {reason}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder, serving_pictures(Path(folder) / "served") as url:
        return run_trials("Power cuts", Trials(Path(folder), url).cases())


if __name__ == "__main__":
    sys.exit(main())
