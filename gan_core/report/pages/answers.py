"""The answers to the questions of `configs/questions`."""

import logging
from collections.abc import Iterator

from gan_core.errors import StoreError
from gan_core.report.page import Page
from gan_core.report.pages import page_kind
from gan_core.report.site import Site, versions
from gan_core.report.views.answers import AnswerView, answer_view
from gan_core.store import Manifest, Store

logger = logging.getLogger("gan_core")


@page_kind("answers", title="Answers", position=20)
def pages(site: Site) -> Iterator[Page]:
    answers = site.artefacts.answers
    yield site.page(
        "answers.html",
        "answers.html",
        "Answers",
        {"answers": versions(dict(answers))},
        lambda: {"answers": [view for item in answers.values() if (view := _shown(site.store, item))]},
    )


def _shown(store: Store, answer: Manifest) -> AnswerView | None:
    """None for a damaged one, which is made again in a moment."""
    try:
        return answer_view(store, answer)
    except StoreError as error:
        logger.warning("%s: it is left out of the report", error)
        return None
