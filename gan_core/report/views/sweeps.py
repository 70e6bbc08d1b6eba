"""What a page shows of configurations that differ in few keys: each figure over the keys, which one is best,
and what is missing."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas

from gan_core.comparing.figures import has_failed
from gan_core.errors import DamagedError, StoreError
from gan_core.evaluation.evidence import read_evidence
from gan_core.evaluation.figures import FIGURES, MISSING, is_missing, percent
from gan_core.evaluation.judging.verdicts import demotion
from gan_core.evaluation.metrics import interval_names
from gan_core.evaluation.statistics.comparing import Candidate, holm, pair_tests
from gan_core.leaderboard.candidates import candidate_of, middle_demotion
from gan_core.leaderboard.folding import RANKED_BY, TESTED_BY
from gan_core.leaderboard.tables import interval_text, shown_figures
from gan_core.remedies import how_to_make
from gan_core.report.charts import (
    Axis,
    Cell,
    Chart,
    Drawing,
    HeatMap,
    Parallel,
    Series,
    Track,
    positions,
    spans_decades,
    value_axis,
)
from gan_core.report.families import Family, Point, are_numbers
from gan_core.report.site import Site
from gan_core.report.views.table import Badge, badge_of
from gan_core.report.views.words import words
from gan_core.store import Manifest
from gan_core.store.reading import reading

NOT_TRAINED = "not trained"
NOT_EVALUATED = "trained, not evaluated"
OTHERWISE = "measured by another protocol"
BEHIND = "pruned: it was behind, and the search ended it early"
NO_EXPERIMENT = "no experiment has these values"


@dataclass(frozen=True)
class Result:
    """A point of a family with its row of the leaderboard, or why it has none; `labels`: its values in words;
    `absent`: its experiments without one."""

    point: Point
    labels: tuple[str, ...]
    row: dict[str, Any] | None
    missing: str
    absent: tuple[str, ...]

    @property
    def label(self) -> str:
        return ", ".join(self.labels)


@dataclass(frozen=True)
class SweepRow:
    """A line of the table of one figure; `standing`: `best`, `not told apart` from it, or `worse`; where none
    is worse, `lowest` or `highest` instead of `best`. `of_one_seed`: its interval says nothing of others."""

    cells: list[str]
    name: str
    path: str | None
    value: str
    interval: str
    of_one_seed: bool
    seeds: str
    verdict: Badge
    standing: str


@dataclass(frozen=True)
class SweepFigure:
    """One figure over the keys: its chart, its table, which configuration is best, in a sentence; `first`:
    what that one is called, `best`, or `lowest` or `highest` where none is shown to be worse."""

    name: str
    label: str
    chart: Drawing
    rows: list[SweepRow]
    best: str
    first: str


@dataclass(frozen=True)
class SweepView:
    """A family: `keys` in words, a view for each figure, what is missing with the command that makes it, the
    trials (label, names) that the search ended early, and how many points are measured by another protocol
    than is shown."""

    keys: list[str]
    dataset: str
    protocol: str
    figures: list[SweepFigure]
    missing: list[tuple[str, str, str]]
    command: str
    pruned: list[tuple[str, str]]
    notes: list[str]


def key_in_words(key: str) -> str:
    """`latent.size` as `latent size`, `conditioning.name` as `conditioning`, `architecture.spectral_norm` as
    `spectral norm`."""
    key = key.removesuffix(".name").removeprefix("architecture.").removeprefix("objective.")
    return words(key.replace(".", " "))


def value_in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return ", ".join(value_in_words(part) for part in value) or "none"
    return (
        f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else words(value)
    )


def results_of(site: Site, family: Family) -> list[Result]:
    """Every point with what was measured of it, by the protocol that most points were measured by."""
    rows = _rows_by_member(site, family)
    protocols = [row["protocol"] for row in rows.values()]
    protocol = max(sorted(set(protocols)), key=protocols.count) if protocols else ""
    pruned = _pruned(site, family)
    return [_result(site, point, rows, protocol, pruned) for point in family.points]


def sweep_view(site: Site, family: Family) -> SweepView:
    results = results_of(site, family)
    measured = [result for result in results if result.row]
    frame = pandas.DataFrame([result.row for result in measured], columns=list(site.table.columns))
    keys = [key_in_words(key) for key in family.keys]
    pruned = [result for result in results if result.missing == BEHIND]
    missing = [result for result in results if result.absent and result not in pruned]
    wanted = [name for result in missing for name in result.absent]
    return SweepView(
        keys=keys,
        dataset=family.dataset,
        protocol=measured[0].row["protocol"] if measured else "",
        figures=[_figure(site, family, results, name) for name in shown_figures(frame, variants=False)],
        missing=[(result.label, ", ".join(result.absent), result.missing) for result in missing],
        command=f"python -m pipelines backfill {shlex.join(wanted)}" if wanted else "",
        pruned=[(result.label, ", ".join(result.absent)) for result in pruned],
        notes=_notes(family, results),
    )


# --- what was measured ------------------------------------------------------------------------------------


def _rows_by_member(site: Site, family: Family) -> dict[str, dict[str, Any]]:
    """By experiment, its row of the leaderboard, where it is of today's configuration and training."""
    stale = site.artefacts.leaderboard.details.get("stale", {})
    found = {}
    for member in family.experiments:
        row = site.row_of.get(member)
        if row is not None and member not in stale and row["dataset"] == family.dataset:
            found[member] = row
    return found


