"""`python -m pipelines backfill 'demo-*'` makes experiments; `python -m pipelines dev` opens the UI."""

import argparse
import os
import sys

from gan_core import signals
from gan_core.disks import telling_of_disks
from gan_core.errors import GanError
from gan_core.store import default_store


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
    ui = commands.add_parser("dev", help="open the Dagster UI, with the daemon, on 127.0.0.1")
    ui.add_argument("--port", type=int, default=3000)
    options = parser.parse_args(arguments)
    try:
        with telling_of_disks(_places()):
            if options.command == "dev":
                from pipelines.dev import dev

                return dev(options.port)
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
    from pipelines.backfill import backfill, select_experiments
    from pipelines.definitions import configs, defs
    from pipelines.instance import open_instance

    names = select_experiments(configs, patterns)
    with open_instance() as instance:
        result = backfill(defs, configs, instance, names, force=force)
    _print_tables()
    for name, reason in result.failed.items():
        print(f"FAILED {name}: {reason}", file=sys.stderr)
    print(f"{len(result.succeeded)} of {len(names)} experiments succeeded")
    return 1 if result.failed else 0


def _print_tables() -> None:
    from gan_core.report.leaderboard import read_leaderboard
    from gan_core.report.tables import leaderboard_text

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
