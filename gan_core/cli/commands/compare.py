"""`compare`: what measured figures say to a question."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gan_core.cli import completion
from gan_core.cli.options import (
    AsJson,
    ConfigsFolder,
    Force,
    StorePlace,
    add_command,
    existing_store,
    names_in,
)
from gan_core.cli.output import say, say_json, show

if TYPE_CHECKING:
    from gan_core.comparing.answer import Answer
    from gan_core.comparing.differences import Difference
    from gan_core.comparing.groups import Group, Table

# Side by side more configurations than these are not read.
MOST_COLUMNS = 6


def add(app: typer.Typer) -> None:
    add_command(app, "compare", compare)


def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            help="A name in configs/questions; or names or patterns of experiments.",
            autocompletion=completion.questions_and_experiments,
        ),
    ],
    figures: Annotated[
        str | None,
        typer.Option(help="Of experiments that no question names: such as fid,recall,seconds_training."),
    ] = None,
    fid_to_reach: Annotated[
        float | None, typer.Option(help="The in-training FID for seconds_to_fid and images_to_fid.")
    ] = None,
    store: StorePlace = None,
    configs: ConfigsFolder = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Compare experiments, or answer a question by them: tests, a table, what differs, pictures."""
    from gan_core.comparing.answer import ASSET, asked, find_answer, publish_answer
    from gan_core.config import load_configs

    known = load_configs(configs)
    given = {}
    if figures:
        given["figures"] = tuple(names_in(figures))
    if fid_to_reach is not None:
        given["fid_to_reach"] = fid_to_reach
    question = asked(known, names, **given)
    place = existing_store(store)
    answer = find_answer(place, known, question)
    manifest = publish_answer(place, answer, force=force)
    files = [place.address(f"{place.root}/{ASSET}/{question.name}/{name}") for name in manifest.files]
    if as_json:
        say_json({**_record(answer), "files": files})
        return
    say(f"{answer.text}\n")
    for table in answer.tables:
        _show_settings(table)
    say("\n".join(files))


def _show_settings(table: "Table") -> None:
    """The keys in which the configurations differ, side by side."""
    from gan_core.comparing.groups import differing
    from gan_core.planning.tables import text_table

    keys = differing(table.groups)
    if not keys or len(table.groups) > MOST_COLUMNS:
        return
    shown = text_table(f"{table.dataset}: what differs", *(group.label for group in table.groups))
    for key, values in sorted(keys.items()):
        shown.add_row(key, *(_written(value) for value in values))
    show(shown)
    say("")


def _written(value: Any) -> str:
    """As a configuration file has it."""
    if value is None:
        return "—"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _record(answer: "Answer") -> dict[str, Any]:
    from gan_core.comparing.groups import differing

    question = answer.question
    return {
        "question": question.question,
        "answer": [line.replace("**", "") for line in answer.conclusions],
        "tables": [
            {
                "dataset": table.dataset,
                "protocol": table.protocol,
                "differing": differing(table.groups),
                "configurations": [_configuration(group, question.figures) for group in table.groups],
            }
            for table in answer.tables
        ],
        "tests": [_test(one) for one in answer.differences],
        "missing": answer.found.missing,
        "command": answer.command,
    }


def _configuration(group: "Group", figures: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": group.label,
        "experiments": [run.name for run in group.runs],
        "failed": [run.name for run in group.failed],
        "figures": {
            name: {"value": group.summary(name), "interval": group.interval(name)} for name in figures
        },
    }


def _test(difference: "Difference") -> dict[str, Any]:
    return {
        "dataset": difference.table.dataset,
        "figure": difference.figure,
        "ahead": difference.ahead.label,
        "behind": difference.behind.label,
        "p": difference.p,
        "shown": difference.shown,
        "why_not_tested": difference.why or None,
    }
