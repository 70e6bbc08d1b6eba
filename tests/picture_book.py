"""The pictures of `docs/ui.md`: `make picture-book`, or `python -m tests.picture_book [FOLDER]`.

Makes a small store, starts `make dev` on it, does what a user does, and takes pictures with a headless
Chromium. Takes minutes. FOLDER keeps configurations, store and Dagster's state; by default they are removed.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Error, Locator, Page, expect, sync_playwright

from tests.pipelines.dev_server import REPOSITORY, ask, dev_server, wait_for
from tests.small_project import DATASET, EXPERIMENT, write_config

PICTURES = REPOSITORY / "docs" / "images" / "ui"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
SIZE = {"width": 1280, "height": 800}
PATIENCE_MS = 90_000
COLOURS = 96
JOB = 'repositoryLocationName: "gan-pipelines", repositoryName: "__repository__"'

SMALL = {**EXPERIMENT, "architecture": {"width": 16}, "length": {"images": 12_000}, "sample_every": 2_000}
EXPERIMENTS = [
    {**SMALL, "name": "dcgan", "description": "The smallest GAN that draws digits."},
    {**SMALL, "name": "acgan", "description": "The same, told the class.", "conditioning": {"name": "acgan"}},
    {
        **SMALL,
        "name": "rates",
        "description": "Does a faster generator help?",
        "length": {"images": 2_000},
        "grid": {"optimizers.generator.learning_rate": [1e-4, 4e-4], "seed": [0, 1]},
    },
    {
        **SMALL,
        "name": "long-dcgan",
        "description": "The same for longer than anyone waits.",
        "length": {"images": 4_000_000},
    },
    {**SMALL, "name": "too-short", "n_critic": 50, "length": {"epochs": 0.01}},
]

NIGHTLY = {
    "name": "nightly",
    "description": "Train the best one again, from scratch.",
    "does": "train",
    "cron": "0 2 * * *",
    "timezone": "Europe/Berlin",
    "experiments": ["dcgan"],
    "force": True,
}


@dataclass
class Book:
    """A browser that looks at a running UI, and what it is asked to photograph."""

    address: str
    log: Path
    page: Page

    def open(self, path: str) -> None:
        self.page.goto(f"{self.address}{path}", wait_until="domcontentloaded", timeout=PATIENCE_MS)

    def sees(self, text: str | re.Pattern) -> Locator:
        """The first place where the text is visible, once it is."""
        found = self.page.get_by_text(text).locator("visible=true").first
        expect(found).to_be_visible(timeout=PATIENCE_MS)
        return found

    def scroll_to(self, text: str | re.Pattern) -> None:
        """Let what has this text stand at the top."""
        self.sees(text).evaluate("element => element.scrollIntoView({block: 'start', inline: 'nearest'})")

    def take(self, name: str, of: Locator | None = None) -> None:
        """A picture of the page as it is, or of a part of it, in few colours."""
        self.page.mouse.move(640, 1)  # no tooltip
        self.page.wait_for_timeout(1_500)  # what slides or fades has come to rest
        path = PICTURES / f"{name}.png"
        (of or self.page).screenshot(path=path)
        with Image.open(path) as picture:
            few = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        few.save(path, optimize=True)
        print(f"{path.relative_to(REPOSITORY)}: {path.stat().st_size:,} bytes", flush=True)

    def ask(self, query: str) -> dict:
        return ask(self.address, query)

    def wait(self, condition: Callable[[], object], otherwise: str):
        return wait_for(condition, otherwise, self.log)


# --- what a user does -------------------------------------------------------------------------------------


def launch(book: Book, job: str, config: dict, partition: str = "") -> str:
    """Start a job, of a partition if there is one; the run's id."""
    tags = f'[{{key: "dagster/partition", value: "{partition}"}}]' if partition else "[]"
    answer = book.ask(
        f'mutation {{ launchRun(executionParams: {{selector: {{{JOB}, jobName: "{job}"}}, '
        f"runConfigData: {json.dumps(json.dumps(config))}, executionMetadata: {{tags: {tags}}}}}) "
        "{ __typename ... on LaunchRunSuccess { run { id } } ... on PythonError { message } } }"
    )["launchRun"]
    return answer["run"]["id"]


