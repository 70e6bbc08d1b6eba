"""Training on more images than may lie in memory: memory taken, speed, and that the result is the same.

    python -m benchmarks.streaming [--images 30000] [--side 64] [--limit 64MB] [--out FOLDER]

Writes shards of random images, then trains one narrow DCGAN for one epoch twice, each in a process of its
own: with the images in memory, and with `GAN_MEMORY_LIMIT`. Memory is the peak of the training's process and
its decoders together, less what the same process takes with 1,000 images. Writes streaming.csv.
"""

import argparse
import contextlib
import csv
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from gan_core.config import Dataset, Experiment
from gan_core.data.pixels import encode_png
from gan_core.data.tars import write_tar
from gan_core.devices import default_device, describe_device
from gan_core.store import Build, Manifest, Store

PER_SHARD = 1_000


def write_shards(store: Store, dataset: Dataset, count: int) -> Manifest:
    """`count` images of coloured noise in shards of 1,000."""
    numbers = np.random.default_rng(0)
    shape = (dataset.channels, dataset.image_size, dataset.image_size)

    def build(work: Build) -> None:
        names = [f"train-{number:06d}.tar" for number in range(count // PER_SHARD)]
        for name in names:
            images = numbers.integers(0, 256, (PER_SHARD, *shape), dtype=np.uint8)
            samples = ((f"{index:06d}", encode_png(image), None) for index, image in enumerate(images))
            write_tar(work.folder / name, samples)
        split = {"images": count, "shards": names, "images_per_shard": [PER_SHARD] * len(names)}
        work.details = {
            "splits": {"train": split},
            "classes": [],
            "image_size": dataset.image_size,
            "channels": dataset.channels,
        }

    config = dataset.model_dump(mode="json", include={"image_size", "channels", "crop"}) | {"count": count}
    return store.produce(
        "image_shards", dataset.name, config=config, inputs={}, code_version="1", build=build
    )


def train(url: str, experiment: str, dataset: str) -> None:
    """In a process of its own: train, and print the manifest's figures with the sha256 of the generator."""
    from gan_core.training import train_gan

    store = Store(url)
    made = train_gan(
        store,
        Experiment.model_validate_json(experiment),
        Dataset.model_validate_json(dataset),
        store.require("image_shards", "noise"),
        emit=lambda line: print(line, file=sys.stderr, flush=True),
        force=True,
    )
    sha256 = made.files["generator.safetensors"].sha256
    print(json.dumps({**made.figures, "data": made.details["data"], "sha256": sha256}))


def measured(arguments: list[str], limit: str | None) -> dict:
    """Run this file's `train`; its figures with the peak of memory in MB."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    if limit:
        environment["GAN_MEMORY_LIMIT"] = limit
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, __file__, "--train", *arguments], stdout=subprocess.PIPE, env=environment, text=True
    )
    output, peak = watch_peak(process)
    return json.loads(output) | {"peak_mb": peak / 1e6, "wall": time.monotonic() - began}


def watch_peak(process: subprocess.Popen) -> tuple[str, int]:
    """What a process prints, and the most bytes that it and its children take together."""
    peak = [0]
    watch = threading.Thread(target=_watch, args=(process, peak))
    watch.start()
    output, _ = process.communicate()
    watch.join()
    if process.returncode:
        raise SystemExit(f"{process.args} ended with {process.returncode}")
    return output, peak[0]


def _watch(process: subprocess.Popen, peak: list[int]) -> None:
    """The largest sum of memory of the process and its children."""
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            children = watched.children(recursive=True)
            peak[0] = max(peak[0], sum(_own_memory(one.pid) for one in [watched, *children]))
        time.sleep(0.05)


def _own_memory(pid: int) -> int:
    """Bytes that are not mapped from files; what it shares with others counts in part for each."""
    with contextlib.suppress(OSError):
        fields = dict(
            line.split(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        )
        return sum(1024 * int(fields[name].split()[0]) for name in ("Pss_Anon", "Pss_Shmem"))
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=30_000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--limit", default="64MB")
    parser.add_argument("--window", type=int, default=2_000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--train", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train(*options.train)
        return
    source = {"kind": "images"}
    dataset = Dataset(name="noise", source=source, image_size=options.side, channels=3, splits=("train",))
    values = {
        "name": "streaming",
        "dataset": "noise",
        "architecture": {"width": 4},
        "length": {"epochs": 1},
        "shuffle_window": options.window,
    }
    experiment = Experiment.model_validate(values)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        write_shards(store, dataset, options.images)
        write_shards(Store(f"{folder}/few"), dataset, PER_SHARD)
        files = experiment.model_dump_json(), dataset.model_dump_json()
        base = measured([f"{folder}/few", *files], None)["peak_mb"]
        for name, limit in {"resident": None, "streamed": options.limit}.items():
            found = measured([folder, *files], limit)
            rows.append(
                {
                    "images": options.images,
                    "pixels_mb": round(options.images * options.side**2 * 3 / 1e6, 1),
                    "data": name,
                    "limit": limit or "",
                    "memory_for_images_mb": round(found["peak_mb"] - base, 1),
                    "images_per_second": found["images_per_second"],
                    "generator_sha256": found["sha256"][:16],
                }
            )
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    same = len({row["generator_sha256"] for row in rows}) == 1
    print(f"{describe_device(default_device())}; the same bytes: {same}")
    options.out.mkdir(parents=True, exist_ok=True)
    with open(options.out / "streaming.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
