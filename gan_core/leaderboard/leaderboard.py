"""The leaderboard: one row per configuration, its seeds folded, each figure beside its interval and protocol;
and the table of seeds behind it."""

import io
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas

from gan_core.config import Configs, Experiment
from gan_core.errors import GanError, StoreError
from gan_core.evaluation.evidence import read_evidence
from gan_core.evaluation.external import ASSET as EXTERNAL_ASSET
from gan_core.evaluation.external import external_evaluations
from gan_core.evaluation.judging.verdicts import UNKNOWN
from gan_core.evaluation.metrics import METRICS, interval_names
from gan_core.leaderboard.folding import (
    RANKED_BY,
    TESTED_BY,
    Fold,
    Ranked,
    fold,
    folded_rows,
    pairs_tested,
    ranked,
)
from gan_core.leaderboard.publishing import NOTHING, produce_table, prune
from gan_core.leaderboard.rows import Entry, entry_of, entry_of_external, evaluated_training, staleness
from gan_core.leaderboard.training_figures import IN_TABLES
from gan_core.store import Build, Manifest, Store
from gan_core.store.reading import reading
from gan_core.versions import CODE_VERSIONS

CODE_VERSION = CODE_VERSIONS["leaderboard"]
ASSET, PARTITION = "leaderboard", "all"
CSV, PARQUET = "leaderboard.csv", "leaderboard.parquet"
SEEDS_CSV, SEEDS_PARQUET = "leaderboard_seeds.csv", "leaderboard_seeds.parquet"
TESTS_PARQUET = "leaderboard_tests.parquet"
NO_MANIFESTS: Mapping[str, Manifest] = MappingProxyType({})

logger = logging.getLogger("gan_core")


def seed_column_types() -> dict[str, str]:
    """The columns of the table of seeds, with their types: what was trained, all figures of all metrics, the
    protocol. `group` is the row of the leaderboard."""
    return {
        "experiment": "str",
        "group": "str",
        **_described(),
        "seed": "Int64",
        "verdict": "str",
        "demotion": "Int64",
        "demoted_for": "str",
        **dict.fromkeys(_figures(), "float64"),
        "protocol": "str",
        **_of_training(),
        "stale": "str",
    }


def column_types() -> dict[str, str]:
    """The columns of the leaderboard, with their types. `demotion`: how far a row ranks below what nothing
    speaks against (0 to 2), `demoted_for` why. Figures are means over `seeds`, `<figure>_low` and
    `_high` the 95% interval of a metric's main figure: over the seeds or, of one seed, over its samples."""
    return {
        "rank": "Int64",
        "experiment": "str",
        **_described(),
        "seeds": "int64",
        "verdict": "str",
        "note": "str",
        "demotion": "Int64",
        "demoted_for": "str",
        **dict.fromkeys(_figures(), "float64"),
        "protocol": "str",
        **_of_training(),
        "members": "str",
        "stale": "str",
    }


TEST_COLUMNS = {
    **dict.fromkeys(("dataset", "protocol", "experiment", "other", "test"), "str"),
    **dict.fromkeys(("p", "p_corrected"), "float64"),
    "shown": "bool",
}
"""The columns of the table of tests between the rows of the leaderboard, by what these are ranked by."""


def _described() -> dict[str, str]:
    return dict.fromkeys(("dataset", "architecture", "objective", "conditioning", "tags"), "str")


def _of_training() -> dict[str, str]:
    return {**dict.fromkeys(IN_TABLES, "float64"), "images_seen": "Int64"}


def _figures() -> list[str]:
    """All figures of all metrics, each metric's main one followed by the ends of its interval."""
    found: dict[str, None] = {}
    for metric in METRICS.values():
        found |= dict.fromkeys((metric.main, *interval_names(metric.main), *metric.all_figures))
    return list(found)


