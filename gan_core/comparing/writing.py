"""The answer as Markdown and CSV, and as lines for a terminal."""

import io

import pandas
from tabulate import tabulate

from gan_core.comparing.differences import Difference
from gan_core.comparing.figures import COMPARED
from gan_core.comparing.groups import Table
from gan_core.comparing.sentences import differs_in, failures, summary_text
from gan_core.config import Question
from gan_core.evaluation.figures import MISSING, escape_markdown
from gan_core.evaluation.statistics.intervals import CONFIDENCE
from gan_core.secrets import hidden

SECONDS = "seconds_training"


def answer_markdown(
    question: Question,
    tables: list[Table],
    answer: list[str],
    tested: list[Difference],
    missing: dict[str, str],
    command: str,
    pictures: list[tuple[str, str]],
) -> str:
    """The whole answer: question, answer in words, a table for each dataset and protocol, pictures (title,
    file), all tests, and what is missing with the `command` that makes it."""
    parts = [f"# {question.question}"]
    parts += [question.description] if question.description else []
    parts.append(difference_line(tables))
    parts.append("\n".join(f"- {line}" for line in [*answer, *failures(tables)]))
    parts += [_markdown_table(table, question) for table in tables]
    parts += [f"![{title}]({name})" for title, name in pictures]
    if tested:
        parts += ["## Every comparison", _comparisons(tested), HOW_TO_READ]
    if missing:
        parts.append(missing_text(missing, command))
    return "\n\n".join(part for part in parts if part) + "\n"


def answer_csv(tables: list[Table], question: Question) -> bytes:
    """A row for each run: what it belongs to, its verdict, and every figure; a figure that a run did not
    reach is the end of the run, and its column `<figure>_reached` is false."""
    rows = []
    for table in tables:
        for group in table.groups:
            for run in group.runs:
                row = {
                    "dataset": table.dataset,
                    "configuration": group.label,
                    "experiment": run.name,
                    "seed": run.seed,
                    "verdict": run.verdict,
                    "failed": run.failed,
                    "seconds_training": run.trained.figures.get(SECONDS),
                }
                for figure in question.figures:
                    value = COMPARED[figure].of(figure, run)
                    row.setdefault(figure, value and value.number)
                    if COMPARED[figure].needs_level:
                        row[f"{figure}_reached"] = value and value.reached
                rows.append({**row, "protocol": table.protocol})
    text = io.StringIO()
    pandas.DataFrame(rows).to_csv(text, index=False, lineterminator="\n")
    return text.getvalue().encode()


def answer_text(question: Question, tables: list[Table], answer: list[str]) -> str:
    """Question, table and answer for a terminal."""
    parts = [question.question, *([question.description] if question.description else [])]
    parts.append(difference_line(tables).replace("`", ""))
    parts += [f"{table.dataset}\n\n{_table(table, question, 'simple')}" for table in tables]
    parts += [line.replace("**", "") for line in [*answer, *failures(tables)]]
    return "\n\n".join(parts)


def table_cells(table: Table, question: Question) -> tuple[list[str], list[list[str]]]:
    """Headings, and a row for each configuration: its name, its runs, how many failed, and every figure."""
    figures = [name for name in question.figures if name != "failed"]
    figures += [] if SECONDS in figures else [SECONDS]
    headings = ["configuration", "runs", "failed", *(COMPARED[name].figure.heading for name in figures)]
    rows = [
        [
            group.label,
            str(len(group.runs)),
            str(len(group.failed)),
            *(summary_text(group, name) for name in figures),
        ]
        for group in table.groups
    ]
    return headings, rows


def difference_line(tables: list[Table]) -> str:
    """By which keys the configurations differ."""
    return f"The configurations differ in {differs_in(tables)}."


def missing_text(missing: dict[str, str], command: str) -> str:
    """Which experiments are not in the answer, and why."""
    reasons: dict[str, list[str]] = {}
    for name, reason in missing.items():
        reasons.setdefault(hidden(reason), []).append(name)
    lines = "\n".join(f"- {_few(names)}: {reason}" for reason, names in reasons.items())
    return f"Missing in this answer, to be made by `{command}`:\n\n{lines}"


MOST_NAMES = 3


def _few(names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")


HOW_TO_READ = (
    f"In brackets: {CONFIDENCE:.0%} intervals over the seeds. p-values are corrected for all comparisons of "
    "this question (Holm) but those that so few runs could not pass whatever came out. Figures compare "
    "within one table only."
)


# --- inside -----------------------------------------------------------------------------------------------


def _markdown_table(table: Table, question: Question) -> str:
    return "\n\n".join(
        [
            f"## {table.dataset}",
            _table(table, question, "pipe"),
            f"Protocol: {escape_markdown(table.protocol)}",
        ]
    )


def _comparisons(tested: list[Difference]) -> str:
    """A row for each pair and figure."""
    rows = [
        [
            item.table.dataset,
            COMPARED[item.figure].figure.label,
            item.ahead.label,
            item.behind.label,
            MISSING if item.p is None else f"{item.p:.2g}",
            _result(item),
        ]
        for item in tested
    ]
    headings = ["dataset", "figure", "first", "second", "p", ""]
    cells = [[escape_markdown(cell) for cell in row] for row in rows]
    return tabulate(cells, headings, tablefmt="pipe", disable_numparse=True)


def _result(item: Difference) -> str:
    if not item.shown:
        return item.why or item.least.sentence
    result = "the first is better" if COMPARED[item.figure].has_better_side else "they differ"
    return f"{result}, {item.of_these}" if item.of_these else result


def _table(table: Table, question: Question, style: str) -> str:
    headings, rows = table_cells(table, question)
    escape = escape_markdown if style == "pipe" else str
    return tabulate(
        [[escape(cell) for cell in row] for row in rows],
        headings,
        tablefmt=style,
        colalign=["left", *["right"] * (len(headings) - 1)],
        disable_numparse=True,
    )