def _pruned(site: Site, family: Family) -> frozenset[str]:
    """The trials that the sweep of this family ended early."""
    made = site.artefacts.of("sweep", family.sweep) if family.sweep else None
    if made is None:
        return frozenset()
    with reading(f"sweep/{family.sweep}", how_to_make("sweep", family.sweep)):
        return frozenset(trial["name"] for trial in made.details["trials"] if trial["state"] == "pruned")


def _result(
    site: Site, point: Point, rows: dict[str, dict[str, Any]], protocol: str, pruned: frozenset[str]
) -> Result:
    """Of several rows of one configuration, as other versions of the code leave them, that of most seeds."""
    found = [rows[name] for name in point.experiments if name in rows and rows[name]["protocol"] == protocol]
    row = max(found, key=lambda item: len(item["members"].split())) if found else None
    members = row["members"].split() if row else []
    absent = tuple(name for name in point.experiments if name not in members)
    labels = tuple(value_in_words(value) for value in point.values)
    reasons = dict.fromkeys(BEHIND if name in pruned else _why_missing(site, name, rows) for name in absent)
    return Result(point, labels, row, "; ".join(reasons), absent)


def _why_missing(site: Site, name: str, rows: dict[str, dict[str, Any]]) -> str:
    leaderboard = site.artefacts.leaderboard.details
    if name in rows:
        return OTHERWISE
    reason = leaderboard.get("stale", {}).get(name) or leaderboard.get("damaged", {}).get(name)
    return reason or (NOT_EVALUATED if site.artefacts.of("trained_gan", name) else NOT_TRAINED)


def _notes(family: Family, results: list[Result]) -> list[str]:
    there = {result.labels for result in results}
    whole = 1
    for position in range(len(family.keys)):
        whole *= len(family.values(position))
    without = whole - len(there)
    notes = []
    if without and not family.sweep:  # which chooses some of them
        notes.append(f"{without:,} of the {whole:,} combinations of these values have no experiment.")
    if any(OTHERWISE in result.missing for result in results):
        notes.append("Figures of another protocol do not compare with these and are not shown.")
    return notes


# --- which is best ----------------------------------------------------------------------------------------


def _candidate(site: Site, result: Result, figure: str) -> Candidate:
    """As the leaderboard ranks it."""
    members = _one_a_seed(site, result.row["members"].split())
    evaluations = [found for name in members if (found := site.artefacts.of("evaluation", name))]
    return candidate_of(
        figure,
        [site.seed_rows[name] for name in members],
        evidence=_evidence(site, evaluations) if figure == RANKED_BY and len(members) == 1 else None,
        demotion=middle_demotion(_demotion(found) for found in evaluations),
    )


def _one_a_seed(site: Site, names: Iterable[str]) -> list[str]:
    """The same training under two names counts once."""
    names = list(names)
    return [name for name in names if name not in site.other_names(names)]


def _demotion(evaluation: Manifest) -> int:
    try:
        with reading(f"evaluation/{evaluation.partition}"):
            return demotion(evaluation)
    except DamagedError:  # edited since the leaderboard was made, which will say so
        return 0


def _evidence(site: Site, evaluations) -> dict[str, Any] | None:
    try:
        return read_evidence(site.store, evaluations[0], TESTED_BY) if evaluations else None
    except StoreError:  # what the leaderboard does without, too
        return None


def _standings(site: Site, measured: list[Result], figure: str) -> list[str]:
    """`best`, `tied` with it or `worse`, by the tests that rank the leaderboard, corrected for all pairs."""
    if FIGURES[figure].better not in ("lower", "higher") or len(measured) < 2:
        return ["" for _ in measured]
    candidates = [_candidate(site, result, figure) for result in measured]
    order = sorted(range(len(candidates)), key=lambda i: (candidates[i].failed, candidates[i].mean))
    pairs = [(a, b) for place, a in enumerate(order) for b in order[place + 1 :]]
    alike = [(a, b) for a, b in pairs if candidates[a].failed == candidates[b].failed]
    tested = pair_tests(candidates).p
    p_values = [1.0 if is_missing(tested[pair]) else float(tested[pair]) for pair in alike]
    shown = {pair for pair, is_shown in zip(alike, holm(p_values), strict=True) if is_shown}
    best = order[0]
    return [
        "best"
        if i == best
        else "worse"
        if (best, i) in shown or candidates[i].failed > candidates[best].failed
        else "tied"
        for i in range(len(candidates))
    ]


