"""What grows with the number of images and of experiments, at its full size but without the images.

    python -m benchmarks.scale [--images 100000000] [--experiments 10000]

Measures, in processor time of this process: the manifest of the shards of so many images (its bytes, to
write it, to read it), the inventory (of a million rows, as it grows evenly), the order of an epoch (to begin
it, and for each window of 100,000 images), and the plan of so many experiments that were never trained.
Prints JSON.
"""

import argparse
import hashlib
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.partitions import write_experiments
from gan_core.config import load_configs
from gan_core.data.epoch_order import EpochOrder
from gan_core.data.inventory import InventoryFile, InventoryRow
from gan_core.data.shards import IMAGES_PER_SHARD
from gan_core.planning import make_plan
from gan_core.store import Manifest, Store
from gan_core.store.manifest import FileEntry

ROWS = 1_000_000
WINDOW = 100_000


def seconds(act: Callable[[], object]) -> float:
    """Of processor."""
    began = time.process_time()
    act()
    return round(time.process_time() - began, 3)


def sha256_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def manifest_of(images: int) -> dict[str, float]:
    """Of the artefact `image_shards` with one split."""
    names = [f"train-{number:06d}.tar" for number in range(-(-images // IMAGES_PER_SHARD))]
    files = {
        name: FileEntry(path=f"files-0/{name}", size=10**8, sha256=sha256_of(number))
        for number, name in enumerate(names)
    }
    split = {"images": images, "shards": names, "images_per_shard": [IMAGES_PER_SHARD] * len(names)}
    manifest = Manifest(
        asset="image_shards",
        partition="many",
        fingerprint=sha256_of(0),
        code_version="1",
        config={},
        inputs={},
        files=files,
        details={"splits": {"train": split}},
    )
    written: list[bytes] = []
    to_write = seconds(lambda: written.append(manifest.to_json()))
    to_read = seconds(lambda: Manifest.from_json(written[0]))
    return {"shards": len(names), "bytes": len(written[0]), "to write": to_write, "to read": to_read}


def inventory_of(rows: int) -> dict[str, float]:
    """Its bytes on disk and its seconds, of so many images."""
    with tempfile.TemporaryDirectory() as name, InventoryFile(Path(name)) as inventory:

        def write() -> None:
            for start in range(0, rows, 10_000):
                numbers = range(start, min(start + 10_000, rows))
                inventory.add(
                    [InventoryRow("train", f"{n:012d}", "cat", 3000, sha256_of(n)) for n in numbers]
                )
            inventory.finish()

        to_write = seconds(write)
        to_read = seconds(lambda: sum(1 for _ in inventory.rows()))
        inventory.copy_to(Path(name) / "inventory")
        size = (Path(name) / "inventory").stat().st_size
    return {"rows": rows, "bytes": size, "to write": to_write, "to read": to_read}


def order_of(images: int) -> dict[str, float]:
    """To begin an epoch, and to go through ten windows of it."""
    order = EpochOrder([IMAGES_PER_SHARD] * (images // IMAGES_PER_SHARD), WINDOW, seed=0)
    to_begin = seconds(lambda: order.batch(0, 128))
    to_go_on = seconds(lambda: [order.batch(place, 128) for place in range(WINDOW, 11 * WINDOW, WINDOW)])
    return {"to begin": to_begin, "for a window": round(to_go_on / 10, 4)}


def plan_of(experiments: int) -> dict[str, float]:
    """To read so many configurations, and to plan them in an empty store."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_experiments(folder / "configs", experiments)
        found: list = []
        to_read = seconds(lambda: found.append(load_configs(folder / "configs")))
        store = Store(folder / "store")
        to_plan = seconds(lambda: make_plan(store, found[0], found[0].experiments))
    return {"experiments": experiments, "to read": to_read, "to plan": to_plan}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=100_000_000)
    parser.add_argument("--experiments", type=int, default=10_000)
    options = parser.parse_args()
    found = {
        "load of the machine": os.getloadavg(),
        "manifest of shards": manifest_of(options.images),
        "inventory": inventory_of(ROWS),
        "order of an epoch": order_of(options.images),
        "plan": plan_of(options.experiments),
        "most memory, MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
