"""The leaderboard: one row per evaluated experiment, each figure beside its protocol."""

import io
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas
from tabulate import tabulate

from gan_core.config import Experiment, config_changes
from gan_core.errors import DamagedError, EvaluationError, GanError, StoreError
from gan_core.evaluation.figures import FIGURES, escape_markdown, figure_of, write_figure
from gan_core.evaluation.metrics import METRICS
from gan_core.evaluation.verdicts import UNKNOWN
from gan_core.objectives import objective_name
from gan_core.report.publishing import NOTHING, produce_table, prune
from gan_core.report.verdicts import verdict_text
from gan_core.store import Build, Manifest, Store
from gan_core.store.reading import reading
from gan_core.versions import CODE_VERSIONS

CODE_VERSION = CODE_VERSIONS["leaderboard"]
ASSET, PARTITION = "leaderboard", "all"
CSV, PARQUET = "leaderboard.csv", "leaderboard.parquet"
# What rows are sorted by, and what every table shows.
RANKED_BY = "fid"

logger = logging.getLogger("gan_core")


def column_types() -> dict[str, str]:
    """The columns in order, with their types: what was trained, all figures of all metrics, the protocol."""
    figures = [figure for metric in METRICS.values() for figure in metric.all_figures]
    return {
        "experiment": "str",
        "dataset": "str",
        "architecture": "str",
        "objective": "str",
        "conditioning": "str",
        "seed": "int64",
        "verdict": "str",
        "images_seen": "Int64",
        **dict.fromkeys(figures, "float64"),
        "protocol": "str",
        "images_per_second": "float64",
    }


def build_leaderboard(
    store: Store,
    experiments: dict[str, Experiment],
    trained: dict[str, Manifest],
    evaluations: dict[str, Manifest],
    *,
    unreadable: Mapping[str, str] = NOTHING,
    force: bool = False,
    emit: Callable[[str], None] = logger.info,
) -> Manifest:
    """Publish the leaderboard of all evaluated `experiments` as CSV and Parquet.

    A row describes the training that was really evaluated, found through the lineage evaluation → samples →
    trained_gan, with the verdict on it; where that is not today's configuration or today's training,
    `details["stale"]` says so by experiment. An experiment whose manifests were edited or state no protocol
    has no row: `details["damaged"]` says why; so does one whose evaluation is `unreadable` (what
    `Store.all_current` calls damaged). Evaluations of experiments that are no longer configured are
    named in `details["left_out"]`. Both files also go, atomically, to `STORE/leaderboard/`; old versions of
    the artefact are removed.
    """
    listed = {name: evaluations[name] for name in sorted(experiments) if name in evaluations}
    evaluated: dict[str, Manifest | None] = {}
    rows, stale = [], {}
    damaged = {
        name: unreadable[f"evaluation/{name}"]
        for name in sorted(experiments)
        if f"evaluation/{name}" in unreadable
    }
    for name, evaluation in listed.items():
        try:
            with reading(f"experiment {name}"):
                evaluated[name] = _evaluated_training(store, evaluation, trained.get(name))
                row = _row(store, experiments[name], evaluated[name], evaluation)
                reason = _staleness(store, experiments[name], evaluation, evaluated[name], trained.get(name))
        except GanError as error:
            damaged[name] = str(error)
            emit(f"left out of the leaderboard: {error}")
            continue
        rows.append(row)
        stale |= {name: reason} if reason else {}
    left_out = sorted(set(evaluations) - set(experiments))
    inputs = {f"evaluation/{name}": manifest for name, manifest in listed.items()}
    inputs |= {f"trained_gan/{name}": manifest for name, manifest in evaluated.items() if manifest}

    def build(work: Build) -> None:
        frame = leaderboard_frame(rows)
        (work.folder / CSV).write_bytes(leaderboard_csv(frame))
        frame.to_parquet(work.folder / PARQUET, index=False)
        work.figures = {"experiments": len(frame), "stale": len(stale), "damaged": len(damaged)}
        work.details = {"stale": stale, "damaged": damaged, "left_out": left_out}

    # The rows themselves are the configuration: an input that was made again with `force` keeps its
    # fingerprint, but may bring other figures.
    manifest = produce_table(
        store,
        ASSET,
        PARTITION,
        config={"rows": rows, "stale": stale, "damaged": damaged, "left_out": left_out},
        inputs=inputs,
        code_version=CODE_VERSION,
        build=build,
        force=force,
    )
    for name in (CSV, PARQUET):
        store.write_atomically(f"{ASSET}/{name}", store.local(manifest, name).read_bytes())
    prune(store, manifest, read_by=("report",))
    emit(f"leaderboard: {len(rows):,} experiments, {len(stale):,} of them stale")
    return manifest


