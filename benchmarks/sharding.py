"""From a source to shards: memory at a million images, speed at 256 pixels beside what else one might write.

    python -m benchmarks.sharding make FOLDER      # two LMDBs in LSUN's format, once (4 GB, minutes)
    python -m benchmarks.sharding memory FOLDER    # raw_images and image_shards of 1,000,000 small images
    python -m benchmarks.sharding speed FOLDER     # images/s of 20,000 images of 384x288, made 256x256

The images are cut out of noise with the spectrum of photographs (1/f). `memory` prints the largest sum of
resident memory of all processes, in which pages that several share count several times. `speed` takes turns
between: decode, resize, encode and write alone, in as many processes as there are cores, each step by itself;
the project's step; the obvious script (webdataset's ShardWriter); and a pool of processes that each make
their own tars, as img2dataset does. The results go to FOLDER, the figures to --out.
"""

import argparse
import contextlib
import csv
import functools
import hashlib
import io
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import joblib
import lmdb
import numpy as np
import psutil
from PIL import Image

from gan_core.config import Dataset
from gan_core.data.parallel import map_in_processes
from gan_core.data.pixels import encode_png, open_image, to_square
from gan_core.data.raw import collect_raw_images
from gan_core.data.shards import sample_key, write_image_shards
from gan_core.data.sources.lsun import LmdbSource
from gan_core.data.tars import write_tar
from gan_core.store import Store

CORES = joblib.cpu_count()
MANY = {"name": "many", "count": 1_000_000, "size": (40, 32), "image_size": 32, "format": "JPEG"}
LARGE = {"name": "large", "count": 20_000, "size": (384, 288), "image_size": 256, "format": "WEBP"}
DATASETS = {"many": MANY, "large": LARGE}
STEPS = ["raw", "shards"]
PER_SHARD, SHARD_MB = 100, 20


# --- the images -------------------------------------------------------------------------------------------


def texture(side: int = 2048) -> np.ndarray:
    """Coloured noise whose spectrum falls as a photograph's does: uint8 (side, side, 3)."""
    numbers = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = 1

    def plane() -> np.ndarray:
        phase = np.exp(2j * np.pi * numbers.random(frequency.shape))
        values = np.fft.irfft2(phase / frequency**1.1, s=(side, side))
        return values / values.std()

    grey = plane()
    colours = [128 + 45 * grey + 15 * plane() for _ in range(3)]
    return np.clip(np.stack(colours, axis=-1), 0, 255).astype(np.uint8)


def write_database(folder: Path, dataset: dict) -> None:
    """An LMDB as LSUN's: a random-looking key of 40 hex digits a photograph."""
    whole, (width, height) = texture(), dataset["size"]
    places = np.random.default_rng(1).integers(0, len(whole) - max(width, height), (dataset["count"], 2))
    path = folder / f"{dataset['name']}_train_lmdb"
    shutil.rmtree(path, ignore_errors=True)
    with lmdb.open(str(path), map_size=2**36, sync=False) as database:
        for start in range(0, len(places), 10_000):
            with database.begin(write=True) as writer:
                for number, (left, top) in enumerate(places[start : start + 10_000], start):
                    buffer = io.BytesIO()
                    image = Image.fromarray(whole[top : top + height, left : left + width])
                    image.save(buffer, dataset["format"], quality=85, method=0)
                    writer.put(hashlib.sha1(b"%d" % number).hexdigest().encode(), buffer.getvalue())
            print(f"{dataset['name']}: {number + 1:,} images", flush=True)


def make(options: argparse.Namespace) -> None:
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.what:
        dataset = DATASETS[name]
        write_database(options.folder, {**dataset, "count": min(dataset["count"], options.images)})


def described(dataset: dict, limit: int | None = None, max_shard_mb: int = 256) -> Dataset:
    return Dataset(
        name=dataset["name"],
        source={"kind": "lsun", "category": dataset["name"]},
        image_size=dataset["image_size"],
        channels=3,
        splits=("train",),
        limit=limit,
        max_shard_mb=max_shard_mb,
    )


# --- memory -----------------------------------------------------------------------------------------------


def watched(arguments: list[str]) -> tuple[float, int, int]:
    """Run this file again with arguments: seconds, the largest resident memory of its processes, its own."""
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.sharding", *arguments])
    peaks = [0, 0]
    watch = threading.Thread(target=_watch, args=(process, peaks))
    watch.start()
    if process.wait():
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}")
    watch.join()
    return time.monotonic() - began, *peaks


