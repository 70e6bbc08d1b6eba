"""The UI as a user meets it: `make dev` on the shipped files, in a real headless browser."""

import re
import shutil

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.pipelines.dev_server import ask, dev_server, wait_for

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH: install it to test the UI"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with dev_server(tmp_path_factory.mktemp("dev")) as (address, log):
        yield address, log


@pytest.fixture
def url(server) -> str:
    return server[0]


@pytest.fixture
def page():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser.new_page(viewport={"width": 1600, "height": 1000})
        browser.close()


def test_the_graph_shows_its_three_groups(url: str, page: Page):
    page.goto(f"{url}/asset-groups", wait_until="domcontentloaded")
    for group in ("datasets", "experiments", "results"):
        expect(page.get_by_text(group, exact=True).first).to_be_visible(timeout=60_000)


def test_a_partition_materialises_to_green(url: str, page: Page):
    page.goto(f"{url}/assets/raw_images", wait_until="domcontentloaded")
    page.get_by_role("button", name="Materialize").first.click(timeout=60_000)
    dialog = page.locator(".dagster-dialog")  # its menus have the same role
    dialog.get_by_text("Select a partition").click()
    page.get_by_text("digits", exact=True).locator("visible=true").first.click()
    page.keyboard.press("Escape")
    dialog.get_by_role("button", name=re.compile("Launch")).click()
    expect(dialog).to_be_hidden(timeout=60_000)  # leaving earlier would cancel the request
    page.goto(f"{url}/runs", wait_until="domcontentloaded")
    expect(page.get_by_text("Success").first).to_be_visible(timeout=180_000)
    expect(page.get_by_text("dataset: digits").first).to_be_visible(timeout=60_000)
    page.goto(f"{url}/assets/raw_images?view=partitions&default_range=digits", wait_until="domcontentloaded")
    expect(page.get_by_text("Materialized").first).to_be_visible(timeout=60_000)


DESCRIBED = """{ assetOrError(assetKey: {path: ["trained_gan"]}) { ... on Asset {
  assetObservations(partitions: ["demo-dcgan"], limit: 1) { timestamp } } } }"""
LAUNCH = """mutation { launchRun(executionParams: {
  selector: {repositoryLocationName: "gan-pipelines", repositoryName: "__repository__",
             jobName: "run_experiment"},
  runConfigData: "{}", executionMetadata: {tags: [{key: "dagster/partition", value: "demo-dcgan"}]}}) {
    ... on LaunchRunSuccess { run { id } } } }"""


@pytest.mark.slow
def test_a_partition_that_never_ran_shows_its_configuration(server, page: Page):
    address, log = server
    wait_for(
        lambda: ask(address, DESCRIBED)["assetOrError"].get("assetObservations"),
        "the partitions were not described",
        log,
    )
    page.goto(
        f"{address}/assets/trained_gan?view=events&partitions%5B0%5D=demo-dcgan",
        wait_until="domcontentloaded",
    )
    for shown in ("configuration_in_full", "architecture", "objective", "file"):
        expect(page.get_by_text(shown, exact=True).first).to_be_visible(timeout=60_000)


@pytest.mark.slow
def test_a_missing_dataset_is_told_in_the_first_line_with_the_job_that_makes_it(url: str, page: Page):
    run = ask(url, LAUNCH)["launchRun"]["run"]["id"]
    page.goto(f"{url}/runs/{run}", wait_until="domcontentloaded")
    told = re.compile(r"Failed: .* is not in .*: launch the job prepare_dataset for `digits`")
    expect(page.get_by_text(told).first).to_be_visible(timeout=180_000)
