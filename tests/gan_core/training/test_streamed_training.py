"""Trainings that stream their images: what they read, and that any number of processes may go on."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gan_core.config import Dataset, Experiment
from gan_core.data.epoch_order import EpochOrder
from gan_core.data.pixels import encode_png
from gan_core.data.tars import write_tar
from gan_core.evaluation.in_training import SHARDS_READ
from gan_core.store import Build, Manifest, Store
from gan_core.training import train_gan

ROOT = Path(__file__).parents[3]
SIZES = [20, 13, 20, 7, 20, 1, 15]  # images per shard
COUNT, BATCH = sum(SIZES), 12
STREAMED = 20_000  # bytes: two windows of 20 images fit, the 96 do not


def write_shards(store: Store, sizes: list[int]) -> Manifest:
    """Images of noise, whose first pixel is their number (of up to 256)."""
    images = np.random.default_rng(0).integers(0, 256, (sum(sizes), 1, 16, 16), dtype=np.uint8)
    images[:, 0, 0, 0] = np.arange(len(images))
    samples = ((f"{number:06d}", encode_png(image), number % 3) for number, image in enumerate(images))

    def build(work: Build) -> None:
        names = [f"train-{number:06d}.tar" for number in range(len(sizes))]
        for name, size in zip(names, sizes, strict=True):
            write_tar(work.folder / name, [next(samples) for _ in range(size)])
        split = {"images": sum(sizes), "shards": names, "images_per_shard": sizes}
        work.details = {
            "splits": {"train": split},
            "classes": ["a", "b", "c"],
            "image_size": 16,
            "channels": 1,
        }

    config = {"image_size": 16, "channels": 1, "crop": "resize_then_crop"}
    return store.produce("image_shards", "tiny", config=config, inputs={}, code_version="1", build=build)


# --- what is read -----------------------------------------------------------------------------------------


class CountingStore(Store):
    """A store that remembers which files were asked of it."""

    def __init__(self, *given, **options):
        super().__init__(*given, **options)
        self.asked: list[str] = []

    def local(self, manifest, name, *, verify=True):
        self.asked.append(name)
        return super().local(manifest, name, verify=verify)


def test_a_short_training_reads_its_window_and_a_few_shards_for_the_evaluation(
    tmp_path, make_experiment, dataset
):
    """Not the split: 5 shards in 25 for the window, 4 for the evaluation's real images."""
    store, sizes = CountingStore(tmp_path), [10] * 25
    shards = write_shards(store, sizes)
    experiment = make_experiment(
        batch_size=10, length={"images": 40}, shuffle_window=50, evaluation_samples=64
    )
    lines: list[str] = []
    train_gan(store, experiment, dataset, shards, memory_limit_bytes=40_000, emit=lines.append)
    assert any("streamed in windows of 50 images" in line for line in lines)
    window = EpochOrder(sizes, 50, experiment.seed).window_at(0)
    evaluated = {f"train-{shard:06d}.tar" for shard in (0, 8, 16, 24)}
    assert len(evaluated) == SHARDS_READ
    assert set(store.asked) == {f"train-{shard:06d}.tar" for shard in window.shards} | evaluated


# --- who goes on ------------------------------------------------------------------------------------------

RANK = """
import json, os, signal, sys
from gan_core.config import Dataset, Experiment
from gan_core.data.feed import ResidentFeed, StreamedFeed
from gan_core.store import Store
from gan_core.training import train_gan
from gan_core.training.processes.joining import joined

record, url, experiment, dataset, limit, killed_at = sys.argv[1:]
lines = open(f"{record}-{os.environ['RANK']}", "w", buffering=1)


def recorded(batch):
    def with_record(feed, start, size):
        if start >= int(killed_at):
            os.kill(os.getpid(), signal.SIGKILL)
        images, labels = batch(feed, start, size)
        first = start + feed.rank * len(images)
        lines.write(json.dumps([first, images[:, 0, 0, 0].tolist()]) + "\\n")
        return images, labels

    return with_record


for kind in (ResidentFeed, StreamedFeed):
    kind.batch = recorded(kind.batch)
store = Store(url)
with joined("cpu") as ranks:
    train_gan(
        store,
        Experiment.model_validate_json(experiment),
        Dataset.model_validate_json(dataset),
        store.require("image_shards", "tiny"),
        device="cpu",
        ranks=ranks,
        memory_limit_bytes=int(limit),
    )
"""


