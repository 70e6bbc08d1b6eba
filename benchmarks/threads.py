"""Images a second of a training with one and with two threads, beside processes that keep the cores busy.

    python -m benchmarks.threads [--loads 0 1 2 4] [--rounds 8] [--seconds 1] [--spins 0 1000] [--out FOLDER]

Each arm is DCGAN's step (width 64, 32x32, batch 64) in a process of its own: one thread; as many as there are
cores, waiting for each other as GNU's OpenMP does by itself; as many, waiting as `gan_core` lets them; and as
many with each of `--spins`, the turns that a thread waits actively before it sleeps. The arms take turns, for
`--seconds` each, so that other work slows all arms of a round alike. Figures are medians over the rounds, of
images a second and of the ratio to one thread in the same round, with the middle half of the ratios.
Writes threads.csv.
"""

import argparse
import contextlib
import csv
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import joblib

import gan_core  # noqa: F401 - before torch: it says how OpenMP's threads wait

# What libgomp takes where nothing is said (libgomp/env.c).
SPINS_OF_LIBGOMP = 300_000
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(10_000))"


class Trainer:
    """A process that makes steps while it is told to."""

    def __init__(self, environment: dict[str, str]):
        inherited = {name: value for name, value in os.environ.items() if name not in WAITING}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.threads", "--step"],
            env=inherited | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> None:
        assert self.process.stdout.readline() == "ready\n"

    def images_per_second(self, seconds: float) -> float:
        print(seconds, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())


def make_steps() -> None:
    """What a `Trainer` starts: for each line of seconds on standard input, one of images a second."""
    import torch

    from benchmarks.training import CLASSES, Case
    from gan_core.training.step import train_step

    case = Case("DCGAN", 32, 64, 64, torch.device("cpu"), "fp32")
    state = case.state()
    images = torch.randint(0, 256, (case.batch_size, 3, case.side, case.side), dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, (case.batch_size,))
    for _ in range(3):
        train_step(state, images, labels, 10**12)
    print("ready", flush=True)
    for line in sys.stdin:
        began, steps = time.perf_counter(), 0
        while time.perf_counter() - began < float(line):
            train_step(state, images, labels, 10**12)
            steps += 1
        print(steps * case.batch_size / (time.perf_counter() - began), flush=True)


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Beside so many processes that each want a core."""
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def arms(spins: list[int]) -> dict[str, dict[str, str]]:
    """The environment of each, by its name; the first is what the others are compared with."""
    cores = str(joblib.cpu_count())
    all_cores = {"OMP_NUM_THREADS": cores}
    return {
        "1 thread": {"OMP_NUM_THREADS": "1"},
        f"{cores} threads, OpenMP's waiting": all_cores | {"GOMP_SPINCOUNT": str(SPINS_OF_LIBGOMP)},
        f"{cores} threads, gan_core's waiting": all_cores,
        **{f"{cores} threads, {count} turns": all_cores | {"GOMP_SPINCOUNT": str(count)} for count in spins},
    }


def measure(trainers: dict[str, Trainer], rounds: int, seconds: float) -> dict[str, list[float]]:
    measured = {name: [] for name in trainers}
    for number in range(rounds):
        for name in random.Random(number).sample(list(trainers), len(trainers)):  # in another order each time
            measured[name].append(trainers[name].images_per_second(seconds))
    return measured


def rows_of(load: int, measured: dict[str, list[float]]) -> list[dict]:
    alone = next(iter(measured.values()))
    rows = []
    for name, speeds in measured.items():
        ratios = [speed / one for speed, one in zip(speeds, alone, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        rows.append(
            {
                "busy processes": load,
                "arm": name,
                "images/s": round(statistics.median(speeds), 1),
                "of 1 thread": round(middle, 2),
                "middle half": f"{low:.2f}-{high:.2f}",
                "rounds": len(speeds),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--loads", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--spins", type=int, nargs="*", default=[0, 1000, 10_000])
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--step", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        make_steps()
        return
    trainers = {name: Trainer(environment) for name, environment in arms(given.spins).items()}
    for trainer in trainers.values():
        trainer.ready()
    with (given.out / "threads.csv").open("w") as file:
        writer = None
        for load in given.loads:
            with busy(load):
                rows = rows_of(load, measure(trainers, given.rounds, given.seconds))
            writer = writer or csv.DictWriter(file, rows[0])
            if file.tell() == 0:
                writer.writeheader()
                print("| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|", sep="\n")
            writer.writerows(rows)
            file.flush()
            for row in rows:
                print("| " + " | ".join(map(str, row.values())) + " |", flush=True)
    for trainer in trainers.values():
        trainer.process.stdin.close()


if __name__ == "__main__":
    main()
