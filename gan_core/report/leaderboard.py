"""The leaderboard: one row an evaluated experiment, each figure beside its protocol."""

import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pandas

from gan_core.config import Experiment, config_changes
from gan_core.errors import EvaluationError
from gan_core.objectives import objective_name
from gan_core.report.figures import FIGURES, escape_markdown, write_figure, write_inception_score
from gan_core.report.verdicts import UNKNOWN, verdict_text
from gan_core.store import Build, Manifest, Store
from gan_core.versions import CODE_VERSIONS

CODE_VERSION = CODE_VERSIONS["leaderboard"]
ASSET, PARTITION = "leaderboard", "all"
CSV, PARQUET = "leaderboard.csv", "leaderboard.parquet"

COLUMN_TYPES = {
    "experiment": "str",
    "dataset": "str",
    "architecture": "str",
    "objective": "str",
    "conditioning": "str",
    "seed": "int64",
    "verdict": "str",
    "images_seen": "Int64",
    "fid": "float64",
    "kid": "float64",
    "inception_score": "float64",
    "inception_score_std": "float64",
    "protocol": "str",
    "images_per_second": "float64",
}
COLUMNS = list(COLUMN_TYPES)

logger = logging.getLogger("gan_core")


def build_leaderboard(
    store: Store,
    experiments: dict[str, Experiment],
    trained: dict[str, Manifest],
    evaluations: dict[str, Manifest],
    *,
    force: bool = False,
    emit: Callable[[str], None] = logger.info,
) -> Manifest:
    """Publish the leaderboard of all evaluated `experiments` as CSV and Parquet.

    A row describes the training that was really evaluated, found through the lineage evaluation → samples →
    trained_gan, with the guards' verdict on it; where that is not today's configuration or today's training,
    `details["stale"]` says so by experiment. Evaluations of experiments that are no longer configured are
    left out and named in `details["left_out"]`. Both files also go, atomically, to `STORE/leaderboard/`.

    Raises `EvaluationError` for an evaluation that states no protocol.
    """
    listed = {name: evaluations[name] for name in sorted(experiments) if name in evaluations}
    evaluated = {name: _evaluated_training(store, item, trained.get(name)) for name, item in listed.items()}
    rows = [_row(store, experiments[name], evaluated[name], listed[name]) for name in listed]
    stale = {
        name: _staleness(store, experiments[name], evaluations[name], evaluated[name], trained.get(name))
        for name in listed
    }
    stale = {name: reason for name, reason in stale.items() if reason}
    left_out = sorted(set(evaluations) - set(experiments))
    inputs = {f"evaluation/{name}": manifest for name, manifest in listed.items()}
    inputs |= {f"trained_gan/{name}": manifest for name, manifest in evaluated.items() if manifest}

    def build(work: Build) -> None:
        frame = leaderboard_frame(rows)
        (work.folder / CSV).write_bytes(leaderboard_csv(frame))
        frame.to_parquet(work.folder / PARQUET, index=False)
        work.figures = {"experiments": len(frame), "stale": len(stale)}
        work.details = {"stale": stale, "left_out": left_out}

    # The rows themselves are the configuration: an input that was made again with `force` keeps its
    # fingerprint, but may bring other figures.
    manifest = store.produce(
        ASSET,
        PARTITION,
        config={"rows": rows, "stale": stale, "left_out": left_out},
        inputs=inputs,
        code_version=CODE_VERSION,
        build=build,
        force=force,
    )
    for name in (CSV, PARQUET):
        store.write_atomically(f"{ASSET}/{name}", store.local(manifest, name).read_bytes())
    emit(f"leaderboard: {len(rows):,} experiments, {len(stale):,} of them stale")
    return manifest


def read_leaderboard(store: Store, leaderboard: Manifest) -> pandas.DataFrame:
    """The published leaderboard as a frame with `COLUMNS`."""
    frame = pandas.read_parquet(store.local(leaderboard, PARQUET))
    if "verdict" not in frame:  # made before there were verdicts
        frame["verdict"] = UNKNOWN
    return frame[COLUMNS].astype(COLUMN_TYPES)


