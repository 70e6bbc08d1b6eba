"""How pages get into the store: two at a time, and only those that are not there as they would be made."""

import functools
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import PurePosixPath

from gan_core.progress import format_seconds
from gan_core.report.page import Page
from gan_core.store import Store

FOLDER = "report"
# Between two lines that say how far it has come.
SECONDS_BETWEEN_LINES = 10
# Threads: while one writes text another decodes pictures or waits for the disk; more wait for each other.
WRITERS = 2


@dataclass(frozen=True)
class Written:
    """A page as it was published: what it was made from, and its bytes."""

    fingerprint: str
    sha256: str
    bytes: int


def publish_pages(
    store: Store, pages: list[Page], earlier: Mapping[str, Written], emit: Callable[[str], None]
) -> dict[str, Written]:
    """Write every page at `STORE/report/<path>`, atomically, unless that of an `earlier` report is there and
    what it would be; say how far it has come. By path, in the order of the pages.

    What a page raises ends it; pages that are being made meanwhile are finished.
    """
    began = said = time.monotonic()
    written: dict[str, Written] = {}
    for done in _as_published(store, pages, earlier):
        written |= done
        if time.monotonic() - said > SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            left = (said - began) / len(written) * (len(pages) - len(written))
            emit(f"report: {len(written):,} of {len(pages):,} pages, {format_seconds(left)} left")
    made = sum(item is not earlier.get(path) for path, item in written.items())
    emit(f"report: {made:,} of {len(pages):,} pages made, the others are as they were")
    return {page.path: written[page.path] for page in pages}


def _as_published(
    store: Store, pages: list[Page], earlier: Mapping[str, Written]
) -> Iterator[dict[str, Written]]:
    """Pages as they are there: first, by several threads, all but those that must be made alone."""
    publish = functools.partial(_publish_together, store, earlier)
    pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="page")
    try:
        several = _by_what_they_show(page for page in pages if not page.alone)
        for done in as_completed([pool.submit(publish, together) for together in several]):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)
    for page in pages:
        if page.alone:
            yield publish([page])


def _by_what_they_show(pages: Iterable[Page]) -> list[list[Page]]:
    """Pages of one thing together: what was read for one is still at hand for the next."""
    found: dict[str, list[Page]] = {}
    for page in pages:
        found.setdefault(PurePosixPath(page.path).stem, []).append(page)
    return list(found.values())


def _publish_together(store: Store, earlier: Mapping[str, Written], pages: list[Page]) -> dict[str, Written]:
    return {page.path: _kept(store, page, earlier.get(page.path)) or _write(store, page) for page in pages}


def _kept(store: Store, page: Page, earlier: Written | None) -> Written | None:
    """The page as it was published, where it is still what it would be."""
    if earlier is None or earlier.fingerprint != page.fingerprint:
        return None
    content = store.read_bytes(f"{FOLDER}/{page.path}")
    return earlier if content is not None and _sha256(content) == earlier.sha256 else None


def _write(store: Store, page: Page) -> Written:
    content = page.render()
    store.write_atomically(f"{FOLDER}/{page.path}", content)
    return Written(page.fingerprint, _sha256(content), len(content))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
