"""`python -m pipelines backfill 'demo-*'` makes experiments, `python -m pipelines answer QUESTION` those of
a question and its answer; `python -m pipelines dev` opens the UI."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

from gan_core import signals
from gan_core.disks import telling_of_disks
from gan_core.errors import GanError
from gan_core.store import default_store

if TYPE_CHECKING:
    from pipelines.backfill import BackfillResult


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 if everything succeeded, 1 if an experiment failed, 2 for a wrong configuration, 130 if
    it was interrupted."""
    parser = argparse.ArgumentParser(prog="python -m pipelines", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    backfill = commands.add_parser(
        "backfill",
        help="prepare the datasets, train and evaluate the experiments, make leaderboard and report",
    )
    backfill.add_argument("experiments", nargs="+", help="names or patterns such as 'demo-*'")
    backfill.add_argument("--force", action="store_true", help="train again even what is there")
    answer = commands.add_parser(
        "answer", help="train and evaluate the experiments of a question that are missing, then answer it"
    )
    answer.add_argument("question", help="a name in configs/questions")
    answer.add_argument("--force", action="store_true", help="train again even what is there")
    ui = commands.add_parser("dev", help="open the Dagster UI, with the daemon, on 127.0.0.1")
    ui.add_argument("--port", type=int, default=3000)
    options = parser.parse_args(arguments)
    try:
        with telling_of_disks(_places()):
            if options.command == "dev":
                from pipelines.dev import dev

                return dev(options.port)
            if options.command == "answer":
                return _answer(options.question, options.force)
            return _backfill(options.experiments, options.force)
    except GanError as error:
        print(error, file=sys.stderr)
        signals.end(2)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on where this one stopped", file=sys.stderr)
        signals.end(130)
        return 130


def _places() -> dict[str, str | os.PathLike]:
    """Where Dagster and the steps write; first of all Dagster, whose database names no file when it fails."""
    from pipelines.instance import dagster_home

    return {"DAGSTER_HOME": dagster_home(), **default_store().local_places}


def _backfill(patterns: list[str], force: bool) -> int:
    from pipelines.backfill import select_experiments
    from pipelines.definitions import configs

    result = _run(select_experiments(configs, patterns), force)
    _print_tables()
    return _exit_status(result)


def _answer(name: str, force: bool) -> int:
    from gan_core.comparing.answer import ASSET, find_answer, publish_answer
    from pipelines.definitions import configs

    question = configs.question(name)
    result = _run(question.chosen(configs.experiments), force)
    status = _exit_status(result)
    store = default_store()
    answer = find_answer(store, configs, question)
    published = publish_answer(store, answer, emit=lambda line: None)
    print(f"\n{answer.text}\n")
    for file in published.files:
        print(store.address(f"{store.root}/{ASSET}/{name}/{file}"))
    return status


def _run(names: list[str], force: bool) -> "BackfillResult":
    from pipelines.backfill import backfill
    from pipelines.definitions import configs, defs
    from pipelines.instance import open_instance

    with open_instance() as instance:
        return backfill(defs, configs, instance, names, force=force, emit=_say)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _exit_status(result: "BackfillResult") -> int:
    """Say what failed."""
    for name, reason in result.failed.items():
        print(f"FAILED {name}: {reason}", file=sys.stderr)
    tables = {"leaderboard and report"} & set(result.failed)
    count = len(result.succeeded) + len(result.failed) - len(tables)
    print(f"{len(result.succeeded)} of {count} experiments succeeded")
    return 1 if result.failed else 0


def _print_tables() -> None:
    from gan_core.leaderboard.leaderboard import read_leaderboard
    from gan_core.leaderboard.tables import leaderboard_text

    store = default_store()
    manifest = store.current("leaderboard", "all")
    if manifest is None:
        return
    print()
    print(leaderboard_text(read_leaderboard(store, manifest)))
    print(f"\nleaderboard: {store.address(f'{store.root}/leaderboard/leaderboard.csv')}")
    print(f"report:      {store.address(f'{store.root}/report/index.html')}")


if __name__ == "__main__":
    sys.exit(main())
