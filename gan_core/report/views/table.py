"""The tables of what compares: one for each dataset and protocol."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pandas

from gan_core.evaluation.extractors import EXTRACTORS
from gan_core.evaluation.figures import FIGURES, MISSING, is_missing, write_figure
from gan_core.evaluation.judging.verdicts import STOPPED
from gan_core.evaluation.metrics import METRICS, QUESTIONS, interval_names, metric_of_figure
from gan_core.leaderboard.folding import RANKED_BY
from gan_core.leaderboard.rows import EXTERNAL
from gan_core.leaderboard.tables import interval_text, shown_figures
from gan_core.leaderboard.training_figures import IN_TABLES, TRAINING_FIGURES
from gan_core.leaderboard.verdicts import Level, verdict_level
from gan_core.report.charts import Bar, Chart, Rule
from gan_core.report.site import Site

# More bars than these are no picture of anything; they are the first ones of the table.
MOST_BARS = 25


@dataclass(frozen=True)
class Column:
    """A column of figures. `name`: that of the leaderboard's file. `shown` before a reader chose any;
    `group`: where it stands in the list that is chosen from."""

    name: str
    heading: str
    group: str
    shown: bool

    @property
    def highest_first(self) -> bool:
        return FIGURES[self.name].better == "higher"


@dataclass(frozen=True)
class Cell:
    """One number of a table, `below` it its interval; `order` sorts it where its text would not."""

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
class Badge:
    """The verdict on a training in a word or two; `level` is how bad it is."""

    text: str
    level: Level


@dataclass(frozen=True)
class Row:
    """One configuration, or samples from elsewhere (`external`). `tied`: others share its rank."""

    rank: int | str
    tied: bool
    experiment: str
    path: str | None
    architecture: str
    objective: str
    conditioning: str
    tags: str
    seeds: int
    badge: Badge
    note: str
    stale: str
    external: bool
    members: list[Member]
    cells: list[Cell]


@dataclass(frozen=True)
class TableView:
    """Experiments that may be compared: one dataset, one protocol. `id` is its anchor."""

    id: str
    dataset: str
    description: str
    protocol: str
    extractor: str | None  # where its figures do not compare with published ones
    columns: list[Column]
    rows: list[Row]
    floor: list[str] | None
    chart: Chart | None
    words: list[str] = field(default_factory=list)
    """The columns of words that have any: `conditioning` only where an experiment has one."""

    @property
    def hidden_places(self) -> list[int]:
        """Where the columns are that are not shown before a reader chose any, from 1 on."""
        first = [True, True, *(word in USUAL_WORDS for word in self.words), True, True]  # rank, experiment, …
        shown = [*first, *(column.shown for column in self.columns)]
        return [place for place, is_shown in enumerate(shown, start=1) if not is_shown]


# The columns of words, which those of figures stand behind.
WORDS = {
    "architecture": "Architecture",
    "objective": "Objective",
    "conditioning": "Conditioning",
    "tags": "Tags",
}

USUAL_WORDS = ("objective", "conditioning")


def table_view(site: Site, number: int, name: str, protocol: str, frame: pandas.DataFrame) -> TableView:
    """The table and the chart of the rows of one dataset and protocol; the tables are numbered."""
    columns = table_columns(frame)
    records = frame.to_dict("records")
    fids = dict(zip(site.seeds["experiment"], site.seeds[RANKED_BY], strict=True))
    ranks = [record["rank"] for record in records]
    best = {column.name: _best(column.name, records) for column in columns if column.name not in IN_TABLES}
    floors = _floors(columns, records)
    dataset = site.configs.datasets.get(name)
    return TableView(
        id=f"table-{number}",
        dataset=name,
        description=dataset.description if dataset else "",
        protocol=protocol,
        extractor=_incomparable_extractor(protocol),
        columns=columns,
        rows=[_row(site, record, ranks, columns, best, fids) for record in records],
        floor=[floors.get(column.name, "") for column in columns] if RANKED_BY in floors else None,
        chart=_fid_chart(name, records),
        words=[word for word in WORDS if (frame[word] != "").any()],
    )


def table_columns(frame: pandas.DataFrame) -> list[Column]:
    """The columns of figures that a table of these rows may show: of every metric that was measured the main
    figure and the variants, then those of the training."""
    in_tables = shown_figures(frame, variants=True)
    measured = [
        (metric, name)
        for metric in METRICS.values()
        for name in (metric.main, *(f"{metric.main}_{variant}" for variant in metric.variants))
        if name in in_tables or not frame[name].isna().all()
    ]
    return [
        Column(
            name,
            _heading(name),
            QUESTIONS[metric.question] if name == metric.main else "The same, compared otherwise",
            shown=name == metric.main and metric.in_overview,
        )
        for metric, name in measured
        if not name.endswith("_floor")  # a row of its own
    ] + [
        Column(name, _heading(name), "Training", shown=name in SPEED)
        for name in IN_TABLES
        if not frame[name].isna().all()
    ]


SPEED = ("images_seen", "images_per_second")


def _heading(name: str) -> str:
    return FIGURES[name].heading.replace(" ↓", "\u00a0↓").replace(" ↑", "\u00a0↑")


def _row(
    site: Site,
    record: dict[str, Any],
    ranks: list[Any],
    columns: list[Column],
    best: dict[str, float | None],
    fids: dict[str, float],
) -> Row:
    words = {word: record[word] for word in ("experiment", *WORDS, "note", "stale")}
    ranked = not is_missing(record["rank"])
    return Row(
        **words,
        rank=int(record["rank"]) if ranked else MISSING,
        tied=ranked and ranks.count(record["rank"]) > 1,
        path=site.row_path(record["experiment"]),
        seeds=record["seeds"],
        badge=Badge(record["verdict"], verdict_level(record["verdict"])),
        external=record["architecture"] == EXTERNAL,
        members=[_member(site, member, fids) for member in record["members"].split()],
        cells=[_cell(column.name, record, best.get(column.name)) for column in columns],
    )


def _incomparable_extractor(protocol: str) -> str | None:
    """The extractor that a protocol begins with, where its figures do not compare with published ones."""
    names = (name for name in EXTRACTORS if protocol.startswith(f"{name}-"))
    name = next(names, None)
    return name if name and not EXTRACTORS[name].compares_with_papers else None


def _floors(columns: list[Column], rows: list[dict[str, Any]]) -> dict[str, str]:
    """What real images reach, of those columns that have such a figure."""
    floors = {}
    for column in columns:
        metric = metric_of_figure(column.name)
        if metric and column.name == metric.main and "floor" in metric.variants:
            value = _first(row[f"{column.name}_floor"] for row in rows)
            floors |= {} if value is None else {column.name: FIGURES[column.name].write(value)}
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
    below = "" if column in TRAINING_FIGURES else interval_text(column, row)
    # An interval says more than the spread that stands beside a figure without one.
    text = FIGURES[column].write(value) if below else write_figure(column, row)
    return Cell(text, _order(text, value), best is not None and value == best, below)


def _order(text: str, value: float) -> str:
    """What a cell is sorted by where it is not the number that its text begins with: of a duration."""
    return f"{value:g}" if ":" in text else ""


def _fid_chart(dataset: str, rows: list[dict[str, Any]]) -> Chart | None:
    measured = [row for row in rows if not is_missing(row[RANKED_BY])]
    bars = [
        Bar(
            _chart_label(row),
            row[RANKED_BY],
            *(None if is_missing(row[end]) else row[end] for end in interval_names(RANKED_BY)),
            tick=_first([row["fid_untrained"]]),
            best=row["rank"] == 1,
        )
        for row in measured[:MOST_BARS]
    ]
    floor = _first(row["fid_floor"] for row in rows)
    if not bars:
        return None
    which = "of the table" if len(bars) == len(measured) else f"of the first {len(bars)} rows"
    named = "; ".join(f"{bar.label} {FIGURES[RANKED_BY].write(bar.value)}" for bar in bars)
    return Chart(
        f"FID on {dataset}" + ("" if len(bars) == len(measured) else f", the first {len(bars)} rows"),
        f"Bars of the FIDs {which}: {named}.",
        "FID (lower is better)",
        bars=tuple(bars),
        rules=() if floor is None else (Rule(floor, "real against real"),),
        x_format="figure",
        tick_label="untrained",
    )


def _chart_label(row: dict[str, Any]) -> str:
    return (
        f"{row['experiment']} {STOPPED}" if verdict_level(row["verdict"]) == "stopped" else row["experiment"]
    )


def _first(values: Iterable[Any]) -> Any:
    return next((value for value in values if not is_missing(value)), None)
