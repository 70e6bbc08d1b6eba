"""The asset `leaderboard`."""

from typing import Any

import dagster as dg

from assets.conditions import follow_any_input
from assets.factory import StepRun, declare
from gan_core.store import Manifest


def shown(run: StepRun, manifest: Manifest) -> dict[str, Any]:
    from gan_core.leaderboard.leaderboard import read_leaderboard
    from gan_core.leaderboard.tables import leaderboard_markdown

    frame = read_leaderboard(run.store, manifest)
    return {"table": dg.MetadataValue.md(leaderboard_markdown(frame)), "rows": len(frame)}


@declare(
    kinds={"pandas"},
    deps=["trained_gan", "evaluation"],
    automation=follow_any_input(),
    metadata=shown,
)
def leaderboard(run: StepRun) -> Manifest:
    """One row per configuration, its seeds folded, each figure with its interval and protocol, ranked by what
    tests show. What is missing is left out, not waited for."""
    from gan_core.evaluation.external import external_evaluations
    from gan_core.leaderboard.leaderboard import build_leaderboard

    unreadable: dict[str, str] = {}
    return build_leaderboard(
        run.store,
        run.configs.experiments,
        run.all_inputs("trained_gan", unreadable),
        run.all_inputs("evaluation", unreadable),
        external_evaluations(run.store, unreadable),
        unreadable=unreadable,
        force=run.force,
        emit=run.emit,
    )