def backfill(book: Book, partitions: list[str]) -> str:
    """Start `run_experiment` of several partitions; the backfill's id."""
    selector = f'{{partitionSetName: "run_experiment_partition_set", repositorySelector: {{{JOB}}}}}'
    answer = book.ask(
        f"mutation {{ launchPartitionBackfill(backfillParams: {{selector: {selector}, "
        f'partitionNames: {json.dumps(partitions)}, title: "Does a faster generator help?"}}) '
        "{ __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"
    )["launchPartitionBackfill"]
    return answer["backfillId"]


def terminate(book: Book, run: str) -> None:
    book.ask(f'mutation {{ terminateRun(runId: "{run}") {{ __typename }} }}')
    book.wait(lambda: status(book, run) == "CANCELED", f"run {run} was not cancelled")


def status(book: Book, run: str) -> str:
    return book.ask(f'{{ runOrError(runId: "{run}") {{ ... on Run {{ status }} }} }}')["runOrError"]["status"]


def run_of(book: Book, partition: str) -> str:
    """The last run of a partition."""
    tags = f'[{{key: "dagster/partition", value: "{partition}"}}]'
    query = f"{{ runsOrError(filter: {{tags: {tags}}}, limit: 1) {{ ... on Runs {{ results {{ id }} }} }} }}"
    return book.ask(query)["runsOrError"]["results"][0]["id"]


def observations(book: Book, partition: str) -> int:
    """How many observations there are of a partition of `trained_gan`."""
    query = (
        '{ assetOrError(assetKey: {path: ["trained_gan"]}) { ... on Asset { '
        f'assetObservations(partitions: ["{partition}"], limit: 100) {{ timestamp }} }} }} }}'
    )
    return len(book.ask(query)["assetOrError"].get("assetObservations") or [])


# --- the pictures -----------------------------------------------------------------------------------------


def overview(book: Book) -> None:
    book.open("/overview/activity/timeline")
    book.sees("run_experiment")
    book.sees("1hr").click()
    book.take("overview")


def graph(book: Book) -> None:
    book.page.set_viewport_size({"width": 1600, "height": 1200})  # all of it
    book.open("/locations/gan-pipelines/asset-groups/experiments")
    book.sees("Latest event")
    expect(book.page.get_by_text("Loading...").locator("visible=true")).to_have_count(0, timeout=PATIENCE_MS)
    book.take("graph")
    book.page.set_viewport_size(SIZE)


def configurations(book: Book) -> None:
    book.open("/assets/configurations")
    book.sees("[Show Markdown]").click()
    book.sees("long-dcgan")
    # Behind the dialog stands the path of the folder, which is this machine's.
    book.take("configurations", of=book.page.locator(".dagster-dialog"))


def partition_before(book: Book) -> None:
    book.wait(lambda: observations(book, "long-dcgan"), "no partition was described")
    book.open(events_of("long-dcgan"))
    book.sees("configuration_in_full")
    book.take("partition-before")


def partition_after(book: Book) -> None:
    book.open("/assets/trained_gan?view=partitions&partition=dcgan")
    book.sees("samples_over_time")
    book.take("partition-after")


def checks(book: Book) -> None:
    book.open("/assets/trained_gan?view=checks&checkDetail=training_is_healthy")
    book.sees("by_partition")
    book.take("checks")


def leaderboard(book: Book) -> None:
    book.open("/assets/leaderboard")
    book.sees("Show schema")
    book.scroll_to("few-digits")  # the key, in the first column
    book.take("leaderboard")


def failed(book: Book) -> None:
    book.open(f"/runs/{run_of(book, 'too-short')}")
    book.sees(re.compile("images are too few")).scroll_into_view_if_needed()
    book.take("failed")


