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
    from gan_core.report.report import build_report

    configs, store = load_configs(options.configs), existing_store(options)
    unreadable: dict[str, str] = {}
    of = {
        asset: store.all_current(asset, names, unreadable)
        for asset, names in {
            "trained_gan": configs.experiments,
            "samples": configs.experiments,
            "evaluation": configs.experiments,
            "analysis": configs.experiments,
            "reference_statistics": configs.datasets,
            "classifier": configs.datasets,
        }.items()
    }
    leaderboard = build_leaderboard(
        store,
        configs.experiments,
        of["trained_gan"],
        of["evaluation"],
        external_evaluations(store, unreadable),
        unreadable=unreadable,
        force=options.force,
    )
    answer_all(store, configs, force=options.force)
    report = build_report(
        store,
        configs,
        leaderboard,
        of["trained_gan"],
        of["samples"],
        of["evaluation"],
        of["reference_statistics"],
        of["classifier"],
        analyses=of["analysis"],
        answers=current_answers(store, configs, unreadable),
        unreadable=unreadable,
        force=options.force,
    )
    print_manifest(store, report)
