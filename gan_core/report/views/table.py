"""The tables of what compares: one for each dataset and protocol."""

import re
from collections.abc import Iterable, Iterator
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
    """One experiment of a row: its name, its FID and its verdict, where it is shown, why it is out of date.
    `same_as`: another name of the same training, which counts instead of it."""

    name: str
    fid: str
    verdict: str
    place: str | None
    stale: str | None
    same_as: str


@dataclass(frozen=True)
class Badge:
    """The verdict on a training, or on several; `level` is how bad it is."""

    text: str
    level: Level

    @property
    def main(self) -> str:
        """The worst of several verdicts, of equally bad ones that of most seeds, and of how many it is."""
        name, (count, of) = min(self._each.items(), key=_worst_first)
        return f"{name} ({count} of {of})" if of else name

    @property
    def others(self) -> int:
        """How many verdicts there are besides."""
        return len(self._each) - 1

    @property
    def _each(self) -> dict[str, tuple[int, int]]:
        """By verdict, how many seeds of how many have it: of `a, b (2 of 3); a (1 of 3)`, 3 and 2 of 3. 0 of
        0 where all have the same."""
        found: dict[str, tuple[int, int]] = {}
        for of_some in self.text.split("; "):
            names, count, of = _COUNTED.fullmatch(of_some).groups("0")
            for name in names.split(", "):
                found[name] = (found.get(name, (0, 0))[0] + int(count), int(of))
        return found


_COUNTED = re.compile(r"(.*?)(?: \((\d+) of (\d+)\))?", re.DOTALL)
_BY_LEVEL = ("stopped", "warned", "unknown", "healthy")


def _worst_first(verdict: tuple[str, tuple[int, int]]) -> tuple[int, int]:
    name, (count, _) = verdict
    return _BY_LEVEL.index(verdict_level(name)), -count


def badge_of(text: str) -> Badge:
    """The badge of a text of `verdict_text`, or of several with how many seeds have each."""
    return Badge(text, verdict_level(text))


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

    @property
    def members_in_words(self) -> str:
        """`3 seeds`, or `3 seeds, 4 names` where one of them has two."""
        seeds = sum(not member.same_as for member in self.members)
        text = f"{seeds} seed{'' if seeds == 1 else 's'}"
        return text if seeds == len(self.members) else f"{text}, {len(self.members)} names"


@dataclass(frozen=True)
class TableView:
    """Experiments that may be compared: one dataset, one protocol. `id` is its anchor; `apart`: what of its
    protocol tells it from the other tables of its dataset."""

    id: str
    dataset: str
    description: str
    protocol: str
    extractor: str | None  # where its figures do not compare with published ones
    columns: list[Column]
    rows: list[Row]
    floor: list[str] | None
    chart: Chart | None
    apart: str = ""
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


def table_views(site: Site) -> list[TableView]:
    """All tables of the leaderboard, in its order."""
    tables = list(site.tables())
    protocols = [(dataset, protocol) for dataset, protocol, _ in tables]
    return [
        table_view(site, number, *table, _told_apart(*table[:2], protocols))
        for number, table in enumerate(tables, start=1)
    ]


def _told_apart(dataset: str, protocol: str, tables: list[tuple[str, str]]) -> str:
    """The words of a protocol that not all protocols of its dataset have; nothing of a single one."""
    others = [set(other.split()) for name, other in tables if name == dataset and other != protocol]
    return " ".join(word for word in protocol.split() if not all(word in words for words in others))


def table_view(
    site: Site, number: int, name: str, protocol: str, frame: pandas.DataFrame, apart: str = ""
) -> TableView:
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
        apart=apart,
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
        badge=badge_of(record["verdict"]),
        external=record["architecture"] == EXTERNAL,
        members=list(_members(site, record["members"].split(), fids)),
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


def _members(site: Site, names: list[str], fids: dict[str, float]) -> Iterator[Member]:
    """The experiments behind a row, each with its own figure and where it is shown."""
    same, stale = site.other_names(names), site.artefacts.leaderboard.details.get("stale", {})
    for name in names:
        yield Member(
            name,
            write_figure(RANKED_BY, {RANKED_BY: fids.get(name)}),
            site.seed_rows[name]["verdict"] if name in site.seed_rows else "",
            site.place(name),
            stale.get(name),
            same.get(name, ""),
        )


def _best(column: str, rows: list[dict[str, Any]]) -> float | None:
    """The best value of a column that is shown to be the best: it is of the one row that ranks first, and its
    interval meets no other row's.

    None where there is none, and where intervals over seeds stand beside others over samples. What a training
    began with is no achievement, so the best one of it is not looked for.
    """
    better, ends = FIGURES[column].better, interval_names(column)
    rows = [row for row in rows if not is_missing(row[column])]
    if (
        len(rows) < 2
        or len({row["seeds"] > 1 for row in rows}) > 1
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
    """The name, with what puts its bar behind others whatever its length."""
    if row["demoted_for"]:
        return f"{row['experiment']}: {row['demoted_for'].partition(', ')[0]}"
    return (
        f"{row['experiment']} {STOPPED}" if verdict_level(row["verdict"]) == "stopped" else row["experiment"]
    )


def _first(values: Iterable[Any]) -> Any:
    return next((value for value in values if not is_missing(value)), None)
