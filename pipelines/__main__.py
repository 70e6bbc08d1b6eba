"""`python -m pipelines backfill 'demo-*'` makes experiments, `python -m pipelines answer QUESTION` those of
a question and its answer, `python -m pipelines sweep NAME` searches for the best values of a few keys;
`follow` and `stop` are about runs, whoever started them; `dev` opens the UI, `prune` forgets old runs."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from gan_core import signals
from gan_core.cli import completion
from gan_core.cli.options import (
    AsJson,
    Force,
    OnDataset,
    WithArchitecture,
    WithObjective,
    WithTag,
    add_command,
    chosen_by,
)
from gan_core.cli.output import say, say_json, show
from gan_core.cli.running import last_line, make_app, run_app
from gan_core.disks import disk_error
from gan_core.errors import ConfigError, GanError, UsageError

if TYPE_CHECKING:
    from gan_core.config import Configs
    from gan_core.planning import Plan
    from gan_core.planning.choosing import Choice
    from pipelines.backfill import BackfillResult

PROGRAM = "python -m pipelines"
Patterns = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="EXPERIMENTS",
        help="Names or patterns such as 'demo-*'; without any, what the options choose.",
        autocompletion=completion.experiments,
    ),
]
Failed = Annotated[
    bool,
    typer.Option(
        "--failed",
        help="Of these, only those whose newest run failed or was canceled, or whose dataset's did, and of "
        "which something is missing.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        "--plan",
        help="Only say what would be trained, resumed or reused, for how long and with how much.",
    ),
]


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 if everything succeeded, 1 if an experiment failed, 2 for a wrong configuration, 130 if
    it was interrupted."""
    try:
        return run_app(_app(), PROGRAM, arguments, {})
    except GanError as error:
        return _refused(error)
    except KeyboardInterrupt:
        last_line("stopped; the same command goes on where this one stopped")
        signals.end(130)
        return 130
    except Exception as error:
        told = disk_error(error, _places())
        if told is None:
            raise
        return _refused(told)


def _refused(error: GanError) -> int:
    if str(error):
        last_line(str(error))
    signals.end(2)
    return 2


def _app() -> typer.Typer:
    app = make_app("Make experiments with Dagster, and look at them.", add_completion=False)
    add_command(app, "backfill", run_backfill)
    add_command(app, "follow", run_follow)
    add_command(app, "stop", run_stop)
    add_command(app, "answer", run_answer)
    add_command(app, "sweep", run_sweep)
    add_command(app, "dev", run_dev)
    add_command(app, "prune", run_prune)
    return app


def _places() -> dict[str, str | os.PathLike]:
    """Where Dagster and the steps write; first of all Dagster, whose database names no file when it fails."""
    from gan_core.store import default_store
    from pipelines.instance import dagster_home

    return {"DAGSTER_HOME": dagster_home(), **default_store().local_places}


