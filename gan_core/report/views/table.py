"""The tables of what compares: one for each dataset and protocol."""

from dataclasses import dataclass
from typing import Any

import pandas

from gan_core.evaluation.extractors import EXTRACTORS
from gan_core.evaluation.figures import FIGURES, MISSING, is_missing, write_figure
from gan_core.evaluation.judging.verdicts import STOPPED
from gan_core.evaluation.metrics import interval_names, metric_of_figure
from gan_core.leaderboard.folding import RANKED_BY
from gan_core.leaderboard.tables import interval_text, shown_figures
from gan_core.leaderboard.verdicts import Level, verdict_level
from gan_core.report.charts import Bar, Chart, Rule
from gan_core.report.site import Site


@dataclass(frozen=True)
class Cell:
    """One number of a table, `below` it its interval; `order` sorts it, empty where there is none."""

    text: str
    order: str = ""
    best: bool = False
    below: str = ""


@dataclass(frozen=True)
class Member:
    """One seed of a row: its name, its FID, where it is shown, why it is out of date."""

    name: str
    fid: str
    place: str | None
    stale: str | None


@dataclass(frozen=True)
class TableView:
    """Experiments that may be compared: one dataset, one protocol."""

    dataset: str
    description: str
    protocol: str
    extractor: str | None  # where its figures do not compare with published ones
    headings: list[str]
    rows: list[tuple[dict[str, Any], list[Cell]]]
    floor: list[str] | None
    chart: Chart | None


@dataclass(frozen=True)
class Badge:
    """The verdict on a training in a word or two; `level` is how bad it is."""

    text: str
    level: Level


SPEED = ("images_seen", "images_per_second")
# So many bars are named in the words for a chart.
MOST_IN_WORDS = 20


def table_view(site: Site, name: str, protocol: str, frame: pandas.DataFrame) -> TableView:
    """The table and the chart of the rows of one dataset and protocol."""
    shown = [*shown_figures(frame, variants=True), *SPEED]
    rows = frame.to_dict("records")
    fids = dict(zip(site.seeds["experiment"], site.seeds[RANKED_BY], strict=True))
    for row in rows:
        row["badge"] = Badge(row["verdict"], verdict_level(row["verdict"]))
        row["rank"] = MISSING if is_missing(row["rank"]) else int(row["rank"])
        row["path"] = site.row_path(row["experiment"])
        row["members"] = [_member(site, member, fids) for member in row["members"].split()]
        stale = [f"{member.name}: {member.stale}" for member in row["members"] if member.stale]
        row["stale"] = "; ".join(stale)
    best = {column: _best(column, rows) for column in shown if column not in SPEED}
    floors = _floors(shown, rows)
    dataset = site.configs.datasets.get(name)
    return TableView(
        dataset=name,
        description=dataset.description if dataset else "",
        protocol=protocol,
        extractor=_incomparable_extractor(protocol),
        headings=[
            FIGURES[column].heading.replace(" ↓", "\u00a0↓").replace(" ↑", "\u00a0↑") for column in shown
        ],
        rows=[(row, [_cell(column, row, best.get(column)) for column in shown]) for row in rows],
        floor=[floors.get(column, "") for column in shown] if RANKED_BY in floors else None,
        chart=_fid_chart(name, rows),
    )


def _incomparable_extractor(protocol: str) -> str | None:
    """The extractor that a protocol begins with, where its figures do not compare with published ones."""
    names = (name for name in EXTRACTORS if protocol.startswith(f"{name}-"))
    name = next(names, None)
    return name if name and not EXTRACTORS[name].compares_with_papers else None


def _floors(shown: list[str], rows: list[dict[str, Any]]) -> dict[str, str]:
    """What real images reach, of those columns that have such a figure."""
    floors = {}
    for column in shown:
        metric = metric_of_figure(column)
        if metric and column == metric.main and "floor" in metric.variants:
            value = _first(row[f"{column}_floor"] for row in rows)
            floors |= {} if value is None else {column: FIGURES[column].write(value)}
    return floors


def _member(site: Site, name: str, fids: dict[str, float]) -> Member:
    """A seed behind a row, with its own figure and where it is shown."""
    return Member(
        name,
        write_figure(RANKED_BY, {RANKED_BY: fids.get(name)}),
        site.place(name),
        site.artefacts.leaderboard.details.get("stale", {}).get(name),
    )


def _best(column: str, rows: list[dict[str, Any]]) -> float | None:
    """The best value of a column that is shown to be the best: it is of the one row that ranks first, and its
    interval meets no other row's.

    None where there is none. What a training began with is no achievement, so the best one of it is not
    looked for.
    """
    better, ends = FIGURES[column].better, interval_names(column)
    rows = [row for row in rows if not is_missing(row[column])]
    if (
        len(rows) < 2
        or better in (None, "real")
        or any(is_missing(row.get(end)) for row in rows for end in ends)
    ):
        return None
    first = (min if better == "lower" else max)(rows, key=lambda row: row[column])
    low, high = (first[end] for end in ends)
    others = [row for row in rows if row is not first]
    apart = all(row[ends[0]] > high or row[ends[1]] < low for row in others)
    alone = [row["rank"] for row in rows].count(1) == 1
    return first[column] if apart and alone and first["rank"] == 1 else None


def _cell(column: str, row: dict[str, Any], best: float | None) -> Cell:
    value = row[column]
    if is_missing(value):
        return Cell(MISSING)
    below = "" if column in SPEED else interval_text(column, row)
    # An interval says more than the spread that stands beside a figure without one.
    text = FIGURES[column].write(value) if below else write_figure(column, row)
    return Cell(text, repr(float(value)), best is not None and value == best, below)


def _fid_chart(dataset: str, rows: list[dict[str, Any]]) -> Chart | None:
    bars = [
        Bar(
            _chart_label(row),
            row["fid"],
            *(None if is_missing(row[end]) else row[end] for end in interval_names(RANKED_BY)),
            tick=_first([row["fid_untrained"]]),
            best=row["rank"] == 1,
        )
        for row in rows
        if not is_missing(row["fid"])
    ]
    floor = _first(row["fid_floor"] for row in rows)
    if not bars:
        return None
    named = "; ".join(f"{bar.label} {FIGURES[RANKED_BY].write(bar.value)}" for bar in bars[:MOST_IN_WORDS])
    return Chart(
        f"FID on {dataset}",
        f"Bars of the FIDs in the table: {named}{'; …' if len(bars) > MOST_IN_WORDS else ''}.",
        "FID (lower is better)",
        bars=tuple(bars),
        rules=() if floor is None else (Rule(floor, "real against real"),),
        x_format="figure",
        tick_label="untrained",
    )


def _chart_label(row: dict[str, Any]) -> str:
    stopped = row["badge"].level == "stopped"
    return f"{row['experiment']} {STOPPED}" if stopped else row["experiment"]


def _first(values) -> Any:
    return next((value for value in values if not is_missing(value)), None)
