"""The step `answer`: what the store's experiments say to a question, as text, table and pictures."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from gan_core.comparing.differences import Difference, differences
from gan_core.comparing.figures import COMPARED
from gan_core.comparing.groups import SEED, Table, tables_of
from gan_core.comparing.pictures import figures_png, samples_png
from gan_core.comparing.runs import Found, find_runs
from gan_core.comparing.sentences import apart, beside, conclusions, failures
from gan_core.comparing.writing import (
    answer_csv,
    answer_markdown,
    answer_text,
    difference_line,
    missing_text,
    table_cells,
)
from gan_core.config import Configs, Question
from gan_core.config.mistakes import unknown
from gan_core.errors import ConfigError, StoreError
from gan_core.leaderboard.publishing import produce_table, prune
from gan_core.store import Build, Manifest, Store
from gan_core.versions import CODE_VERSIONS

ASSET = "answer"
MARKDOWN, CSV, FIGURES, SAMPLES = "answer.md", "answer.csv", "answer.png", "samples.png"

logger = logging.getLogger("gan_core")


@dataclass(frozen=True)
class Answer:
    """What was found: tables, tests, and all of it in words."""

    question: Question
    found: Found
    tables: list[Table]
    differences: list[Difference]
    conclusions: list[str]
    command: str

    @property
    def text(self) -> str:
        """For a terminal."""
        missing = self.found.missing
        parts = [answer_text(self.question, self.tables, self.conclusions)]
        parts += [missing_text(missing, self.command)] if missing else []
        return "\n\n".join(parts)


def find_answer(store: Store, configs: Configs, question: Question) -> Answer:
    """Read the store and test. Raises `StoreError` where fewer than two configurations can be compared."""
    found = find_runs(store, configs, question)
    tables = tables_of(found.runs, question)
    command = how_to_answer(question, configs)
    if not found.missing and sum(len(table.groups) for table in tables) == 1:
        raise StoreError(
            f"`{question.name}` compares nothing: all of {', '.join(question.experiments)} are one "
            "configuration, which differs in the seed only: name another one beside it"
        )
    if not _comparable(tables, question):
        why = f"\n{missing_text(found.missing, command)}" if found.missing else ""
        raise StoreError(
            f"`{question.name}` cannot be answered: the store holds no two configurations of it that were "
            f"measured by one protocol: run `{command}`{why}"
        )
    tested = differences(tables, question.figures)
    words = [
        *conclusions(tables, tested, question.figures),
        *beside(tables, question.along),
        *apart(tables),
    ]
    return Answer(question, found, tables, tested, words, command)


def publish_answer(
    store: Store, answer: Answer, *, force: bool = False, emit: Callable[[str], None] = logger.info
) -> Manifest:
    """Publish an answer as `answer.md`, `answer.csv` (a row for each run), `answer.png` and `samples.png`,
    and write them atomically to `STORE/answer/<question>/`. Old versions of the artefact are removed."""
    question = answer.question

    def build(work: Build) -> None:
        pictures = {
            FIGURES: ("The figures of every run", figures_png(answer.tables, question.figures)),
            SAMPLES: ("Samples of the lowest seed of each", samples_png(store, answer.tables)),
        }
        drawn = {name: (title, content) for name, (title, content) in pictures.items() if content}
        for name, (_, content) in drawn.items():
            (work.folder / name).write_bytes(content)
        text = answer_markdown(
            question,
            answer.tables,
            answer.conclusions,
            answer.differences,
            answer.found.missing,
            answer.command,
            [(title, name) for name, (title, _) in drawn.items()],
        )
        (work.folder / MARKDOWN).write_text(text, encoding="utf-8")
        (work.folder / CSV).write_bytes(answer_csv(answer.tables, question))
        work.figures = {
            "configurations": sum(len(table.groups) for table in answer.tables),
            "runs": len(answer.found.runs),
            "missing": len(answer.found.missing),
            "tests": sum(item.p is not None for item in answer.differences),
            "differences_shown": sum(item.shown for item in answer.differences),
        }
        work.details = {
            "question": question.question,
            "description": question.description,
            "differs": difference_line(answer.tables),
            "answer": [*answer.conclusions, *failures(answer.tables)],
            "tables": [_shown(table, question) for table in answer.tables],
            "missing": answer.found.missing,
            "command": answer.command,
        }

    manifest = produce_table(
        store,
        ASSET,
        question.name,
        config={"question": question.model_dump(mode="json"), **_rows(answer)},
        inputs=answer.found.inputs,
        code_version=CODE_VERSIONS[ASSET],
        build=build,
        force=force,
    )
    for name in manifest.files:
        store.write_atomically(f"{ASSET}/{question.name}/{name}", store.local(manifest, name).read_bytes())
    prune(store, manifest, read_by=("report",))
    shown, tests = manifest.figures["differences_shown"], manifest.figures["tests"]
    emit(f"answer to {question.name}: {shown:,} of {tests:,} tests show a difference")
    return manifest


def asked(configs: Configs, words: list[str], **keys: Any) -> Question:
    """The question of this name, or one made of names and patterns of experiments.

    `keys`: others of a question that is made so, as a file has them. Raises `ConfigError` for what matches
    nothing, for keys that are wrong, and for keys beside a question's name.
    """
    if len(words) == 1 and (words[0] in configs.questions or configs.left_out(words[0], "questions")):
        question = configs.question(words[0])
        if keys:
            raise ConfigError(
                f"`{words[0]}` is a question, whose file says its {' and '.join(keys)}: change them "
                "there, or name experiments"
            )
        return question
    # The same words are the same comparison, which is then published in one place.
    digest = hashlib.sha256(repr((words, sorted(keys.items()))).encode()).hexdigest()[:8]
    values = {
        "name": f"comparison-{digest}",
        "question": f"What differs among {', '.join(words)}?",
        "experiments": tuple(words),
        "labels": _labels(configs, words),
        **keys,
    }
    try:
        question = Question.model_validate(values)
    except ValidationError as error:
        raise ConfigError("; ".join(_reason(item) for item in error.errors())) from error
    for _, pattern in question.unmatched(configs.experiments):
        known = [*configs.questions, *configs.experiments]
        raise ConfigError(
            configs.left_out(pattern) or unknown("no question or experiment is named", pattern, known)
        )
    return question


def _labels(configs: Configs, words: list[str]) -> dict[str, str]:
    """The names that were given, as what their configurations are called; seeds of one configuration are
    called what they have in common."""
    named = {word: configs.experiments[word].dotted() for word in words if word in configs.experiments}
    same = [{key: value for key, value in values.items() if key != SEED} for values in named.values()]
    return {word: word for word, config in zip(named, same, strict=True) if same.count(config) == 1}


def _reason(item: Any) -> str:
    """One of pydantic's errors, without what it says before a message of ours."""
    where = ".".join(map(str, item["loc"]))
    return f"{where + ': ' if where else ''}{item['msg'].removeprefix('Value error, ')}"


def how_to_answer(question: Question, configs: Configs) -> str:
    """The command that makes what is missing."""
    if question.name in configs.questions:
        return f"python -m pipelines answer {question.name}"
    patterns = " ".join(f"'{pattern}'" for pattern in question.experiments)
    return f"python -m pipelines backfill {patterns}"


def _comparable(tables: list[Table], question: Question) -> bool:
    """Whether a table has two configurations, or a figure compares across the tables."""
    across = any(COMPARED[name].across for name in question.figures)
    datasets = {table.dataset for table in tables}
    return any(len(table.groups) > 1 for table in tables) or (across and len(datasets) > 1)


def _shown(table: Table, question: Question) -> dict[str, Any]:
    headings, rows = table_cells(table, question)
    return {"dataset": table.dataset, "protocol": table.protocol, "headings": headings, "rows": rows}


def _rows(answer: Answer) -> dict[str, Any]:
    """What the answer is made of beside its inputs, which keep their fingerprint when they are made again."""
    return {
        "rows": [[run.name, run.entry.values, run.entry.group] for run in answer.found.runs],
        "missing": answer.found.missing,
    }