def read_leaderboard(store: Store, leaderboard: Manifest) -> pandas.DataFrame:
    """A published leaderboard with today's columns: what one from before a column lacks is missing in it.

    Raises `StoreError` for a table that does not name experiments, datasets and protocols.
    """
    frame = pandas.read_parquet(store.local(leaderboard, PARQUET))
    lacking = [name for name in ("experiment", "dataset", "protocol") if name not in frame]
    if lacking:
        raise StoreError(
            f"{store.file_path(leaderboard, PARQUET)} has no column {', '.join(lacking)}: it is no "
            "leaderboard; make it again with force"
        )
    if "verdict" not in frame:  # made before there were verdicts
        frame["verdict"] = UNKNOWN
    types = column_types()
    frame = frame.reindex(columns=list(types))
    words = [name for name, kind in types.items() if kind == "str"]
    return frame.fillna(dict.fromkeys(words, "") | {"seed": 0}).astype(types)


def leaderboard_frame(rows: list[dict[str, Any]]) -> pandas.DataFrame:
    """A frame of `rows` with all columns, sorted by dataset, protocol and FID; a missing FID comes last."""
    types = column_types()
    frame = pandas.DataFrame(rows, columns=list(types)).astype(types)
    order = ["dataset", "protocol", RANKED_BY, "experiment"]
    return frame.sort_values(order, na_position="last", ignore_index=True)


def leaderboard_csv(frame: pandas.DataFrame) -> bytes:
    """The frame as UTF-8 CSV. A float is written as the shortest text that reads back as the same number."""
    text = io.StringIO()
    frame.to_csv(text, index=False, lineterminator="\n")
    return text.getvalue().encode()


def leaderboard_groups(frame: pandas.DataFrame) -> Iterator[tuple[str, str, pandas.DataFrame]]:
    """The rows that may be compared with each other: (dataset, protocol, rows), in the frame's order."""
    for (dataset, protocol), rows in frame.groupby(["dataset", "protocol"], sort=True):
        yield dataset, protocol, rows


def leaderboard_markdown(frame: pandas.DataFrame) -> str:
    """The leaderboard as Markdown: a heading and a table for each dataset and protocol."""
    parts = []
    for dataset, protocol, rows in leaderboard_groups(frame):
        table = _table(rows, "pipe", escape_markdown)
        note = f"Protocol: {escape_markdown(protocol)}"
        parts.append("\n\n".join([f"#### {escape_markdown(dataset)}", table, note]))
    return "\n\n".join(parts) or NO_ROWS


def leaderboard_text(frame: pandas.DataFrame) -> str:
    """The leaderboard for a terminal: an aligned table for each dataset and protocol, its protocol below."""
    parts = [
        f"{dataset}\n\n{_table(rows, 'simple')}\n\nprotocol: {protocol}"
        for dataset, protocol, rows in leaderboard_groups(frame)
    ]
    return "\n\n\n".join(parts) or NO_ROWS


def shown_figures(rows: pandas.DataFrame, *, variants: bool) -> list[str]:
    """The figures that have a column in a table of these rows: of each metric the main one, with `variants`
    also those that the metric shows. A figure that no row has is left out, but for the one that ranks."""
    names = [
        name
        for metric in METRICS.values()
        for name in (
            metric.main,
            *(f"{metric.main}_{variant}" for variant in metric.columns if variants),
        )
    ]
    return [name for name in names if name == RANKED_BY or not rows[name].isna().all()]


# --- inside -----------------------------------------------------------------------------------------------

NO_ROWS = "No experiment is evaluated yet: evaluate at least one."
WORDS = ["experiment", "architecture", "objective", "conditioning", "verdict"]


