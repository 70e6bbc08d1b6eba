"""Grids and sweeps: a page for each family of configurations that differ in few keys, and their list."""

from collections.abc import Iterator
from typing import Any

from gan_core.report.artefacts import OF_A_RESULT
from gan_core.report.families import Family, families
from gan_core.report.page import Page
from gan_core.report.pages import page_kind
from gan_core.report.site import Site, versions
from gan_core.report.views.search import search_view
from gan_core.report.views.sweeps import key_in_words, sweep_view

# With fewer points that are measured there is nothing to see.
FEWEST = 2


@page_kind("sweeps", title="Sweeps", position=15)
def pages(site: Site) -> Iterator[Page]:
    found = [family for family in families(site.configs) if _measured(site, family) >= FEWEST]
    listed = [_entry(site, family) for family in found]
    yield site.page(
        "sweeps.html", "sweeps/list.html", "Sweeps", {"families": listed}, lambda: {"families": listed}
    )
    for family in found:
        yield _page(site, family)


def sweep_path(name: str) -> str:
    """The page of a family."""
    return f"sweeps/{name}.html"


def _measured(site: Site, family: Family) -> int:
    """How many of its points have a row of the leaderboard."""
    return sum(any(name in site.row_of for name in point.experiments) for point in family.points)


def _entry(site: Site, family: Family) -> dict[str, Any]:
    return {
        "name": family.name,
        "path": sweep_path(family.name),
        "dataset": family.dataset,
        "keys": [key_in_words(key) for key in family.keys],
        "points": len(family.points),
        "measured": _measured(site, family),
    }


def _page(site: Site, family: Family) -> Page:
    return site.page(
        sweep_path(family.name),
        "sweeps/page.html",
        family.name,
        _made_from(site, family),
        lambda: {"item": sweep_view(site, family), "search": search_view(site, family)},
    )


def _made_from(site: Site, family: Family) -> dict[str, Any]:
    artefacts, members = site.artefacts, sorted(family.experiments)
    leaderboard = artefacts.leaderboard
    of_sweep = artefacts.of("sweep", family.sweep)
    return {
        "sweep": of_sweep and versions({"sweep": of_sweep}),
        "keys": family.keys,
        "points": [[point.values, point.experiments] for point in family.points],
        "artefacts": [
            versions({asset: found for asset in OF_A_RESULT if (found := artefacts.of(asset, name))})
            for name in members
        ],
        "rows": {name: site.row_of[name]["experiment"] for name in members if name in site.row_of},
        "left_out": {
            kind: {
                name: reason for name, reason in leaderboard.details.get(kind, {}).items() if name in members
            }
            for kind in ("stale", "damaged")
        },
        "measured": {
            name: fingerprint
            for name in members
            if (fingerprint := leaderboard.inputs.get(f"evaluation/{name}"))
        },
    }
