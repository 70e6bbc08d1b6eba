"""The asset `report`."""

from typing import Any

import dagster as dg

from assets.conditions import follow_any_input
from assets.factory import StepRun, declare
from gan_core.store import Manifest


def shown(run: StepRun, manifest: Manifest) -> dict[str, Any]:
    page = run.store.address(f"{run.store.root}/report/index.html")
    return {"page": dg.MetadataValue.path(page)}


@declare(
    kinds={"html"},
    deps=[
        "leaderboard",
        "answers",
        "trained_gan",
        "samples",
        "evaluation",
        "reference_statistics",
        "classifier",
        "analysis",
    ],
    automation=follow_any_input("leaderboard"),
    metadata=shown,
)
def report(run: StepRun) -> Manifest:
    """One page, readable offline: every experiment's samples, curves and figures. What is missing is left
    out, not waited for."""
    from gan_core.comparing.answers import current_answers
    from gan_core.report.report import build_report

    unreadable: dict[str, str] = {}
    return build_report(
        run.store,
        run.configs,
        run.input("leaderboard"),
        run.all_inputs("trained_gan", unreadable),
        run.all_inputs("samples", unreadable),
        run.all_inputs("evaluation", unreadable),
        run.all_inputs("reference_statistics", unreadable),
        run.all_inputs("classifier", unreadable),
        analyses=run.all_inputs("analysis", unreadable),
        answers=current_answers(run.store, run.configs, unreadable),
        unreadable=unreadable,
        force=run.force,
        emit=run.emit,
    )
