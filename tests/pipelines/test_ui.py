"""The UI as a user meets it: `make dev` on the shipped files, in a real headless browser."""

import re
import shutil

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.pipelines.dev_server import dev_server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH: install it to test the UI"),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with dev_server(tmp_path_factory.mktemp("dev")) as (address, _):
        yield address


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
    page.goto(f"{url}/assets/raw_images?view=partitions&default_range=digits", wait_until="domcontentloaded")
    expect(page.get_by_text("Materialized").first).to_be_visible(timeout=60_000)
