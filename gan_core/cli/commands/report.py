"""`report`: the leaderboard, the answers to questions and the report."""

import typer

from gan_core.cli.options import (
    ConfigsFolder,
    Force,
    StorePlace,
    add_command,
    existing_store,
    print_manifest,
)


def add(app: typer.Typer) -> None:
    add_command(app, "report", report)


def report(store: StorePlace = None, configs: ConfigsFolder = None, force: Force = False) -> None:
    """Make the leaderboard and the report from what the store holds."""
    from gan_core.comparing.answers import answer_all, current_answers
    from gan_core.config import load_configs
    from gan_core.evaluation.external import external_evaluations
    from gan_core.leaderboard.leaderboard import build_leaderboard
    from gan_core.report.artefacts import Artefacts, stored
    from gan_core.report.report import build_report

    known, place = load_configs(configs), existing_store(store)
    unreadable: dict[str, str] = {}
    manifests = stored(place, known, unreadable)
    external = external_evaluations(place, unreadable)
    leaderboard = build_leaderboard(
        place,
        known.experiments,
        manifests["trained_gan"],
        manifests["evaluation"],
        external,
        unreadable=unreadable,
        force=force,
    )
    answer_all(place, known, force=force)
    answers = current_answers(place, known, unreadable)
    artefacts = Artefacts(leaderboard, manifests, answers, external, unreadable)
    print_manifest(place, build_report(place, known, artefacts, force=force))
