"""The step `answers`: every question of which the store holds enough, answered and listed."""

import logging
from collections.abc import Callable

from gan_core.comparing.answer import Answer, find_answer, publish_answer
from gan_core.config import Configs
from gan_core.errors import StoreError
from gan_core.leaderboard.publishing import produce_table, prune
from gan_core.store import Build, Manifest, Store
from gan_core.versions import CODE_VERSIONS

ASSET, PARTITION, LIST = "answers", "all", "answers.md"

logger = logging.getLogger("gan_core")


def answer_all(
    store: Store, configs: Configs, *, force: bool = False, emit: Callable[[str], None] = logger.info
) -> Manifest:
    """Publish the answer to every question that has two configurations to compare, and their list as
    `answers.md`, also at `STORE/answers/answers.md`.

    Details: `answers`, by question its text and its findings; `open`, those that wait for experiments.
    """
    published = {
        answer.question.name: publish_answer(store, answer, force=force, emit=emit)
        for answer in _answerable(store, configs, emit)
    }

    def build(work: Build) -> None:
        parts = [
            f"## {item.details['question']}\n\n" + "\n".join(f"- {line}" for line in item.details["answer"])
            for item in published.values()
        ]
        (work.folder / LIST).write_text("\n\n".join(parts or [NOTHING]) + "\n", encoding="utf-8")
        work.figures = {"answered": len(published), "open": len(configs.questions) - len(published)}
        work.details = {
            "answers": {
                name: {key: item.details[key] for key in ("question", "answer")}
                for name, item in published.items()
            },
            "open": [name for name in configs.questions if name not in published],
        }

    manifest = produce_table(
        store,
        ASSET,
        PARTITION,
        config={"questions": sorted(configs.questions)},
        inputs={f"{item.asset}/{name}": item for name, item in published.items()},
        code_version=CODE_VERSIONS[ASSET],
        build=build,
        force=force,
    )
    store.write_atomically(f"{ASSET}/{LIST}", store.local(manifest, LIST).read_bytes())
    prune(store, manifest)
    emit(f"answers: {manifest.figures['answered']:,} of {len(configs.questions):,} questions")
    return manifest


def current_answers(store: Store, configs: Configs, unreadable: dict[str, str]) -> dict[str, Manifest]:
    """The published answers to the questions that are configured, by question."""
    answered = set(store.list_names("answer"))
    return store.all_current("answer", [name for name in configs.questions if name in answered], unreadable)


NOTHING = "No question has two evaluated configurations to compare yet."


def _answerable(store: Store, configs: Configs, emit: Callable[[str], None]) -> list[Answer]:
    evaluated = set(store.list_names("evaluation"))
    answers = []
    for question in configs.questions.values():
        if len(evaluated.intersection(question.chosen(configs.experiments))) < 2:
            continue
        try:
            answers.append(find_answer(store, configs, question))
        except StoreError as error:
            emit(str(error).splitlines()[0])
    return answers
