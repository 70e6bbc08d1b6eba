"""The report: a site of pages in `STORE/report`, each made again only where what it shows has changed."""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict

from gan_core.config import Configs
from gan_core.leaderboard.publishing import produce_table, prune
from gan_core.report.artefacts import Artefacts
from gan_core.report.page import CODE_VERSION
from gan_core.report.pages import PAGES, navigation
from gan_core.report.publishing import FOLDER, Written, publish_pages
from gan_core.report.site import Site
from gan_core.store import Build, Manifest, Store

ASSET, PARTITION = FOLDER, "all"
PAGE, LIST = "index.html", "pages.json"
logger = logging.getLogger("gan_core")


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
    written = publish_pages(store, pages, {} if force else earlier, emit)

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
        store.remove(f"{FOLDER}/{path}")
    prune(store, manifest)
    emit(f"report: {len(artefacts.started):,} experiments, {store.address(f'{store.root}/{ASSET}/{PAGE}')}")
    return manifest


def _earlier(store: Store) -> dict[str, Written]:
    """The pages of the last report; none where there is no whole one."""
    unreadable: dict[str, str] = {}
    current = store.all_current(ASSET, [PARTITION], unreadable).get(PARTITION)
    if current is None or LIST not in current.files or store.problems(current, hashes=True):
        return {}
    content = json.loads(store.local(current, LIST).read_text(encoding="utf-8"))
    return {path: Written(**item) for path, item in content.items()}
