"""The answers to the questions of `configs/questions`: their list, and a page for each."""

import logging
from collections.abc import Iterator
from typing import Any

from gan_core.errors import DamagedError, StoreError
from gan_core.report.page import Page
from gan_core.report.pages import page_kind
from gan_core.report.site import Site, versions
from gan_core.report.views.answers import AnswerSummary, answer_summary, answer_view
from gan_core.store import Manifest

logger = logging.getLogger("gan_core")


@page_kind("answers", title="Answers", position=20)
def pages(site: Site) -> Iterator[Page]:
    answers = site.artefacts.answers
    waiting = {name: item.question for name, item in site.configs.questions.items() if name not in answers}
    yield site.page(
        "answers.html",
        "answers/list.html",
        "Answers",
        {"answers": versions(dict(answers)), "waiting": waiting},
        lambda: {"answers": list(_summaries(site)), "waiting": waiting},
    )
    for name, answer in answers.items():
        yield _page(site, name, answer)


def answer_path(question: str) -> str:
    """The page of a question."""
    return f"answers/{question}.html"


def _summaries(site: Site) -> Iterator[tuple[AnswerSummary, str]]:
    """(summary, path) of each that can be read; a damaged one is made again in a moment."""
    for name, answer in site.artefacts.answers.items():
        try:
            yield answer_summary(answer), answer_path(name)
        except DamagedError as error:
            logger.warning("%s: it is left out of the report", error)


def _page(site: Site, name: str, answer: Manifest) -> Page:
    places = {member: site.place(member) for member in sorted(_compared(answer))}
    return site.page(
        answer_path(name),
        "answers/page.html",
        name,
        {"answer": versions({name: answer}), "places": places},
        lambda: _view(site, answer, places),
    )


def _view(site: Site, answer: Manifest, places: dict[str, str | None]) -> dict[str, Any]:
    """What is wrong with a damaged one stands in its place."""
    try:
        return {"item": answer_view(site.store, answer), "problem": None, "places": places}
    except StoreError as error:
        return {"item": None, "problem": str(error), "places": places}


def _compared(answer: Manifest) -> set[str]:
    """The experiments that it was made from."""
    return {key.partition("/")[2] for key in answer.inputs}
