"""Champions as text for a terminal. Imports no torch."""

from typing import Any

from tabulate import tabulate

from gan_core.champions.address import PREFIX, bundle_path
from gan_core.champions.looks import Look
from gan_core.champions.reigns import Reign, history, reign_of
from gan_core.evaluation.figures import FIGURES
from gan_core.evaluation.metrics import METRICS
from gan_core.leaderboard.folding import RANKED_BY
from gan_core.leaderboard.tables import with_interval
from gan_core.store import Manifest, Store

HOW = {"promoted": "promoted", "back": "went back"}


def champion_record(store: Store, champion: Manifest) -> dict[str, Any]:
    """Today's champion as JSON: see `Reign`, and where its bundle is."""
    told = {"dataset": champion.partition, **reign_of(champion).record()}
    return {
        **told,
        "checks": champion.details["checks"],
        "address": f"{PREFIX}{champion.partition}",
        "bundle": bundle_path(store, champion),
    }


def champion_text(store: Store, champion: Manifest) -> str:
    """Who it is, since when, by which figures, and what its checks found."""
    reign = reign_of(champion)
    seeds = int(reign.figures["seeds"])
    lines = [
        f"{champion.partition}: {reign.experiment}, {HOW[reign.how]} {reign.since} ({reign.reason})",
        f"row of the leaderboard: {reign.row} ({seeds:,} seed{'s' if seeds > 1 else ''})",
        *(f"{FIGURES[name].label}: {with_interval(name, reign.figures)}" for name in _measured(reign)),
        f"protocol: {reign.protocol}",
        f"bundle: {PREFIX}{champion.partition}, which is {bundle_path(store, champion)}",
        *(_check(check["name"], check["passed"], check["found"]) for check in champion.details["checks"]),
    ]
    return "\n".join(lines)


def look_text(look: Look) -> str:
    """What came of the last look, and of its checks."""
    over = [f"  passed over: {row}: {reason}" for row, reason in look.passed_over.items()]
    checks = [_check(check.name, check.passed, check.found) for check in look.checks]
    return "\n".join([f"last look, {look.at}: {look.reason}", *checks, *over])


def history_text(champion: Manifest) -> str:
    """A line for each champion, the latest first."""
    reigns = history(champion)
    ends = [*(reign.since for reign in reigns[1:]), "today"]
    rows = [
        [
            reign.since,
            end,
            reign.experiment,
            with_interval(RANKED_BY, reign.figures),
            HOW[reign.how],
            reign.reason,
        ]
        for reign, end in zip(reigns, ends, strict=True)
    ]
    heads = ["since", "until", "experiment", FIGURES[RANKED_BY].heading, "how", "reason"]
    return tabulate(rows[::-1], heads, tablefmt="simple", disable_numparse=True)


def _measured(reign: Reign) -> list[str]:
    return [metric.main for metric in METRICS.values() if metric.main in reign.figures]


def _check(name: str, passed: bool, found: str) -> str:
    return f"  {'passed' if passed else 'FAILED'}  {name.replace('_', ' ')}: {found}"