def build_leaderboard(
    store: Store,
    experiments: dict[str, Experiment],
    trained: dict[str, Manifest],
    evaluations: dict[str, Manifest],
    external: Mapping[str, Manifest] = NO_MANIFESTS,
    *,
    unreadable: Mapping[str, str] = NOTHING,
    force: bool = False,
    emit: Callable[[str], None] = logger.info,
) -> Manifest:
    """Publish the leaderboard of all evaluated `experiments` and `external` samples, as CSV and Parquet, and
    beside it the table of seeds behind it and the tests between its rows (Parquet only: they are many).

    A row of the table of seeds describes the training that was really evaluated, found through the lineage
    evaluation → samples → trained_gan, with the verdict on it; where that is not today's configuration or
    today's training, `details["stale"]` says so by experiment. An experiment whose manifests were edited or
    state no protocol has no row: `details["damaged"]` says why; so does one whose evaluation is `unreadable`
    (what `Store.all_current` calls damaged). Evaluations of experiments that are no longer configured are
    named in `details["left_out"]`. How seeds are folded and rows ranked: see `folding`. All files also go,
    atomically, to `STORE/leaderboard/`; old versions of the artefact are removed.
    """
    found = _collect(store, experiments, trained, evaluations, external, unreadable, emit)
    left_out = sorted(set(evaluations) - set(experiments))

    def build(work: Build) -> None:
        folded = [fold(entries) for entries in _tables(found.entries)]
        evidence = _evidence(store, folded, emit)
        tables = [ranked(folds, evidence) for folds in folded]
        rows = [
            {**row, "stale": _stale_members(row["members"], found.stale)}
            for table in tables
            for row in folded_rows(table)
        ]
        _write(work.folder, leaderboard_frame(rows), CSV, PARQUET)
        _write(work.folder, seeds_frame(_seed_rows(folded, found.stale)), SEEDS_CSV, SEEDS_PARQUET)
        _tests_frame(tables).to_parquet(work.folder / TESTS_PARQUET, index=False)
        work.figures = {
            "rows": len(rows),
            "experiments": len(found.entries),
            "stale": len(found.stale),
            "damaged": len(found.damaged),
        }
        work.details = {"stale": found.stale, "damaged": found.damaged, "left_out": left_out}

    # The rows themselves are the configuration: an input that was made again with `force` keeps its
    # fingerprint, but may bring other figures.
    manifest = produce_table(
        store,
        ASSET,
        PARTITION,
        config={
            "rows": [
                [entry.values, entry.group, entry.demotion, entry.notes, entry.spaces]
                for entry in found.entries
            ],
            "stale": found.stale,
            "damaged": found.damaged,
            "left_out": left_out,
        },
        inputs=found.inputs,
        code_version=CODE_VERSION,
        build=build,
        force=force,
    )
    for name in (CSV, PARQUET, SEEDS_CSV, SEEDS_PARQUET, TESTS_PARQUET):
        store.write_atomically(f"{ASSET}/{name}", store.local(manifest, name).read_bytes())
    prune(store, manifest, read_by=("report",))
    emit(
        f"leaderboard: {manifest.figures['rows']:,} rows of {len(found.entries):,} experiments, "
        f"{len(found.stale):,} of them stale"
    )
    return manifest


def leaderboard_of(
    store: Store, configs: Configs, *, force: bool = False, emit: Callable[[str], None] = logger.info
) -> Manifest:
    """The leaderboard of all that the store holds of what is configured, and of samples from elsewhere; see
    `build_leaderboard`."""
    unreadable: dict[str, str] = {}
    return build_leaderboard(
        store,
        configs.experiments,
        store.all_current("trained_gan", configs.experiments, unreadable),
        store.all_current("evaluation", configs.experiments, unreadable),
        external_evaluations(store, unreadable),
        unreadable=unreadable,
        force=force,
        emit=emit,
    )


def read_leaderboard(store: Store, leaderboard: Manifest) -> pandas.DataFrame:
    """A published leaderboard with today's columns: what one from before a column lacks is missing in it.

    Raises `StoreError` for a table that does not name experiments, datasets and protocols.
    """
    frame = _read(store, leaderboard, PARQUET)
    if "verdict" not in frame:  # made before there were verdicts
        frame["verdict"] = UNKNOWN
    if "members" not in frame:  # made before seeds were folded
        frame["members"] = frame["experiment"]
    return _typed(frame, column_types(), {"seeds": 1, "demotion": 0})