def _watch(process: subprocess.Popen, peaks: list[int]) -> None:
    parent, children = psutil.Process(process.pid), []
    while process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            children = parent.children(recursive=True)
        sizes = [_resident(one) for one in [parent, *children]]
        peaks[:] = max(peaks[0], sum(sizes)), max(peaks[1], sizes[0])
        time.sleep(0.1)


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def memory(options: argparse.Namespace) -> None:
    rows = []
    for count in options.counts:
        if "raw" in options.steps:
            shutil.rmtree(options.folder / "store", ignore_errors=True)
        for step in options.steps:
            seconds, peak, own = watched(["step", str(options.folder), step, "many", str(count)])
            row = {
                "step": step,
                "images": count,
                "seconds": round(seconds),
                "images_per_second": count / seconds,
            }
            row |= {"peak_rss_mb": peak / 1e6, "of_it_main_process_mb": own / 1e6}
            rows.append({name: round(v) if isinstance(v, float) else v for name, v in row.items()})
            print(rows[-1], flush=True)
    write_csv(options.out / "sharding_memory.csv", rows)


def step(options: argparse.Namespace) -> None:
    """One of the two steps, in a process of its own."""
    dataset, store = (
        described(DATASETS[options.dataset]),
        Store(options.folder / "store"),
    )
    dataset = dataset.model_copy(update={"limit": options.limit})
    if options.step == "raw":
        collect_raw_images(store, dataset, locations={"train": str(options.folder)}, emit=print)
    else:
        write_image_shards(store, dataset, store.require("raw_images", dataset.name), emit=print)


# --- speed ------------------------------------------------------------------------------------------------


def stages(task: tuple[Path, list, Path]) -> dict[str, np.ndarray]:
    """Seconds per image of each stage alone, on these images."""
    database, entries, folder = task
    source = LmdbSource(database, str(database))
    contents, read = timed(lambda: [source.read(entry) for entry in entries])
    images, decode = timed(lambda: [open_image(content) for content in contents])
    squares, resize = timed(lambda: [to_square(image, 256, 3, "resize_then_crop") for image in images])
    pngs, encode = timed(lambda: [encode_png(square) for square in squares])
    samples = [(f"{number:08d}", png, None) for number, png in enumerate(pngs)]
    _, write = timed(lambda: write_tar(folder / f"{os.getpid()}.tar", samples))
    seconds = {"read": read, "decode": decode, "resize": resize, "encode": encode, "write": write}
    return {name: value / len(entries) for name, value in seconds.items()}


def timed(function: Callable) -> tuple:
    """The result, and seconds of the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    result = function()
    return result, np.array([time.perf_counter() - clock, time.process_time() - processor])


class Stopwatch:
    """Time of the clock and of the processor, of this process and those that it has started."""

    def __init__(self):
        self.clock, self.processor = time.monotonic(), self._processor()

    def per_image(self, count: int) -> tuple[float, float]:
        """Images/s, and milliseconds of processor time per image."""
        seconds, processor = time.monotonic() - self.clock, self._processor() - self.processor
        return count / seconds, 1000 * processor / count

    def _processor(self) -> float:
        this = psutil.Process()
        times = [one.cpu_times() for one in [this, *this.children(recursive=True)]]
        return sum(one.user + one.system for one in times)


def stages_alone(database: Path, entries: list, scratch: Path) -> tuple[float, float, str]:
    """Images/s if each core did nothing but the stages, and the share of each."""
    each = min(300, len(entries) // CORES)
    tasks = [(database, entries[i * each : (i + 1) * each], scratch) for i in range(CORES)]
    with multiprocessing.get_context("spawn").Pool(CORES) as pool:
        pool.map(abs, range(CORES))  # started
        found = pool.map(stages, tasks, chunksize=1)
    mean = {name: sum(one[name] for one in found) / len(found) for name in found[0]}
    clock, processor = sum(mean.values())
    shares = " ".join(f"{name} {1000 * value[1]:.2f}" for name, value in mean.items())
    return CORES / clock, 1000 * processor, f"of it {shares}"


def ours(database: Path, entries: list, scratch: Path) -> tuple[float, float, str]:
    """The project's step, without the hashing pass before it; its processes are started."""
    # Shards as small as the pool's: one that ends late would else make many cores wait.
    store, dataset = Store(scratch / "store"), described(LARGE, limit=len(entries), max_shard_mb=SHARD_MB)
    raw = collect_raw_images(store, dataset, locations={"train": str(database)}, emit=lambda line: None)
    list(map_in_processes(functools.partial(sample_key, source_key="x"), range(4 * CORES), None))
    watch = Stopwatch()
    made = write_image_shards(store, dataset, raw, emit=lambda line: None)
    return *watch.per_image(made.figures["images_train"]), ""


