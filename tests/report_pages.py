"""The pages of a published report, for tests."""

import json
from pathlib import Path

from gan_core.store import Store


def published(store: Store) -> dict[str, str]:
    """Every page by its path, the first page first."""
    folder = Path(store.root, "report")
    pages = json.loads(store.local(store.current("report", "all"), "pages.json").read_text())
    return {path: (folder / path).read_text(encoding="utf-8") for path in pages}


def whole_report(store: Store) -> str:
    """All pages, one behind the other, without the data that they load."""
    return "\n".join(text for path, text in published(store).items() if path.endswith(".html"))