def _first(figure: str, standings: list[str]) -> str:
    """What the first of the configurations is called: it is best only where another is shown to be worse."""
    if "worse" in standings or "best" not in standings:
        return "best"
    return "lowest" if FIGURES[figure].better == "lower" else "highest"


def _best_in_words(keys: list[str], measured: list[Result], standings: list[str], figure: str) -> str:
    label = FIGURES[figure].label
    if "best" not in standings:
        return f"Neither more nor less of the {label} is better." if len(measured) > 1 else ""
    best = measured[standings.index("best")]
    told = f"**{_called(keys, best)}** with {_with_interval(figure, best.row)} ({_seeds_in_words(best.row)})"
    told += _failure_in_words(best.row)
    if "worse" not in standings:
        return f"{label}: none is shown to be better; {_first(figure, standings)} is {told}."
    tied = [result for result, standing in zip(measured, standings, strict=True) if standing == "tied"]
    text = f"{label}: best is {told}. "
    if not tied:
        return text + "Each of the others is shown to be worse."
    names = "; ".join(f"**{_called(keys, result)}**" for result in tied)
    return text + f"No test tells {names} apart from it; the others are shown to be worse."


def _called(keys: list[str], result: Result) -> str:
    return ", ".join(f"{key} {label}" for key, label in zip(keys, result.labels, strict=True))


def _seeds_in_words(row: dict[str, Any]) -> str:
    return "one seed" if row["seeds"] == 1 else f"{row['seeds']} seeds"


def _failure_in_words(row: dict[str, Any]) -> str:
    """What stands behind the name of a configuration that failed: the lowest of failures is one."""
    verdict = row["verdict"]
    if not has_failed(verdict):
        return ""
    every = all(has_failed(of_some) for of_some in verdict.split("; "))
    return f", and {'it' if every else 'not every seed of it'} {'failed' if every else 'learned'}: {verdict}"


def _with_interval(figure: str, row: dict[str, Any]) -> str:
    return f"{FIGURES[figure].write(row[figure])} {interval_text(figure, row)}".rstrip()


# --- how it is drawn --------------------------------------------------------------------------------------


def _figure(site: Site, family: Family, results: list[Result], figure: str) -> SweepFigure:
    measured = [result for result in results if result.row and not is_missing(result.row[figure])]
    standings = _standings(site, measured, figure)
    draw = {1: _line, 2: _heat}.get(len(family.keys), _parallel)
    # Where none is shown to be worse, that none is shown to be better marks none out.
    unbeaten = {
        result.labels: "worse" in standings and standing in ("best", "tied")
        for result, standing in zip(measured, standings, strict=True)
    }
    first = _first(figure, standings)
    words = {"best": first, "tied": "not told apart", "worse": "worse", "": ""}
    rows = [_row(site, result, figure, words[of]) for result, of in zip(measured, standings, strict=True)]
    if FIGURES[figure].better in ("lower", "higher"):
        order = sorted(
            range(len(rows)),
            key=lambda i: measured[i].row[figure] * (1 if FIGURES[figure].better == "lower" else -1),
        )
        rows = [rows[i] for i in order]
    return SweepFigure(
        figure,
        FIGURES[figure].heading,
        draw(family, results, figure, unbeaten),
        rows,
        _best_in_words([key_in_words(key) for key in family.keys], measured, standings, figure),
        first,
    )


def _row(site: Site, result: Result, figure: str, standing: str) -> SweepRow:
    there = len(_one_a_seed(site, result.row["members"].split()))
    of_all = len(_one_a_seed(site, result.point.experiments))
    interval = interval_text(figure, result.row)
    return SweepRow(
        cells=list(result.labels),
        name=result.row["experiment"],
        path=site.row_path(result.row["experiment"]),
        value=FIGURES[figure].write(result.row[figure]),
        interval=interval,
        of_one_seed=bool(interval) and there == 1,
        seeds=str(there) if there == of_all else f"{there} of {of_all}",
        verdict=badge_of(result.row["verdict"]),
        standing=standing,
    )


def _format(figure: str) -> str:
    return "share" if FIGURES[figure].write is percent else "figure"


