"""`report`: the leaderboard, the answers to questions and the report."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gan_core.cli import completion
from gan_core.cli.options import (
    ConfigsFolder,
    Force,
    StorePlace,
    add_command,
    existing_store,
    print_manifest,
)
from gan_core.errors import ConfigError

if TYPE_CHECKING:
    from gan_core.config import Configs
    from gan_core.report.site import Site


def add(app: typer.Typer) -> None:
    add_command(app, "report", report)


def report(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="With --single-file: the experiments in it, or patterns such as 'demo-*'.",
            autocompletion=completion.experiments,
        ),
    ] = None,
    single_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write one HTML file of the named experiments, to be sent."),
    ] = None,
    store: StorePlace = None,
    configs: ConfigsFolder = None,
    force: Force = False,
) -> None:
    """Make the leaderboard and the report from what the store holds."""
    from gan_core.comparing.answers import answer_all, current_answers
    from gan_core.config import load_configs
    from gan_core.evaluation.external import external_evaluations
    from gan_core.leaderboard.leaderboard import build_leaderboard
    from gan_core.report.artefacts import Artefacts, stored
    from gan_core.report.report import build_report
    from gan_core.report.site import Site

    known, place = load_configs(configs), existing_store(store)
    shared = _shared(known, names, single_file)
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
    if single_file:
        _share(Site(place, known, artefacts), shared, single_file, force)


def _shared(configs: "Configs", names: list[str] | None, file: Path | None) -> list[str]:
    """The experiments that are to be in one file."""
    if bool(names) != bool(file):
        raise ConfigError(
            "names and --single-file belong together: `python -m gan_core report 'demo-*' --single-file "
            "demo.html`; without both the whole report is made"
        )
    return configs.matching(names or [])


def _share(site: "Site", names: list[str], file: Path, force: bool) -> None:
    from gan_core.placing import new_file
    from gan_core.report.single import single_page

    content = single_page(site, names)
    with new_file(file, force=force) as path:
        path.write_bytes(content)
    print(f"{file}: {len(content) / 1e6:,.1f} MB", file=sys.stderr)
