"""Reading shards back: images a second and memory, beside WebDataset's own reader.

    python -m benchmarks.reading [--images 20000] [--side 64] [--per-shard 5000] [--out FOLDER]

Writes shards of smooth random pictures, then reads them in every way that the project does and in two that a
user would write instead, each in a process of its own. Memory is the peak of that process and its children
together, less what one takes that has imported the same and read nothing. CPU seconds are those of the
process itself, which trains or extracts meanwhile, and those of it and its children. Writes reading.csv.
"""

import argparse
import csv
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
import torch
from PIL import Image

from benchmarks.streaming import watch_peak
from gan_core.data.epoch_order import EpochOrder
from gan_core.data.feed import StreamedFeed
from gan_core.data.loading import iterate_images, load_resident
from gan_core.data.pixels import encode_png
from gan_core.data.tars import write_tar
from gan_core.data.verification import verify_image_shards
from gan_core.store import Build, Manifest, Store

CLASSES = 10
EVERY = 20  # what the classifier of a large split reads


def write_shards(store: Store, count: int, side: int, per_shard: int) -> Manifest:
    """Pictures of a few blurred colours with a little noise: their PNGs are as large as photographs'."""
    numbers = np.random.default_rng(0)

    def picture() -> np.ndarray:
        colours = Image.fromarray(numbers.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        smooth = np.asarray(colours.resize((side, side), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
        return smooth // 2 + numbers.integers(0, 16, (3, side, side), dtype=np.uint8)

    def build(work: Build) -> None:
        sizes = [min(per_shard, count - first) for first in range(0, count, per_shard)]
        names = [f"train-{number:06d}.tar" for number in range(len(sizes))]
        for name, size in zip(names, sizes, strict=True):
            samples = ((f"{row:08d}", encode_png(picture()), row % CLASSES) for row in range(size))
            write_tar(work.folder / name, samples)
        classes = {str(number): count // CLASSES for number in range(CLASSES)}
        split = {"images": count, "shards": names, "images_per_shard": sizes, "classes": classes}
        work.details = {
            "splits": {"train": split},
            "classes": list(classes),
            "image_size": side,
            "channels": 3,
        }

    return store.produce("image_shards", "pictures", config={}, inputs={}, code_version="1", build=build)


def read(way: str, store: Store, shards: Manifest) -> int:
    """Read in this way; the number of images that were decoded."""
    count = shards.details["splits"]["train"]["images"]
    workers = 1 if way.endswith("1 process") else None
    if way == "nothing":
        return 0
    if way.startswith("iterate"):
        return sum(1 for _ in iterate_images(store, shards, "train", workers=workers))
    if way.startswith("resident"):
        return len(load_resident(store, shards, "train", workers=workers))
    if way.startswith("every"):
        return len(load_resident(store, shards, "train", numbers=np.arange(0, count, EVERY)))
    if way == "check":
        assert not verify_image_shards(store, shards).problems
        return count
    if way == "first batch":
        order = EpochOrder(shards.details["splits"]["train"]["images_per_shard"], count // 10, seed=0)
        options = {"batch_size": 64, "labelled": True, "device": torch.device("cpu")}
        feed = StreamedFeed(store, shards, "train", order, **options)
        feed.end_after(64)
        feed.batch(0, 64)
        feed.close()
        return 64
    return read_with_webdataset(store, shards, 0 if workers else joblib.cpu_count())


def read_with_webdataset(store: Store, shards: Manifest, workers: int) -> int:
    import webdataset

    urls = [str(store.local(shards, name)) for name in shards.files]
    dataset = webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8").to_tuple("png", "cls")
    loader = torch.utils.data.DataLoader(dataset.batched(64), batch_size=None, num_workers=workers)
    return sum(len(images) for images, _ in loader)


WAYS = [
    "nothing",
    "webdataset, 1 process",
    "webdataset, DataLoader",
    "iterate, 1 process",
    "iterate",
    "resident, 1 process",
    "resident",
    f"every {EVERY}th",
    "first batch",
    "check",
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--per-shard", type=int, default=5_000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        way, url = options.read
        store = Store(url)
        shards = store.require("image_shards", "pictures")
        began, own = time.monotonic(), time.process_time()
        images = read(way, store, shards)
        found = {"images": images, "seconds": time.monotonic() - began, "own": time.process_time() - own}
        print(json.dumps(found | {"children": sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])}))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_shards(Store(folder), options.images, options.side, options.per_shard)
        for way in WAYS:
            command = [sys.executable, "-m", "benchmarks.reading", "--read", way, folder]
            output, peak = watch_peak(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            found = json.loads(output)
            if way == "nothing":
                least = peak
                continue
            row = {"side": options.side, "of": options.images, "way": way, "images": found["images"]}
            row["seconds"] = round(found["seconds"], 2)
            row["images_per_second"] = round(found["images"] / found["seconds"])
            row["own_cpu_seconds"] = round(found["own"], 2)
            row["all_cpu_seconds"] = round(found["own"] + found["children"], 2)
            row["memory_mb"] = round((peak - least) / 1e6)
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            rows.append(row)
    options.out.mkdir(parents=True, exist_ok=True)
    with open(options.out / "reading.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
