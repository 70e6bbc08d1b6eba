"""The asset `leaderboard`."""

from typing import Any

import dagster as dg

from assets.conditions import follow_any_input
from assets.factory import StepRun, declare
from gan_core.store import Manifest

SHOWN_ROWS = 30


def shown(run: StepRun, manifest: Manifest) -> dict[str, Any]:
    from gan_core.leaderboard.leaderboard import read_leaderboard
    from gan_core.leaderboard.tables import leaderboard_groups, leaderboard_markdown

    frame = read_leaderboard(run.store, manifest)
    ranked = {}
    for dataset, protocol, rows in leaderboard_groups(frame):
        name = dataset if dataset not in ranked else f"{dataset}, {protocol}"
        ranked[name] = _ranking(rows)
    return {**ranked, "table": dg.MetadataValue.md(leaderboard_markdown(frame)), "rows": len(frame)}


def _ranking(rows) -> dg.TableMetadataValue:
    """The best rows of one protocol, as a table that the UI shows at once; `table` has all of them."""
    from gan_core.evaluation.figures import FIGURES, write_figure
    from gan_core.leaderboard.folding import RANKED_BY
    from gan_core.leaderboard.tables import shown_figures, with_interval
    from gan_core.leaderboard.verdicts import worst_of

    ranks = list(rows["rank"])
    others = [name for name in shown_figures(rows, variants=False) if name != RANKED_BY]
    shown = [
        {
            "experiment": row["experiment"],
            FIGURES[RANKED_BY].heading: with_interval(RANKED_BY, row),
            "rank": f"{row['rank']}{'=' * (ranks.count(row['rank']) > 1)}",
            "seeds": str(row["seeds"]),
            **{FIGURES[name].heading: write_figure(name, row) for name in others},
            "verdict": worst_of(row["verdict"]),
        }
        for row in rows.head(SHOWN_ROWS).to_dict("records")
    ]
    columns = [dg.TableColumn(name) for name in shown[0]]
    return dg.MetadataValue.table([dg.TableRecord(row) for row in shown], dg.TableSchema(columns))


@declare(
    kinds={"pandas"},
    deps=["trained_gan", "evaluation"],
    automation=follow_any_input(),
    metadata=shown,
)
def leaderboard(run: StepRun) -> Manifest:
    """One row per configuration, its seeds folded, each figure with its interval and protocol, ranked by what
    tests show. What is missing is left out, not waited for."""
    from gan_core.leaderboard.leaderboard import leaderboard_of

    return leaderboard_of(run.store, run.configs, force=run.force, emit=run.emit)
