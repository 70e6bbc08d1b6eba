"""The UI as a user meets it: `dagster dev` on the shipped files, in a real headless browser."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

REPOSITORY = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH: install it to test the UI"),
]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dev")
    (folder / "home").mkdir()
    shutil.copy(REPOSITORY / "dagster.yaml", folder / "home")
    port = free_port()
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "dagster", "dev", "-w", "workspace.yaml"]
            + ["-h", "127.0.0.1", "-p", str(port)],
            cwd=REPOSITORY,
            env={**os.environ, "DAGSTER_HOME": str(folder / "home"), "GAN_STORE": str(folder / "store")},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, process, folder / "log")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(f"{address}/server_info", timeout=2).close()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"dagster dev did not answer within 120 s:\n{log.read_text()}")


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
