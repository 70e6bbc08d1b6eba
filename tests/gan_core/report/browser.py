"""Pages of the report in a real headless browser without a network, seen as a person sees them and by axe."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
WIDTHS, SCHEMES = (1400, 800, 390), ("light", "dark")
HEIGHT = 1000
# Of what axe-core finds, what keeps somebody from reading or using a page.
SERIOUS = ("serious", "critical")
# Every how many presses of Tab is looked whether the focus has come around.
PRESSES = 20
MOST_PRESSES = 2_000

MARKS = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH: install it to test the pages"),
]


@dataclass
class Opened:
    """A page of a report in the browser, and what it complained of so far."""

    page: Page
    folder: Path
    path: str
    complaints: list[str] = field(default_factory=list)

    def resize(self, width: int, scheme: str) -> None:
        """Turn the device, or change what it prefers."""
        self.page.set_viewport_size({"width": width, "height": HEIGHT})
        self.page.emulate_media(color_scheme=scheme)
        settle(self.page)

    def problems(self, *, keyboard: bool = True, axe: bool = True) -> list[str]:
        """Everything that is wrong with it as it stands: messages on the console, requests, overflow, what
        the keyboard does not reach, what axe-core finds."""
        found = [*self.complaints, *_overflow(self.page)]
        found += _by_axe(self.page) if axe else []
        return found + (_by_keyboard(self.page) if keyboard else [])


@dataclass
class Reader:
    """A browser before the folder of a report."""

    browser: Browser
    folder: Path

    @property
    def paths(self) -> list[str]:
        """All pages of the report, as it lists them itself."""
        return [path for path in self._written if path.endswith(".html")]

    def examples(self, most: int = 3) -> list[str]:
        """Of each folder of the report so many pages: the largest, and the smallest."""
        sizes = {path: self._written[path]["bytes"] for path in self.paths}
        folders: dict[str, list[str]] = {}
        for path in sorted(sizes, key=sizes.__getitem__, reverse=True):
            folders.setdefault(path.rpartition("/")[0], []).append(path)
        top = folders.pop("", [])
        return top + [
            path
            for paths in folders.values()
            for path in (paths if len(paths) <= most else [*paths[: most - 1], paths[-1]])
        ]

    @contextmanager
    def open(
        self, path: str, width: int = 1400, scheme: str = "light", *, touch: bool = False
    ) -> Iterator[Opened]:
        """A page from its file, drawn; `path` may have an anchor."""
        context = self.browser.new_context(
            offline=True,
            viewport={"width": width, "height": HEIGHT},
            color_scheme=scheme,
            has_touch=touch,
            reduced_motion="reduce",
        )
        try:
            yield self._opened(context, path)
        finally:
            context.close()

    def look(self, path: str, width: int = 1400, scheme: str = "light", **checks: bool) -> None:
        """Open a page and assert that nothing is wrong with it."""
        with self.open(path, width, scheme) as opened:
            problems = opened.problems(**checks)
        assert not problems, f"{path} at {width} pixels, {scheme}:\n" + "\n".join(problems)

    def pdf(self, path: str) -> bytes:
        """A page as it is printed on A4."""
        with self.open(path) as opened:
            return opened.page.pdf(format="A4", prefer_css_page_size=True)

    @property
    def _written(self) -> dict[str, dict[str, Any]]:
        lists = sorted((self.folder / "all").rglob("pages.json"), key=lambda path: path.stat().st_mtime)
        return json.loads(lists[-1].read_text())

    def _opened(self, context: BrowserContext, path: str) -> Opened:
        page = context.new_page()
        opened = Opened(page, self.folder, path)
        page.on("console", lambda message: _heard(opened, message.type, message.text))
        page.on("pageerror", lambda error: opened.complaints.append(f"error: {error}"))
        page.on("request", lambda request: _asked(opened, request.url))
        page.on("requestfailed", lambda request: opened.complaints.append(f"not loaded: {request.url[:200]}"))
        place, _, anchor = path.partition("#")
        page.goto((self.folder / place).as_uri() + (f"#{anchor}" if anchor else ""), wait_until="load")
        settle(page)
        return opened


@contextmanager
def reading(folder: Path) -> Iterator[Reader]:
    """A reader of the report in this folder, in a browser of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield Reader(browser, folder)
        finally:
            browser.close()


