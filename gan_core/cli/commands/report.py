"""`report`: the leaderboard, the answers to questions and the report."""

import argparse

from gan_core.cli.options import command, existing_store, print_manifest
from gan_core.config import load_configs


def add(commands) -> None:
    command(commands, "report", _report, "make the leaderboard and the report from what the store holds")


def _report(options: argparse.Namespace) -> None:
    from gan_core.comparing.answers import answer_all, current_answers
    from gan_core.evaluation.external import external_evaluations
    from gan_core.leaderboard.leaderboard import build_leaderboard
    from gan_core.report.artefacts import Artefacts, stored
    from gan_core.report.report import build_report

    configs, store = load_configs(options.configs), existing_store(options)
    unreadable: dict[str, str] = {}
    manifests = stored(store, configs, unreadable)
    external = external_evaluations(store, unreadable)
    leaderboard = build_leaderboard(
        store,
        configs.experiments,
        manifests["trained_gan"],
        manifests["evaluation"],
        external,
        unreadable=unreadable,
        force=options.force,
    )
    answer_all(store, configs, force=options.force)
    answers = current_answers(store, configs, unreadable)
    artefacts = Artefacts(leaderboard, manifests, answers, external, unreadable)
    print_manifest(store, build_report(store, configs, artefacts, force=options.force))