def obvious_script(database: Path, entries: list, scratch: Path) -> tuple[float, float, str]:
    """What one writes first: one process, Pillow, ShardWriter, which encodes the images."""
    import webdataset  # imports torch, which would count as memory of the steps

    watch = Stopwatch()
    with webdataset.ShardWriter(str(scratch / "obvious-%06d.tar"), maxcount=PER_SHARD, verbose=0) as sink:
        for number, image in enumerate(_squares(database, entries)):
            sink.write({"__key__": f"{number:08d}", "png": image})
    return *watch.per_image(len(entries)), "PNG level 6, Pillow's default"


def pool_script(database: Path, entries: list, scratch: Path) -> tuple[float, float, str]:
    """As img2dataset works: a pool of processes, each with a list of images and a tar writer of its own."""
    tasks = [
        (database, entries[start : start + PER_SHARD], scratch / f"pool-{start:08d}.tar")
        for start in range(0, len(entries), PER_SHARD)
    ]
    with multiprocessing.get_context("spawn").Pool(CORES) as pool:
        pool.map(_import_webdataset, range(4 * CORES))
        watch = Stopwatch()
        for _ in pool.imap_unordered(_pool_task, tasks):
            pass
        return *watch.per_image(len(entries)), "PNG level 3, as the project's"


def _import_webdataset(_) -> None:
    import webdataset  # noqa: F401


def _pool_task(task: tuple[Path, list, Path]) -> None:
    import webdataset

    database, entries, path = task
    with webdataset.TarWriter(str(path)) as sink:
        for number, image in enumerate(_squares(database, entries)):
            buffer = io.BytesIO()
            image.save(buffer, "PNG", compress_level=3)
            sink.write({"__key__": f"{number:08d}", "png": buffer.getvalue()})


def _squares(database: Path, entries: list) -> Iterator[Image.Image]:
    opened = lmdb.open(str(database), readonly=True, lock=False, readahead=False)
    with opened, opened.begin() as transaction:
        for entry in entries:
            image = Image.open(io.BytesIO(transaction.get(entry.key.encode()))).convert("RGB")
            width, height = image.size
            image = image.resize((256 * width // height, 256), Image.Resampling.BICUBIC)
            left = (image.width - 256) // 2
            yield image.crop((left, 0, left + 256, 256))


def speed(options: argparse.Namespace) -> None:
    database = options.folder / "large_train_lmdb"
    entries = list(LmdbSource(database / "data.mdb", "large").entries(options.images))
    rounds: dict[str, list[tuple[float, float]]] = {}
    notes = {}
    arms = {"stages alone": stages_alone, "image_shards": ours}
    arms |= {"ShardWriter": obvious_script, "pool of processes": pool_script}
    for number in range(options.rounds):
        for name, arm in arms.items():
            scratch = options.folder / "scratch"
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            place = database / "data.mdb" if arm is stages_alone else database
            rate, processor, notes[name] = arm(place, entries, scratch)
            shutil.rmtree(scratch)
            rounds.setdefault(name, []).append((rate, processor))
            print(
                f"round {number}: {name}: {rate:.1f} images/s, {processor:.2f} ms {notes[name]}", flush=True
            )
    rows = []
    for name, found in rounds.items():
        both = list(zip(found, rounds["stages alone"], strict=True))
        row = {"what": name, "images": options.images, "rounds": options.rounds}
        row |= {"images_per_second": round(statistics.median(rate for rate, _ in found), 1)}
        row |= {"of_stages_alone": round(statistics.median(one[0] / alone[0] for one, alone in both), 3)}
        row |= {"processor_ms_per_image": round(statistics.median(ms for _, ms in found), 2)}
        row |= {"of_it_stages": round(statistics.median(alone[1] / one[1] for one, alone in both), 3)}
        rows.append(row | {"note": notes[name]})
        print(rows[-1], flush=True)
    write_csv(options.out / "sharding_speed.csv", rows)


def write_csv(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    for function in (make, memory, speed, step):
        command = commands.add_parser(function.__name__)
        command.set_defaults(run=function)
        command.add_argument("folder", type=Path)
        command.add_argument("--out", type=Path, default=Path("benchmarks/results"))
        if function is make:
            command.add_argument("--what", nargs="+", choices=DATASETS, default=list(DATASETS))
            command.add_argument("--images", type=int, default=MANY["count"], help="at most so many each")
        elif function is memory:
            command.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
            command.add_argument("--counts", type=int, nargs="+", default=[100_000, 1_000_000])
        elif function is speed:
            command.add_argument("--images", type=int, default=20_000)
            command.add_argument("--rounds", type=int, default=1)
        elif function is step:
            command.add_argument("step", choices=STEPS)
            command.add_argument("dataset", choices=DATASETS)
            command.add_argument("limit", type=int)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