def training(book: Book) -> None:
    config = {"ops": {"trained_gan": {"config": {"observe_seconds": 2.0}}}}
    launch(book, "run_experiment", config, "long-dcgan")
    book.wait(lambda: observations(book, "long-dcgan") > 6, "the training did not show itself")
    book.open(events_of("long-dcgan"))
    book.sees("time_left")
    book.take("training")


def terminated(book: Book) -> None:
    run = run_of(book, "long-dcgan")
    terminate(book, run)
    book.open(f"/runs/{run}?logs=images%3B%20press")  # without the stack, which has paths of this machine
    book.sees(re.compile("Saved at .* images; press"))
    book.take("terminated")


def backfilling(book: Book) -> None:
    names = [f"rates-learning-rate-{rate}-seed-0" for rate in (0.0001, 0.0004)]
    identifier = backfill(book, names)
    book.open(f"/runs/b/{identifier}?tab=runs")
    for name in names:
        book.sees(f"partition: {name}")
    book.take("backfill")


def choice(book: Book) -> None:
    config = {"ops": {"choose": {"config": {"dataset": DATASET["name"]}}}}
    run = launch(book, "choose_experiments", config)
    book.wait(lambda: status(book, run) == "SUCCESS", f"run {run} did not succeed")
    book.open("/assets/configurations?view=events")
    book.sees("in_short")
    plan = book.page.locator("tr", has_text="plan").locator("visible=true").last
    plan.get_by_text("[Show Markdown]").click()
    book.sees("never trained")
    book.take("choice", of=book.page.locator(".dagster-dialog"))


def automation(book: Book) -> None:
    book.open("/automation")
    book.sees("nightly_schedule")
    book.sees("promote_champions")
    book.page.wait_for_load_state("networkidle", timeout=PATIENCE_MS)  # the switches come one by one
    book.take("automation")


def runs_by_tag(book: Book) -> None:
    book.open("/runs?q[0]=tag%3Adataset%3Dfew-digits&q[1]=tag%3Aobjective%3Dnon_saturating")
    book.sees("partition: dcgan")
    book.take("runs-by-tag")


def events_of(partition: str) -> str:
    """The page of a partition's events: *Events* of `trained_gan`, filtered."""
    return f"/assets/trained_gan?view=events&partitions%5B0%5D={partition}"


def take_all(book: Book) -> list[str]:
    """Every picture; the names of those that could not be taken."""
    missed = []
    for picture in (
        overview,
        graph,
        configurations,
        partition_before,
        partition_after,
        checks,
        leaderboard,
        failed,
        training,
        terminated,
        backfilling,
        choice,
        automation,
        runs_by_tag,
    ):
        try:
            picture(book)
        except (AssertionError, Error) as error:
            print(f"{picture.__name__}: {error}", file=sys.stderr, flush=True)
            missed.append(picture.__name__)
    return missed


def main(folder: Path) -> int:
    """The exit status: 1 where a picture could not be taken."""
    configs = folder / "configs"
    write_config(configs, DATASET)
    for experiment in EXPERIMENTS:
        write_config(configs, experiment)
    (configs / "schedules").mkdir()
    (configs / "schedules" / "nightly.yaml").write_text(json.dumps(NIGHTLY))
    environment = {
        **os.environ,
        "GAN_CONFIGS": str(configs),
        "GAN_STORE": str(folder / "store"),
        "DAGSTER_HOME": str(folder / "home"),
    }
    made = ["dcgan", "acgan", "too-short"]  # the last one fails, as it should
    subprocess.run([sys.executable, "-m", "pipelines", "backfill", *made], cwd=REPOSITORY, env=environment)
    PICTURES.mkdir(parents=True, exist_ok=True)
    with dev_server(folder, GAN_CONFIGS=str(configs)) as (address, log), browser() as page:
        return 1 if take_all(Book(address, log, page)) else 0


@contextlib.contextmanager
def browser() -> Iterator[Page]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        sys.exit("no Chromium on the PATH: install it to take pictures")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield opened.new_page(viewport=SIZE)
        opened.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(main(Path(sys.argv[1]).resolve()))
    with tempfile.TemporaryDirectory(prefix="picture-book-") as temporary:
        sys.exit(main(Path(temporary)))
