"""The first page: a table for each dataset and protocol, and what the figures mean."""

from collections.abc import Iterator
from typing import Any

from gan_core.evaluation.figures import FIGURES
from gan_core.evaluation.metrics import METRICS
from gan_core.leaderboard.training_figures import TRAINING_FIGURES
from gan_core.report.page import Page
from gan_core.report.pages import page_kind
from gan_core.report.site import Site
from gan_core.report.views.table import USUAL_WORDS, WORDS, TableView, table_views
from gan_core.report.views.words import date_in_words

# Figures of a training that the glossary explains; the others explain themselves beside these.
EXPLAINED = ("verdict", "fid_in_training", "diversity", "images_seen", "images_per_second")


@page_kind("index", title="Leaderboard", position=0)
def pages(site: Site) -> Iterator[Page]:
    leaderboard = site.artefacts.leaderboard
    made_from = {
        "leaderboard": [leaderboard.version, leaderboard.created_at],
        "groups": {name: group.members for name, group in site.groups.items()},
        "datasets": {name: item.description for name, item in site.configs.datasets.items()},
        "newest": _newest(site),
    }
    yield site.page("index.html", "index/page.html", "GAN report", made_from, lambda: _view(site))


def _view(site: Site) -> dict[str, Any]:
    tables = table_views(site)
    return {
        "tables": tables,
        "column_groups": _column_groups(tables),
        "hidden_places": _hidden_places(tables),
        "WORDS": WORDS,
        "USUAL_WORDS": USUAL_WORDS,
        "without_row": [
            group.name for group in site.groups.values() if group.name not in set(site.table["experiment"])
        ],
        "damaged": site.artefacts.leaderboard.details.get("damaged", {}),
        "meanings": meanings(site.table),
        "newest": _newest(site),
        "leaderboard": site.artefacts.leaderboard,
    }


def _column_groups(tables: list[TableView]) -> dict[str, dict[str, str]]:
    """What can be chosen among: by group, the headings of the columns that any table has."""
    words = {word: WORDS[word] for table in tables for word in table.words}
    groups = {"Configuration": {**{word: words[word] for word in WORDS if word in words}, "seeds": "Seeds"}}
    for column in (column for table in tables for column in table.columns):
        groups.setdefault(column.group, {})[column.name] = column.heading
    return groups


def _hidden_places(tables: list[TableView]) -> dict[int, list[str]]:
    """By the place of a column, from 1 on: the tables that do not show it before a reader chose any."""
    found: dict[int, list[str]] = {}
    for table in tables:
        for place in table.hidden_places:
            found.setdefault(place, []).append(f"#{table.id}")
    return dict(sorted(found.items()))


def _newest(site: Site) -> str:
    return date_in_words(max(item.created_at for item in site.artefacts.inputs().values()))


def meanings(table) -> list[Any]:
    """The glossary: every figure of a metric that was measured and is explained, then the training's."""
    measured = [
        name
        for metric in METRICS.values()
        for name in metric.all_figures
        if not table.empty and not table[name].isna().all() and FIGURES[name].better is not None
    ]
    return [FIGURES[name] for name in measured] + [TRAINING_FIGURES[name] for name in EXPLAINED]
