"""The answers to questions as the report shows them."""

from dataclasses import dataclass
from typing import Any

from gan_core.report.views.pictures import Picture, stored_picture
from gan_core.store import Manifest, Store
from gan_core.store.reading import reading

PICTURES = {"answer.png": "Every run", "samples.png": "Samples of the lowest seed of each"}


@dataclass(frozen=True)
class AnswerView:
    """One question: what it is about, by which keys the configurations differ, findings with the runs that
    failed, a table (dataset, protocol, headings, rows) for each dataset, pictures by title, how many of its
    experiments are missing, the command that makes them."""

    name: str
    question: str
    description: str
    differs: str
    findings: list[str]
    tables: list[dict[str, Any]]
    pictures: list[tuple[str, Picture]]
    missing: int
    command: str


def answer_view(store: Store, answer: Manifest) -> AnswerView:
    """Raises `StoreError` for a picture or a manifest that is damaged."""
    with reading(f"answer/{answer.partition}"):
        details = answer.details
        drawn = [(title, stored_picture(store, answer, name)) for name, title in PICTURES.items()]
        return AnswerView(
            answer.partition,
            details["question"],
            details.get("description", ""),  # answers of version 1 have neither this nor tables
            details.get("differs", ""),
            list(details["answer"]),
            list(details.get("tables", [])),
            [(title, picture) for title, picture in drawn if picture],
            len(details["missing"]),
            details["command"],
        )
