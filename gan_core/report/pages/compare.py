"""The page on which a few experiments are laid side by side, and the files that it reads them from."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pandas

from gan_core.errors import StoreError
from gan_core.evaluation.evidence import read_evidence
from gan_core.evaluation.statistics.comparing import TESTS
from gan_core.leaderboard.folding import RANKED_BY, TESTED_BY
from gan_core.leaderboard.leaderboard import read_tests
from gan_core.report.page import Page
from gan_core.report.pages import page_kind
from gan_core.report.site import Group, Site, versions
from gan_core.report.views.comparison import (
    LETTERS,
    configuration_data,
    curve_titles,
    script,
    table_data,
    table_name,
)

SHOWN = ("trained_gan", "samples")


@page_kind("compare", title="Compare", position=5)
def pages(site: Site) -> Iterator[Page]:
    catalogue = _catalogue(site)
    yield site.page(
        "compare.html",
        "compare/page.html",
        "Compare",
        {"catalogue": catalogue},
        lambda: {
            "catalogue": catalogue,
            "curves": curve_titles(),
            "tests": {LETTERS[name]: text for name, text in TESTS.items()},
            "by_samples": LETTERS["mmd"],
            "ranked_by": RANKED_BY,
        },
    )
    for group in site.groups.values():
        yield _of_configuration(site, group)
    yield from _of_tables(site)


def _catalogue(site: Site) -> dict[str, dict[str, Any]]:
    """By name: the tables that have a row of it, and whether its training is here."""
    found: dict[str, dict[str, Any]] = {}
    for dataset, protocol, rows in site.tables():
        for name in rows["experiment"]:
            found.setdefault(name, {"tables": [], "trained": False})["tables"].append(
                table_name(dataset, protocol)
            )
    for name in site.groups:
        found.setdefault(name, {"tables": []})["trained"] = True
    return found


def _of_configuration(site: Site, group: Group) -> Page:
    artefacts = site.artefacts
    shown = {
        name: {asset: found for asset in SHOWN if (found := artefacts.of(asset, name))}
        for name in group.members
    }
    made_from = {name: versions(manifests) for name, manifests in shown.items()}
    return Page(
        f"data/experiments/{group.name}.js",
        made_from,
        lambda: script("experiments", group.name, configuration_data(site.store, artefacts, group)),
    )


def _of_tables(site: Site) -> Iterator[Page]:
    tests = read_tests(site.store, site.artefacts.leaderboard)
    for dataset, protocol, rows in site.tables():
        frames = [rows, *(_of_table(frame, dataset, protocol) for frame in (site.seeds, tests))]
        yield _of_one_table(site, dataset, protocol, frames)


def _of_one_table(site: Site, dataset: str, protocol: str, frames: list[pandas.DataFrame]) -> Page:
    name = table_name(dataset, protocol)

    def evidence(experiment: str) -> dict[str, Any] | None:
        artefacts = site.artefacts
        evaluation = artefacts.of("evaluation", experiment) or artefacts.external.get(experiment)
        try:
            return read_evidence(site.store, evaluation, TESTED_BY) if evaluation else None
        except StoreError:  # what the leaderboard does without, too
            return None

    return Page(
        f"data/tables/{name}.js",
        {"protocol": protocol, "frames": [_digest(frame) for frame in frames]},
        lambda: script("tables", name, table_data(dataset, protocol, *frames, evidence)),
    )


def _of_table(frame: pandas.DataFrame, dataset: str, protocol: str) -> pandas.DataFrame:
    return frame[(frame["dataset"] == dataset) & (frame["protocol"] == protocol)]


def _digest(frame: pandas.DataFrame) -> str:
    """Of every value: a table's data is made again where its own rows change, not with those of others."""
    hashes = pandas.util.hash_pandas_object(frame, index=False, categorize=True)
    return hashlib.sha256(hashes.to_numpy().tobytes()).hexdigest()