def _evaluated_training(store: Store, evaluation: Manifest, latest: Manifest | None) -> Manifest | None:
    """The training whose samples were evaluated, or the latest where the store no longer knows."""
    samples_fingerprint = evaluation.inputs.get("samples")
    if samples_fingerprint is None:
        return latest
    samples = store.read_manifest("samples", evaluation.partition, samples_fingerprint)
    fingerprint = samples and samples.inputs.get("trained_gan")
    if not fingerprint or (latest and latest.fingerprint == fingerprint):
        return latest
    return store.read_manifest("trained_gan", evaluation.partition, fingerprint)


def _is_the_evaluated_one(store: Store, evaluation: Manifest, trained: Manifest) -> bool:
    """Whether `trained` still is what was evaluated: made again with `force`, it takes the place of it."""
    samples_fingerprint = evaluation.inputs.get("samples")
    if samples_fingerprint is None:
        return True
    samples = store.read_manifest("samples", evaluation.partition, samples_fingerprint)
    if samples is None:
        return True
    return store.is_made_from(evaluation, samples=samples) and store.is_made_from(
        samples, trained_gan=trained
    )


def _staleness(
    store: Store,
    experiment: Experiment,
    evaluation: Manifest,
    evaluated: Manifest | None,
    latest: Manifest | None,
) -> str | None:
    """Why a row is not what the experiment would give today, or None."""
    if evaluated is None:
        return "the training that was evaluated is no longer in the store: train it again"
    changes = config_changes(evaluated.config, experiment)
    if changes:
        return f"the configuration has changed since ({'; '.join(changes)}): train it again"
    if latest and latest.fingerprint != evaluated.fingerprint:
        return "trained again since: draw its samples and evaluate them again"
    try:
        shards = store.current("image_shards", experiment.dataset)
    except DamagedError as error:  # the row is of another artefact, which is whole
        return str(error)
    if not store.is_made_from(evaluated, image_shards=shards):
        return "the shards of its dataset have changed since: train it again"
    samples = store.current("samples", experiment.name)
    if samples and not (
        store.is_made_from(samples, trained_gan=latest) and store.is_made_from(evaluation, samples=samples)
    ):
        return "trained or sampled again since: draw its samples and evaluate them again"
    return None


def _row(
    store: Store, experiment: Experiment, trained: Manifest | None, evaluation: Manifest
) -> dict[str, Any]:
    protocol = evaluation.details.get("protocol")
    if not protocol or not isinstance(protocol, str):
        raise EvaluationError(
            f"evaluation/{experiment.name} ({evaluation.fingerprint[:12]}) states no protocol, so its "
            "figures compare with nothing: evaluate it again with force"
        )
    config = trained.config if trained else experiment.training_config()
    known = trained if trained and _is_the_evaluated_one(store, evaluation, trained) else None
    speed = ("images_seen", "images_per_second")
    return {
        "experiment": experiment.name,
        "dataset": config["dataset"],
        "architecture": config["architecture"]["name"],
        "objective": objective_name(config["objective"]),
        "conditioning": config["conditioning"]["name"],
        "seed": int(config["seed"]),
        "verdict": verdict_text(known, evaluation),
        **{
            figure: figure_of(evaluation, figure)
            for metric in METRICS.values()
            for figure in metric.all_figures
        },
        "protocol": protocol,
        **{name: figure_of(known, name) for name in speed},
    }


def _table(rows: pandas.DataFrame, style: str, escape: Callable[[str], str] = lambda text: text) -> str:
    """One group as text; words on the left, numbers right-aligned."""
    numbers = [*shown_figures(rows, variants=False), "images_seen", "images_per_second"]
    headings = [*WORDS, "seed", *(FIGURES[name].heading for name in numbers)]
    cells = [
        [row[word] for word in WORDS] + [str(row["seed"])] + [write_figure(name, row) for name in numbers]
        for row in rows.to_dict("records")
    ]
    return tabulate(
        [[escape(cell) for cell in row] for row in cells],
        [escape(heading) for heading in headings],
        tablefmt=style,
        colalign=["left"] * len(WORDS) + ["right"] * (len(headings) - len(WORDS)),
        disable_numparse=True,
    )