def run(
    processes: int,
    record: Path,
    store: Store,
    experiment: Experiment,
    dataset: Dataset,
    *,
    limit: int = 10**9,
    killed_at: int = 10**9,
) -> list[int]:
    """Train in so many processes, all killed before the batch at `killed_at`; their exit codes."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    values = [record, store.url, experiment.model_dump_json(), dataset.model_dump_json(), limit, killed_at]
    started = []
    for rank in range(processes):
        place = {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": processes,
            "LOCAL_WORLD_SIZE": processes,
            "MASTER_ADDR": "localhost",
            "MASTER_PORT": port,
        }
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", RANK, *map(str, values)],
                cwd=ROOT,
                env=os.environ | {name: str(value) for name, value in place.items()},
            )
        )
    try:
        return [process.wait(timeout=600) for process in started]
    finally:
        for process in started:
            process.kill()


def seen(folder: Path) -> dict[int, list[tuple[int, int]]]:
    """For each attempt the images that its processes were given, as (place in the order, number)."""
    attempts: dict[int, list[tuple[int, int]]] = {}
    for path in sorted(folder.iterdir()):
        for line in path.read_text().splitlines():
            first, numbers = json.loads(line)
            attempts.setdefault(int(path.name.split("-")[0]), []).extend(enumerate(numbers, start=first))
    return attempts


@pytest.mark.slow
def test_a_run_killed_on_one_process_goes_on_on_two_then_three_then_one(tmp_path, make_experiment, dataset):
    """Four attempts of other numbers of processes, three of them killed, against an untouched run."""
    experiment = make_experiment(
        batch_size=BATCH, length={"images": 60 * BATCH}, checkpoint_every=4 * BATCH, shuffle_window=20
    )
    stores = {name: Store(tmp_path / name) for name in ("killed", "untouched")}
    folders = {name: tmp_path / f"{name}-record" for name in stores}
    for name, store in stores.items():
        write_shards(store, SIZES)
        folders[name].mkdir()
    assert run(1, folders["untouched"] / "0", stores["untouched"], experiment, dataset) == [0]

    attempts = [(1, 15 * BATCH), (2, 30 * BATCH), (3, 45 * BATCH), (1, 10**9)]
    for attempt, (processes, killed_at) in enumerate(attempts):
        ends = run(
            processes,
            folders["killed"] / str(attempt),
            stores["killed"],
            experiment,
            dataset,
            limit=STREAMED,
            killed_at=killed_at,
        )
        if killed_at == 10**9:
            assert ends == [0]
        else:  # one that has not come to the batch yet finds the others gone
            assert ends[0] == -signal.SIGKILL and set(ends) <= {-signal.SIGKILL, 1}

    expected = EpochOrder(SIZES, 20, experiment.seed).batch(0, 60 * BATCH).tolist()
    untouched = dict(seen(folders["untouched"])[0])
    assert [untouched[place] for place in range(60 * BATCH)] == expected
    found = seen(folders["killed"])
    for attempt, (_, killed_at) in enumerate(attempts):
        places = [place for place, _ in found[attempt]]
        begin, end = (attempts[attempt - 1][1] if attempt else 0), min(killed_at, 60 * BATCH)
        # From the last checkpoint on, every place once, on one of the ranks.
        assert begin - 4 * BATCH <= min(places) <= begin
        assert sorted(places) == list(range(min(places), end))
        assert all(number == expected[place] for place, number in found[attempt])
    made = {name: store.require("trained_gan", experiment.name) for name, store in stores.items()}
    assert made["killed"].fingerprint == made["untouched"].fingerprint
    assert "streamed" in made["killed"].details["data"] and "resident" in made["untouched"].details["data"]
