"""The report: a site of pages in `STORE/report`, each made again only where what it shows has changed."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

from gan_core.config import Configs
from gan_core.leaderboard.publishing import produce_table, prune
from gan_core.progress import format_seconds
from gan_core.report.artefacts import Artefacts
from gan_core.report.page import CODE_VERSION, Page
from gan_core.report.pages import PAGES, navigation
from gan_core.report.site import Site
from gan_core.store import Build, Manifest, Store

ASSET, PARTITION = "report", "all"
PAGE, LIST = "index.html", "pages.json"
# Between two lines that say how far it has come.
SECONDS_BETWEEN_LINES = 10
# Threads: while one writes text another decodes pictures or waits for the disk; more wait for each other.
WRITERS = 2

logger = logging.getLogger("gan_core")


@dataclass(frozen=True)
class Written:
    """A page as it was published: what it was made from, and its bytes."""

    fingerprint: str
    sha256: str
    bytes: int


def build_report(
    store: Store,
    configs: Configs,
    artefacts: Artefacts,
    *,
    force: bool = False,
    emit: Callable[[str], None] = logger.info,
) -> Manifest:
    """Publish the report at `STORE/report/index.html`, each page atomically; the artefact is their list.

    What is missing is said to be, or why it is unreadable. Dates on the pages are those of the manifests, so
    the same inputs give the same bytes. A page is made again where what it shows has changed, or where its
    file is missing or was changed; all are with `force`. Pages of what is gone are removed. A picture or a
    history that does not match its manifest is a problem of its experiment's page, which says what to do.
    """
    site = Site(store, configs, artefacts, navigation())
    pages = [page for kind in PAGES.values() for page in kind.pages(site)]
    earlier = _earlier(store)
    written = _publish(store, pages, {} if force else earlier, emit)

    def build(work: Build) -> None:
        content = {path: asdict(item) for path, item in written.items()}
        (work.folder / LIST).write_text(json.dumps(content, indent=1), encoding="utf-8")
        work.figures = {
            "pages": len(written),
            "bytes": sum(item.bytes for item in written.values()),
            "experiments": len(artefacts.started),
        }

    manifest = produce_table(
        store,
        ASSET,
        PARTITION,
        config={"pages": {page.path: page.fingerprint for page in pages}},
        inputs=artefacts.inputs(),
        code_version=CODE_VERSION,
        build=build,
        force=force,
    )
    for path in set(earlier) - set(written):
        store.remove(f"{ASSET}/{path}")
    prune(store, manifest)
    emit(f"report: {len(artefacts.started):,} experiments, {store.address(f'{store.root}/{ASSET}/{PAGE}')}")
    return manifest


def _by_what_they_show(pages: Iterable[Page]) -> list[list[Page]]:
    """Pages of one thing together: what was read for one is still at hand for the next."""
    found: dict[str, list[Page]] = {}
    for page in pages:
        found.setdefault(PurePosixPath(page.path).stem, []).append(page)
    return list(found.values())


def _publish(
    store: Store, pages: list[Page], earlier: Mapping[str, Written], emit: Callable[[str], None]
) -> dict[str, Written]:
    began = said = time.monotonic()
    written: dict[str, Written] = {}
    pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="page")
    try:
        started = [
            pool.submit(_publish_together, store, together, earlier) for together in _by_what_they_show(pages)
        ]
        for done in as_completed(started):
            written |= done.result()
            if time.monotonic() - said > SECONDS_BETWEEN_LINES:
                said = time.monotonic()
                left = (said - began) / len(written) * (len(pages) - len(written))
                emit(f"report: {len(written):,} of {len(pages):,} pages, {format_seconds(left)} left")
    finally:
        pool.shutdown(cancel_futures=True)
    made = sum(item is not earlier.get(path) for path, item in written.items())
    emit(f"report: {made:,} of {len(pages):,} pages made, the others are as they were")
    return {page.path: written[page.path] for page in pages}


def _publish_together(store: Store, pages: list[Page], earlier: Mapping[str, Written]) -> dict[str, Written]:
    return {page.path: _kept(store, page, earlier.get(page.path)) or _write(store, page) for page in pages}


def _kept(store: Store, page: Page, earlier: Written | None) -> Written | None:
    """The page as it was published, where it is still what it would be."""
    if earlier is None or earlier.fingerprint != page.fingerprint:
        return None
    content = store.read_bytes(f"{ASSET}/{page.path}")
    return earlier if content is not None and _sha256(content) == earlier.sha256 else None


def _write(store: Store, page: Page) -> Written:
    content = page.render()
    store.write_atomically(f"{ASSET}/{page.path}", content)
    return Written(page.fingerprint, _sha256(content), len(content))


def _earlier(store: Store) -> dict[str, Written]:
    """The pages of the last report; none where there is no whole one."""
    unreadable: dict[str, str] = {}
    current = store.all_current(ASSET, [PARTITION], unreadable).get(PARTITION)
    if current is None or LIST not in current.files or store.problems(current, hashes=True):
        return {}
    content = json.loads(store.local(current, LIST).read_text(encoding="utf-8"))
    return {path: Written(**item) for path, item in content.items()}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