def read_seeds(store: Store, leaderboard: Manifest) -> pandas.DataFrame:
    """The table of seeds behind a published leaderboard; empty for one from before there was one."""
    if SEEDS_PARQUET not in leaderboard.files:
        return seeds_frame([])
    return _typed(_read(store, leaderboard, SEEDS_PARQUET), seed_column_types(), {"demotion": 0})


def read_tests(store: Store, leaderboard: Manifest) -> pandas.DataFrame:
    """The tests between the rows of a published leaderboard; empty for one from before they were kept."""
    if TESTS_PARQUET not in leaderboard.files:
        return pandas.DataFrame([], columns=list(TEST_COLUMNS)).astype(TEST_COLUMNS)
    return pandas.read_parquet(store.local(leaderboard, TESTS_PARQUET))


def leaderboard_frame(rows: list[dict[str, Any]]) -> pandas.DataFrame:
    """A frame of `rows` with all columns, sorted by dataset, protocol, rank and FID; a missing one comes
    last."""
    types = column_types()
    frame = _as_kinds(pandas.DataFrame(rows, columns=list(types)), types)
    order = ["dataset", "protocol", "rank", RANKED_BY, "experiment"]
    return frame.sort_values(order, na_position="last", ignore_index=True)


def seeds_frame(rows: list[dict[str, Any]]) -> pandas.DataFrame:
    """The table of seeds, sorted by dataset, protocol, row of the leaderboard and seed."""
    types = seed_column_types()
    frame = _as_kinds(pandas.DataFrame(rows, columns=list(types)), types)
    order = ["dataset", "protocol", "group", "seed", "experiment"]
    return frame.sort_values(order, na_position="last", ignore_index=True)


def leaderboard_csv(frame: pandas.DataFrame) -> bytes:
    """The frame as UTF-8 CSV. A float is written as the shortest text that reads back as the same number."""
    text = io.StringIO()
    frame.to_csv(text, index=False, lineterminator="\n")
    return text.getvalue().encode()


# --- inside -----------------------------------------------------------------------------------------------


@dataclass
class _Collected:
    """Everything that can be shown, what is wrong with it and with the rest, and what it was read from."""

    entries: list[Entry] = field(default_factory=list)
    stale: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, Manifest] = field(default_factory=dict)


@dataclass
class _Seen:
    """What the store says of one experiment; `damage` where its manifests cannot be read."""

    evaluated: Manifest | None = None
    entry: Entry | None = None
    stale: str | None = None
    damage: GanError | None = None


def _look(store: Store, experiment: Experiment, evaluation: Manifest, latest: Manifest | None) -> _Seen:
    seen = _Seen()
    try:
        with reading(f"experiment {experiment.name}"):
            seen.evaluated = evaluated_training(store, evaluation, latest)
            seen.entry = entry_of(store, experiment, seen.evaluated, evaluation)
            seen.stale = staleness(store, experiment, evaluation, seen.evaluated, latest)
    except GanError as error:
        seen.damage = error
    return seen


def _collect(
    store: Store,
    experiments: dict[str, Experiment],
    trained: dict[str, Manifest],
    evaluations: dict[str, Manifest],
    external: Mapping[str, Manifest],
    unreadable: Mapping[str, str],
    emit: Callable[[str], None],
) -> _Collected:
    found = _Collected()
    names = sorted(experiments)
    found.damaged |= {
        name: unreadable[f"evaluation/{name}"] for name in names if f"evaluation/{name}" in unreadable
    }
    names = [name for name in names if name in evaluations]

    def look(name: str) -> _Seen:
        return _look(store, experiments[name], evaluations[name], trained.get(name))

    for name, seen in zip(names, store.each(look, names), strict=True):
        found.inputs[f"evaluation/{name}"] = evaluations[name]
        if seen.evaluated:
            found.inputs[f"trained_gan/{name}"] = seen.evaluated
        if seen.damage:
            _leave_out(name, seen.damage, found, emit)
            continue
        found.entries.append(seen.entry)
        found.stale |= {name: seen.stale} if seen.stale else {}
    prefix = f"{EXTERNAL_ASSET}/"
    found.damaged |= {
        name.removeprefix(prefix): text for name, text in unreadable.items() if name.startswith(prefix)
    }
    for name, evaluation in sorted(external.items()):
        found.inputs[f"{evaluation.asset}/{name}"] = evaluation
        try:
            with reading(f"{evaluation.asset}/{name}"):
                found.entries.append(entry_of_external(evaluation))
        except GanError as error:
            _leave_out(name, error, found, emit)
    return found