def run_backfill(
    experiments: Patterns = None,
    dataset: OnDataset = None,
    architecture: WithArchitecture = None,
    objective: WithObjective = None,
    tag: WithTag = None,
    failed: Failed = False,
    force: Force = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> int:
    """Prepare the datasets, train and evaluate the experiments, make leaderboard and report."""
    _refuse_json(as_json, dry_run)
    configs = _configs()
    choice = chosen_by(experiments, dataset, architecture, objective, tag)
    names = _chosen(configs, choice, or_all=failed)
    if failed:
        names = _failed(configs, names)
    plan = _plan(configs, names, force)
    if failed and not force:  # what was made since by another way is no longer missing
        names = [item.name for item in plan.experiments if item.made]
        plan = _plan(configs, names, force)
    if not names and not as_json:
        print("none of these experiments has failed" if failed else "no experiment is chosen")
        return 0
    if dry_run:
        return _print_plan(plan, as_json)
    result = _run(plan, force)
    _print_tables(names)
    return _exit_status(result)


def run_follow(
    experiments: Patterns = None,
    dataset: OnDataset = None,
    architecture: WithArchitecture = None,
    objective: WithObjective = None,
    tag: WithTag = None,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 2.0,
    as_json: AsJson = False,
) -> int:
    """Follow the runs of experiments, whoever started them: images seen, speed, FID, time left of each. It
    ends a minute after none of them is queued or in progress."""
    if as_json and not once:
        raise ConfigError("--json goes with --once: it prints one document")
    configs = _configs()
    names = _chosen(configs, chosen_by(experiments, dataset, architecture, objective, tag), or_all=True)
    from gan_core.store import default_store
    from pipelines.instance import open_instance
    from pipelines.runs.following import Follower, follow_in_lines, follow_on_terminal, look_table

    with open_instance() as instance:
        follower = Follower(instance, default_store(), configs, names)
        if once:
            found = follower.look()
            say_json(found.record()) if as_json else show(look_table(found))
        elif sys.stdout.isatty():
            found = follow_on_terminal(follower, every)
        else:
            found = follow_in_lines(follower, every, say)
    if not once:
        say(found.summary)
    return 1 if found.failures else 0


def run_stop(
    experiments: Patterns = None,
    dataset: OnDataset = None,
    architecture: WithArchitecture = None,
    objective: WithObjective = None,
    tag: WithTag = None,
) -> int:
    """Stop the runs of experiments that are queued or in progress, and say what they have saved."""
    configs = _configs()
    names = _chosen(configs, chosen_by(experiments, dataset, architecture, objective, tag))
    from pipelines.definitions import defs
    from pipelines.instance import open_instance
    from pipelines.runs.stopping import stop

    with open_instance() as instance:
        stopped = stop(instance, defs, names, emit=_say)
    for note in stopped.notes:
        say(note)
    for name, told in stopped.ended.items():
        say(f"{name}: {told}")
    for name, why in stopped.left.items():
        print(f"NOT STOPPED {name}: {why}", file=sys.stderr)
    say(f"{len(stopped.ended):,} stopped" if stopped.ended else "none of these experiments runs or waits")
    return 1 if stopped.left else 0


def run_answer(
    question: Annotated[
        str, typer.Argument(help="A name in configs/questions.", autocompletion=completion.questions)
    ],
    force: Force = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> int:
    """Train and evaluate the experiments of a question that are missing, then answer it."""
    from gan_core.comparing.answer import ASSET, find_answer, publish_answer
    from gan_core.store import default_store

    _refuse_json(as_json, dry_run)
    configs = _configs()
    asked = configs.question(question)
    plan = _plan(configs, asked.chosen(configs.experiments), force)
    if dry_run:
        return _print_plan(plan, as_json)
    status = _exit_status(_run(plan, force))
    store = default_store()
    answer = find_answer(store, configs, asked)
    published = publish_answer(store, answer, emit=lambda line: None)
    print(f"\n{answer.text}\n")
    for file in published.files:
        print(store.address(f"{store.root}/{ASSET}/{question}/{file}"))
    return status


def run_sweep(
    sweep: Annotated[str, typer.Argument(help="A name in configs/sweeps.", autocompletion=completion.sweeps)],
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Only say how many trials, images and hours it takes, as recorded."),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Search for the best values of a few keys: make the trials of a sweep that are missing."""
    if as_json and not plan:
        raise ConfigError("--json goes with --plan: what is made is told in lines")
    configs = _configs()
    configs.sweep(sweep)
    if plan:
        return _print_sweep_plan(configs, sweep, as_json)
    return _carry_out(configs, sweep)


def run_dev(
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Where it listens.")] = 3000,
) -> int:
    """Open the Dagster UI, with the daemon, on 127.0.0.1."""
    from pipelines.dev import dev

    return dev(port)


def _print_sweep_plan(configs: "Configs", name: str, as_json: bool) -> int:
    from gan_core.planning.tables import plan_parts
    from gan_core.store import default_store
    from gan_core.sweeps.plan import plan_sweep
    from gan_core.sweeps.study import storage_url
    from pipelines.instance import dagster_home

    found = plan_sweep(default_store(), configs, name, storage_url(dagster_home()))
    if as_json:
        say_json(found.record())
    else:
        show(*(plan_parts(found.plan)[:-1] if found.plan.experiments else ()), found.text)
    return 0


def _carry_out(configs: "Configs", name: str) -> int:
    from assets.sweeping import make_sweep
    from gan_core.report.pages.sweeps import sweep_path
    from gan_core.store import default_store
    from gan_core.sweeps.tables import sweep_parts
    from pipelines.instance import dagster_home, open_instance
    from pipelines.lost_runs import end_lost_backfills

    store = default_store()
    with open_instance() as instance:
        end_lost_backfills(instance)
    result, manifest = make_sweep(store, configs, name, dagster_home(), emit=_say)
    for trial, reason in result.failed.items():
        print(f"FAILED {trial}: {reason}", file=sys.stderr)
    show(*sweep_parts(result, manifest))
    page = f"{store.root}/report/{sweep_path(name)}"
    if store.reading.exists(page):
        print(f"\npage: {store.address(page)}")
    return 1 if result.failed else 0


def run_prune(
    older_than: Annotated[str, typer.Option(help="What ended longer ago, such as 12h, 30d or 8w.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many runs it is.")] = False,
) -> int:
    """Remove what Dagster has recorded of old runs; artefacts and the newest of each asset stay."""
    from gan_core.config.ages import parse_age

    try:
        age = parse_age(older_than)
    except ValueError as error:
        raise UsageError(f"--older-than {error}") from error
    from pipelines.automation.pruning import prune
    from pipelines.instance import open_instance

    with open_instance() as instance:
        pruned = prune(instance, age, dry_run=dry_run)
    print(f"{'would remove' if dry_run else 'removed'} {pruned.text}")
    return 0


def _configs() -> "Configs":
    from gan_core.config import load_configs

    return load_configs()


def _chosen(configs: "Configs", choice: "Choice", *, or_all: bool = False) -> list[str]:
    """The names; where nothing is asked for, every one is meant only if that does no harm."""
    if choice.is_everything and not or_all:
        raise ConfigError(
            "name experiments or patterns such as 'demo-*' ('*' is all of them), or choose by --dataset, "
            "--architecture, --objective or --tag"
        )
    return choice.names(configs)


def _failed(configs: "Configs", names: list[str]) -> list[str]:
    from pipelines.instance import open_instance
    from pipelines.runs.records import failed_experiments

    with open_instance() as instance:
        return failed_experiments(instance, configs, names)


def _refuse_json(as_json: bool, dry_run: bool) -> None:
    if as_json and not dry_run:
        raise ConfigError("--json goes with --dry-run: what is made is told in lines")


def _plan(configs: "Configs", names: list[str], force: bool) -> "Plan":
    from gan_core.planning import make_plan
    from gan_core.store import default_store

    return make_plan(default_store(), configs, names, force=force)


def _print_plan(plan: "Plan", as_json: bool) -> int:
    from gan_core.planning.tables import plan_parts

    if as_json:
        say_json(plan.record())
    else:
        show(*plan_parts(plan))
    return 0


def _run(plan: "Plan", force: bool) -> "BackfillResult":
    from gan_core.planning.tables import total_text
    from gan_core.planning.time_left import planned_seconds
    from pipelines.backfill import backfill
    from pipelines.definitions import configs, defs
    from pipelines.instance import open_instance

    names = [item.name for item in plan.experiments]
    _say(total_text(plan))
    with open_instance() as instance:
        planned = planned_seconds(plan)
        return backfill(defs, configs, instance, names, force=force, planned=planned, emit=_say)


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


def _print_tables(names: list[str]) -> None:
    """The tables in which one of these experiments has a row."""
    from gan_core.leaderboard.leaderboard import read_leaderboard
    from gan_core.leaderboard.tables import leaderboard_text, tables_with
    from gan_core.store import default_store

    store = default_store()
    manifest = store.current("leaderboard", "all")
    if manifest is None:
        return
    print()
    print(leaderboard_text(tables_with(read_leaderboard(store, manifest), names)))
    print(f"\nleaderboard: {store.address(f'{store.root}/leaderboard/leaderboard.csv')}")
    print(f"report:      {store.address(f'{store.root}/report/index.html')}")


if __name__ == "__main__":
    sys.exit(main())