def _title(family: Family, figure: str) -> str:
    keys = [key_in_words(key) for key in family.keys]
    return f"{FIGURES[figure].label} over {', '.join(keys[:-1])}{' and ' if keys[1:] else ''}{keys[-1]}"


def _alt(family: Family, results: list[Result], figure: str) -> str:
    parts = [
        f"{result.label} {FIGURES[figure].write(result.row[figure])}"
        for result in results
        if result.row and not is_missing(result.row[figure])
    ]
    return f"{_title(family, figure)}: {'; '.join(parts)}."


def _line(family: Family, results: list[Result], figure: str, unbeaten: dict[tuple[str, ...], bool]) -> Chart:
    """A line where the key has an order; of words, points with their intervals."""
    values = family.values(0)
    numbers = are_numbers(values)
    rows = [result.row or {} for result in results]
    figures, low, high = (
        [_number(row.get(name)) for row in rows] for name in (figure, *interval_names(figure))
    )
    series = Series(
        FIGURES[figure].label,
        [result.point.values[0] if numbers else result.label for result in results],
        figures,
        low,
        high,
        dots=True,
        connected=numbers,
        interval="bars",
    )
    return Chart(
        _title(family, figure),
        _alt(family, results, figure),
        key_in_words(family.keys[0]),
        FIGURES[figure].heading,
        series=(series,),
        x_format="count" if numbers else "text",
        y_format=_format(figure),
        x_scale="point" if not numbers else "log" if spans_decades(values) or _doubles(values) else "linear",
        x_ticks=tuple(values) if numbers else None,
    )


def _doubles(values: list[float]) -> bool:
    """Whether each value is at least twice the one before, over three doublings: 32, 64, 128, 256."""
    pairs = zip(values, values[1:], strict=False)
    return (
        values[0] > 0 and values[-1] >= 8 * values[0] and all(after >= 2 * before for before, after in pairs)
    )


def _heat(
    family: Family, results: list[Result], figure: str, unbeaten: dict[tuple[str, ...], bool]
) -> HeatMap:
    """The key with more values across."""
    across, down = (0, 1) if len(family.values(0)) >= len(family.values(1)) else (1, 0)
    by_labels = {result.labels: result for result in results}
    columns, rows = (
        [value_in_words(value) for value in family.values(position)] for position in (across, down)
    )
    cells = []
    for y in rows:
        for x in columns:
            labels = (x, y) if across == 0 else (y, x)
            cells.append(_cell(x, y, by_labels.get(labels), figure, unbeaten.get(labels, False)))
    return HeatMap(
        _title(family, figure),
        _alt(family, results, figure),
        key_in_words(family.keys[across]),
        key_in_words(family.keys[down]),
        FIGURES[figure].label,
        tuple(columns),
        tuple(rows),
        tuple(cells),
        format=_format(figure),
        better=FIGURES[figure].better if FIGURES[figure].better in ("lower", "higher") else "",
    )


def _cell(x: str, y: str, result: Result | None, figure: str, best: bool) -> Cell:
    if result is None:
        return Cell(x, y, missing=NO_EXPERIMENT, word=MISSING)
    if result.row is None or is_missing(result.row[figure]):
        return Cell(x, y, missing=result.missing or "not measured")
    low, high = (_number(result.row.get(end)) for end in interval_names(figure))
    return Cell(x, y, _number(result.row[figure]), low, high, best)


def _parallel(
    family: Family, results: list[Result], figure: str, unbeaten: dict[tuple[str, ...], bool]
) -> Parallel:
    shown = [result for result in results if result.row and not is_missing(result.row[figure])]
    figures = [result.row[figure] for result in shown]
    axes = [_key_axis(family, position) for position in range(len(family.keys))]
    axes.append(value_axis(FIGURES[figure].label, figures, FIGURES[figure].write))
    place = positions(figures)
    tracks = [
        Track(
            result.label,
            (*(_place(axis, text) for axis, text in zip(axes, result.labels, strict=False)), place(value)),
            (*result.labels, _with_interval(figure, result.row)),
            unbeaten.get(result.labels, False),
        )
        for result, value in zip(shown, figures, strict=True)
    ]
    return Parallel(_title(family, figure), _alt(family, results, figure), tuple(axes), tuple(tracks))


def _key_axis(family: Family, position: int) -> Axis:
    """The values of a key, equally far apart."""
    labels = [value_in_words(value) for value in family.values(position)]
    step = 1 / max(1, len(labels) - 1)
    return Axis(
        key_in_words(family.keys[position]), tuple((i * step, label) for i, label in enumerate(labels))
    )


def _place(axis: Axis, text: str) -> float:
    return next(place for place, tick in axis.ticks if tick == text)


def _number(value: Any) -> float | None:
    return None if is_missing(value) else float(value)
