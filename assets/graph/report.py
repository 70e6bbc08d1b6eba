"""The asset `report`."""

from typing import Any

import dagster as dg

from assets.conditions import follow_any_input
from assets.factory import StepRun, declare
from gan_core.report.artefacts import SHOWN
from gan_core.store import Manifest


def shown(run: StepRun, manifest: Manifest) -> dict[str, Any]:
    page = run.store.address(f"{run.store.root}/report/index.html")
    return {"page": dg.MetadataValue.path(page)}


@declare(
    kinds={"html"},
    deps=["leaderboard", "answers", *(asset for assets in SHOWN.values() for asset in assets)],
    automation=follow_any_input("leaderboard"),
    metadata=shown,
)
def report(run: StepRun) -> Manifest:
    """A site of pages, readable offline: tables, and every experiment's samples, curves and figures. What is
    missing is left out, not waited for."""
    from gan_core.comparing.answers import current_answers
    from gan_core.evaluation.external import external_evaluations
    from gan_core.report.artefacts import Artefacts, stored
    from gan_core.report.report import build_report

    unreadable: dict[str, str] = {}
    artefacts = Artefacts(
        run.input("leaderboard"),
        stored(run.store, run.configs, unreadable),
        current_answers(run.store, run.configs, unreadable),
        external_evaluations(run.store, unreadable),
        unreadable,
    )
    return build_report(run.store, run.configs, artefacts, force=run.force, emit=run.emit)