def leaderboard_frame(rows: list[dict[str, Any]]) -> pandas.DataFrame:
    """A frame of `rows` with `COLUMNS`, sorted by dataset, protocol and FID; a missing FID comes last."""
    frame = pandas.DataFrame(rows, columns=COLUMNS).astype(COLUMN_TYPES)
    order = ["dataset", "protocol", "fid", "experiment"]
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
        cells = [[escape_markdown(cell) for cell in row] for row in _table(rows)]
        lines = ["| " + " | ".join(row) + " |" for row in cells]
        lines.insert(
            1, "|" + "|".join(["---"] * TEXT_COLUMNS + ["---:"] * (len(cells[0]) - TEXT_COLUMNS)) + "|"
        )
        heading = f"#### {escape_markdown(dataset)}"
        note = f"Protocol: {escape_markdown(protocol)}"
        parts.append("\n\n".join([heading, "\n".join(lines), note]))
    return "\n\n".join(parts) or NO_ROWS


def leaderboard_text(frame: pandas.DataFrame) -> str:
    """The leaderboard for a terminal: an aligned table for each dataset and protocol, its protocol below."""
    parts = []
    for dataset, protocol, rows in leaderboard_groups(frame):
        cells = _table(rows)
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        lines = [_aligned(row, widths) for row in cells]
        lines.insert(1, "  ".join("-" * width for width in widths))
        parts.append("\n".join([dataset, "", *lines, "", f"protocol: {protocol}"]))
    return "\n\n\n".join(parts) or NO_ROWS


# --- inside -----------------------------------------------------------------------------------------------

NO_ROWS = "No experiment is evaluated yet: materialise `evaluation` for at least one."
TEXT_COLUMNS = 5


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
    """Why a row is not what materialising the experiment today would give, or None."""
    if evaluated is None:
        return "the training that was evaluated is no longer in the store: materialise it again"
    changes = config_changes(evaluated.config, experiment)
    if changes:
        return f"the configuration has changed since ({'; '.join(changes)}): materialise it again"
    if latest and latest.fingerprint != evaluated.fingerprint:
        return "trained again since: materialise its samples and evaluation"
    if not store.is_made_from(evaluated, image_shards=store.current("image_shards", experiment.dataset)):
        return "the shards of its dataset have changed since: materialise it again"
    samples = store.current("samples", experiment.name)
    if samples and not (
        store.is_made_from(samples, trained_gan=latest) and store.is_made_from(evaluation, samples=samples)
    ):
        return "trained or sampled again since: materialise its samples and evaluation"
    return None


def _row(
    store: Store, experiment: Experiment, trained: Manifest | None, evaluation: Manifest
) -> dict[str, Any]:
    protocol = evaluation.details.get("protocol")
    if not protocol:
        raise EvaluationError(
            f"evaluation/{experiment.name} ({evaluation.fingerprint[:12]}) states no protocol, so its "
            "figures compare with nothing: materialise it again with force"
        )
    config = trained.config if trained else experiment.training_config()
    known = trained if trained and _is_the_evaluated_one(store, evaluation, trained) else None
    speed = known.figures if known else {}
    return {
        "experiment": experiment.name,
        "dataset": config["dataset"],
        "architecture": config["architecture"]["name"],
        "objective": objective_name(config["objective"]),
        "conditioning": config["conditioning"]["name"],
        "seed": config["seed"],
        "verdict": verdict_text(known),
        "images_seen": speed.get("images_seen"),
        **{
            name: evaluation.figures.get(name)
            for name in ("fid", "kid", "inception_score", "inception_score_std")
        },
        "protocol": protocol,
        "images_per_second": speed.get("images_per_second"),
    }


def _table(rows: pandas.DataFrame) -> list[list[str]]:
    """Heading and rows of one group as text; the first `TEXT_COLUMNS` are words, the rest numbers."""
    words = ["experiment", "architecture", "objective", "conditioning", "verdict"]
    numbers = ["fid", "kid", "inception_score", "images_seen", "images_per_second"]
    cells = [words + ["seed"] + [FIGURES[name].heading for name in numbers]]
    for row in rows.to_dict("records"):
        scores = {name: write_figure(name, row[name]) for name in numbers}
        scores["inception_score"] = write_inception_score(row["inception_score"], row["inception_score_std"])
        cells.append([row[word] for word in words] + [str(row["seed"])] + [scores[name] for name in numbers])
    return cells


def _aligned(row: list[str], widths: list[int]) -> str:
    cells = [
        cell.ljust(width) if i < TEXT_COLUMNS else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
