"""The pictures of `docs/report.md`: `make report-pictures`, or `python -m tests.report_pictures [STORE]`.

Opens the report of a store (by default the one that `GAN_STORE` names) in a headless Chromium, and takes one
picture of each kind of page. Those of the documentation are of the demo, `digits-collapse-*` and three seeds
of `digits-batch-*`.
"""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.gan_core.report.browser import CHROMIUM, FLAGS, settle
from tests.pipelines.dev_server import REPOSITORY

PICTURES = REPOSITORY / "docs" / "images" / "report"
WIDTH, HEIGHT, NARROW = 1280, 900, 390
COLOURS = 128


def compared(page: Page) -> None:
    """From the first page: two rows are ticked, then compared."""
    boxes = page.locator("table input[type=checkbox]")
    for position in range(2):
        boxes.nth(position).check()
    page.get_by_role("link", name=re.compile("^Compare \\d")).or_(
        page.get_by_role("button", name=re.compile("^Compare \\d"))
    ).first.click()
    settle(page)


def compared_over_time(page: Page) -> None:
    """The same further down: the images and the curves."""
    compared(page)
    page.get_by_role("heading", name="Over time").evaluate(
        "heading => heading.scrollIntoView({ behavior: 'instant' })"
    )
    settle(page)


def drawn(page: Page) -> None:
    """The generator has drawn."""
    page.locator("fieldset:not([disabled])").first.wait_for(timeout=60_000)
    settle(page)


def untouched(page: Page) -> None:
    pass


# By the picture's name: a pattern of the page's path, the width, the height, and what is done first.
TAKEN: dict[str, tuple[str, int, int, Callable[[Page], None]]] = {
    "index": (r"index\.html", WIDTH, HEIGHT, untouched),
    "index-narrow": (r"index\.html", NARROW, HEIGHT, untouched),
    "compare": (r"index\.html", WIDTH, 1200, compared),
    "compare-over-time": (r"index\.html", WIDTH, 1300, compared_over_time),
    "experiment": (r"experiments/demo-acgan\.html", WIDTH, 1900, untouched),
    "sweep": (r"sweeps/digits-collapse.*\.html", WIDTH, 1300, untouched),
    "dataset": (r"datasets/digits\.html", WIDTH, 1300, untouched),
    "play": (r"play/demo-acgan\.html", WIDTH, 1100, drawn),
}


def main(store: Path) -> None:
    folder = store / "report"
    pages = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.html"))
    PICTURES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name, (pattern, width, height, prepare) in TAKEN.items():
            path = next((path for path in pages if re.fullmatch(pattern, path)), None)
            if path is None:
                print(f"{name}: the report of {store} has no page {pattern}", file=sys.stderr)
                continue
            page = browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
            page.goto((folder / path).as_uri())
            settle(page)
            prepare(page)
            _take(page, PICTURES / f"{name}.png")
            page.close()
        browser.close()


def _take(page: Page, path: Path) -> None:
    page.screenshot(path=path)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(COLOURS, method=Image.Quantize.MEDIANCUT)
    small.save(path, optimize=True)
    print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("GAN_STORE", "store")).resolve())