def _leave_out(name: str, error: GanError, found: _Collected, emit: Callable[[str], None]) -> None:
    found.damaged[name] = str(error)
    emit(f"left out of the leaderboard: {error}")


def _tables(entries: list[Entry]) -> list[list[Entry]]:
    """The entries that may be compared with each other."""
    tables: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        tables.setdefault((entry.values["dataset"], entry.values["protocol"]), []).append(entry)
    return [tables[key] for key in sorted(tables)]


def _evidence(
    store: Store, tables: list[list[Fold]], emit: Callable[[str], None]
) -> dict[str, dict[str, np.ndarray]]:
    """What stands behind the KID of all who are compared with another; without it, of a damaged file."""
    found = {}
    entries = [item.seeds[0] for folds in tables if len(folds) > 1 for item in folds]
    for entry in entries:
        try:
            found[entry.name] = read_evidence(store, entry.evaluation, TESTED_BY)
        except StoreError as error:
            emit(f"the ranks do without the evidence of {entry.name}: {error}")
    return found


def _seed_rows(folded: list[list[Fold]], stale: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {**entry.values, "group": item.name, "stale": stale.get(entry.name, "")}
        for folds in folded
        for item in folds
        for entry in item.entries
    ]


def _stale_members(members: str, stale: Mapping[str, str]) -> str:
    """Why a row is out of date: of each seed that is."""
    return "; ".join(f"{name}: {stale[name]}" for name in members.split() if name in stale)


def _tests_frame(tables: list[Ranked]) -> pandas.DataFrame:
    rows = [
        {**{key: table.folds[0].entries[0].values[key] for key in ("dataset", "protocol")}, **row}
        for table in tables
        for row in pairs_tested(table)
    ]
    return pandas.DataFrame(rows, columns=list(TEST_COLUMNS)).astype(TEST_COLUMNS)


def _write(folder: Path, frame: pandas.DataFrame, csv: str, parquet: str) -> None:
    (folder / csv).write_bytes(leaderboard_csv(frame))
    frame.to_parquet(folder / parquet, index=False)


def _read(store: Store, leaderboard: Manifest, name: str) -> pandas.DataFrame:
    frame = pandas.read_parquet(store.local(leaderboard, name))
    lacking = [name for name in ("experiment", "dataset", "protocol") if name not in frame]
    if lacking:
        raise StoreError(
            f"{store.file_path(leaderboard, name)} has no column {', '.join(lacking)}: it is no "
            "leaderboard; make it again with force"
        )
    return frame


def _typed(frame: pandas.DataFrame, types: dict[str, str], absent: dict[str, Any]) -> pandas.DataFrame:
    words = [name for name, kind in types.items() if kind == "str"]
    filled = frame.reindex(columns=list(types)).fillna(dict.fromkeys(words, "") | absent)
    return _as_kinds(filled, types)


def _as_kinds(frame: pandas.DataFrame, types: dict[str, str]) -> pandas.DataFrame:
    """`frame.astype(types)`, which would convert each of a hundred columns alone, in a third of the time."""
    columns: dict[str, list[str]] = {}
    for name, kind in types.items():
        columns.setdefault(kind, []).append(name)
    converted = [frame[names].astype(kind) for kind, names in columns.items()]
    return pandas.concat(converted, axis="columns")[list(types)]