def settle(page: Page) -> None:
    """Wait until what is drawn after a change of the width or of a choice is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.drawing')].every((place) => !place.clientWidth "
        "|| place.dataset.width === String(place.clientWidth))"
    )


# --- inside -----------------------------------------------------------------------------------------------


def _heard(opened: Opened, kind: str, text: str) -> None:
    if kind in ("error", "warning"):
        opened.complaints.append(f"console {kind}: {text}")


def _asked(opened: Opened, url: str) -> None:
    """A page may load files of its own report, and nothing else."""
    parts = urlparse(url)
    own = parts.scheme == "file" and Path(unquote(parts.path)).is_relative_to(opened.folder)
    if not own and parts.scheme not in ("data", "blob"):
        opened.complaints.append(f"request: {url[:200]}")


def _overflow(page: Page) -> list[str]:
    wide = page.evaluate(
        """() => {
          const root = document.documentElement;
          if (root.scrollWidth <= root.clientWidth) return [];
          const inside = (item) => {  // of what scrolls by itself
            for (let up = item.parentElement; up; up = up.parentElement)
              if (getComputedStyle(up).overflowX !== 'visible') return true;
            return false;
          };
          const wide = [...document.body.querySelectorAll('*')].filter(
            (item) => item.getBoundingClientRect().right > root.clientWidth + 1 && !inside(item));
          return [`${root.scrollWidth} > ${root.clientWidth}`].concat(
            wide.slice(0, 3).map((item) => item.outerHTML.slice(0, 160)));
        }"""
    )
    return [f"wider than the window: {'; '.join(wide)}"] if wide else []


def _by_axe(page: Page) -> list[str]:
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found = page.evaluate(
        "() => axe.run({resultTypes: ['violations']}).then((results) => results.violations)"
    )
    return [
        f"axe-core, {item['id']} ({len(item['nodes'])} times): {_first_place(item['nodes'][0])}"
        for item in found
        if item["impact"] in SERIOUS
    ]


def _first_place(node: dict[str, Any]) -> str:
    return " ".join(f"{node['target']} {node['failureSummary']} {node['html'][:200]}".split())


# Marks what the Tab key focuses, and whether the focus can be seen there.
WATCH = """() => {
  const shown = (item) => {
    const style = getComputedStyle(item);
    const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
    return outlined || style.boxShadow !== 'none';
  };
  window.reached = new Set(); window.unseen = new Set();
  document.addEventListener('focusin', ({ target }) => {
    window.reached.add(target);
    const box = target.getBoundingClientRect();
    const label = target.labels?.[0];
    if (!box.width || !box.height || !(shown(target) || (label && shown(label)))) window.unseen.add(target);
  });
  const boxes = (item) => item.checkVisibility({ visibilityProperty: true }) && item.getClientRects().length;
  const chosen = (item) => item.type !== 'radio' || item.checked
    || !document.querySelector(`input[type=radio][name="${CSS.escape(item.name)}"]:checked`);
  window.wanted = () => [...document.querySelectorAll(
    'a[href], button, input, select, textarea, summary, [tabindex]')].filter(
    (item) => !item.disabled && item.tabIndex >= 0 && boxes(item) && chosen(item));
}"""


def _by_keyboard(page: Page) -> list[str]:
    """What Tab does not reach, or shows no focus on."""
    page.evaluate(f"() => {{ document.activeElement?.blur(); window.scrollTo(0, 0); ({WATCH})(); }}")
    for _ in range(0, MOST_PRESSES, PRESSES):
        before = page.evaluate("() => window.reached.size")
        for _ in range(PRESSES):
            page.keyboard.press("Tab")
        if page.evaluate("() => window.reached.size") == before:
            break
    named = "(items) => items.slice(0, 3).map((item) => item.outerHTML.slice(0, 160))"
    missed = page.evaluate(f"() => ({named})(window.wanted().filter((item) => !window.reached.has(item)))")
    unseen = page.evaluate(f"() => ({named})([...window.unseen])")
    found = [f"not reached by Tab: {'; '.join(missed)}"] if missed else []
    return found + ([f"no visible focus: {'; '.join(unseen)}"] if unseen else [])
