"""How Dagster bears many experiments: loading the definitions, the UI's pages, launching a backfill.

    python -m benchmarks.partitions [--experiments 500] [--rounds 5] [--to-the-end] [--slots 1]

Writes so many experiments of one small dataset into a folder, none of which is trained. In one run: the
definitions in fresh processes, with so many experiments and with one; then `make dev` on them, and in
headless Chromium the pages that people open, each until its last request is answered; then a backfill over
all partitions of one asset, each of whose runs ends at once, as its dataset is missing: how long until all
of them are there and, `--to-the-end`, until all have ended; the pool of GPUs has `--slots`. Prints JSON at
the end, and each part of it on standard error as soon as it is known; nothing is left.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from gan_core.config.grids import MOST_POINTS
from tests.picture_book import FLAGS
from tests.pipelines.dev_server import ask, dev_server
from tests.small_project import DATASET, EXPERIMENT, write_config

LOAD = """
import time
began = time.perf_counter()
import pipelines.definitions
loaded, busy = time.perf_counter(), time.process_time()
keys = pipelines.definitions.defs.get_repository_def().get_all_jobs()
print(loaded - began, time.perf_counter() - loaded, busy, time.process_time() - busy)
"""
PAGES = {
    "assets": "/asset-groups",
    "one asset, its partitions": "/assets/trained_gan?view=partitions",
    "lineage": "/asset-groups?asset-selection=*",
    "jobs": "/jobs",
    "runs": "/runs",
    "backfills": "/runs?view=backfills",
    "automation": "/automation",
}
LAUNCH = """mutation { launchPartitionBackfill(backfillParams: {
  assetSelection: [{path: ["trained_gan"]}], allPartitions: true, title: "all", tags: []
}) { __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
COUNT = """{ runsOrError(filter: %s, limit: 1) { ... on Runs { count } } }"""


def write_experiments(folder: Path, count: int) -> None:
    """One dataset, and as many experiments, each file with as many as one may have."""
    write_config(folder, DATASET)
    for number, start in enumerate(range(0, count, MOST_POINTS)):
        seeds = list(range(start, min(start + MOST_POINTS, count)))
        write_config(folder, {**EXPERIMENT, "name": f"many-{number}", "grid": {"seed": seeds}})


def seconds_to_load(folder: Path, rounds: int) -> dict[str, float]:
    """Of fresh processes, until the definitions are imported, and from then on until every job is resolved:
    the least by the clock and of processor time, as beside other work both are only ever more."""
    environment = {**os.environ, "GAN_CONFIGS": str(folder)}
    told = [
        subprocess.run(
            [sys.executable, "-c", LOAD], env=environment, capture_output=True, text=True, check=True
        )
        for _ in range(rounds)
    ]
    columns = zip(*(map(float, one.stdout.split()[-4:]) for one in told), strict=True)
    names = ("imported", "resolved", "imported, of processor", "resolved, of processor")
    return {name: round(min(values), 2) for name, values in zip(names, columns, strict=True)}


def seconds_of_pages(browser: Browser, address: str) -> dict[str, float]:
    """Each page opened twice, as a first visit also loads the UI itself: the seconds of the second."""
    page, seconds = browser.new_page(), {}
    for name, path in PAGES.items():
        for _ in range(2):
            began = time.perf_counter()
            page.goto(f"{address}{path}", wait_until="networkidle", timeout=120_000)
            seconds[name] = round(time.perf_counter() - began - 0.5, 2)  # of silence that it waits for
    return seconds


def seconds_of_a_backfill(address: str, count: int, to_the_end: bool) -> dict[str, float | int]:
    """Until it is accepted, until all its runs are there and, if asked for, until all have ended."""
    began = time.perf_counter()
    answer = ask(address, LAUNCH)["launchPartitionBackfill"]
    if answer["__typename"] != "LaunchBackfillSuccess":
        raise RuntimeError(answer)
    found = {"accepted": round(time.perf_counter() - began, 2)}
    ended = ("runs ended", "{statuses: [SUCCESS, FAILURE, CANCELED]}")
    for what, wanted in (("runs created", "{}"), *([ended] if to_the_end else [])):
        until = time.perf_counter() + 2 * 3600
        while (runs := ask(address, COUNT % wanted)["runsOrError"]["count"]) < count:
            if time.perf_counter() > until:
                return {**found, f"{what} after two hours": runs}
            time.sleep(1)
        found[what] = round(time.perf_counter() - began, 1)
    return found


def set_slots(home: Path, slots: int) -> None:
    command = [sys.executable, "-m", "dagster", "instance", "concurrency", "set", "gpu", str(slots)]
    subprocess.run(command, env={**os.environ, "DAGSTER_HOME": str(home)}, check=True, capture_output=True)


class Found(dict):
    """What was measured; each part is also told at once, as the whole takes long."""

    def __setitem__(self, name: str, value: object) -> None:
        super().__setitem__(name, value)
        print(f"{name}: {value}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experiments", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--only", nargs="+", choices=["load", "pages", "backfill"], default=["load", "pages", "backfill"]
    )
    parser.add_argument("--to-the-end", action="store_true", help="wait for all runs of the backfill")
    parser.add_argument("--slots", type=int, default=1, help="of the pool of GPUs: so many trainings at once")
    options = parser.parse_args()
    found = Found()
    found["experiments"], found["slots"] = options.experiments, options.slots
    found["load of the machine"] = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="partitions-") as name:
        folder = Path(name)
        for count in (1, options.experiments):
            write_experiments(folder / str(count), count)
            if "load" in options.only:
                found[f"seconds to load {count:,}"] = seconds_to_load(folder / str(count), options.rounds)
        if {"pages", "backfill"} & set(options.only):
            environment = {"GAN_CONFIGS": str(folder / str(options.experiments))}
            with dev_server(folder, **environment) as (address, _):
                set_slots(folder / "home", options.slots)
                if "pages" in options.only:
                    with (
                        sync_playwright() as player,
                        player.chromium.launch(
                            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=FLAGS
                        ) as browser,
                    ):
                        found["seconds of pages"] = seconds_of_pages(browser, address)
                if "backfill" in options.only:
                    found["seconds of a backfill"] = seconds_of_a_backfill(
                        address, options.experiments, options.to_the_end
                    )
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
