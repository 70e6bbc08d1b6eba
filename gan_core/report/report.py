"""The report: one HTML page with every experiment's samples, curves and figures, readable offline."""

import base64
import functools
import io
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import pandas
from markupsafe import Markup
from PIL import Image

from gan_core.config import (
    Configs,
    Dataset,
    Experiment,
    config_changes,
    foreign_settings,
)
from gan_core.objectives import objective_name
from gan_core.progress import format_seconds
from gan_core.report.curves import panel_figure, panels_of, read_curves
from gan_core.report.drawing import svg
from gan_core.report.figures import FIGURES, MISSING, is_missing, write_figure, write_inception_score
from gan_core.report.leaderboard import leaderboard_groups, read_leaderboard
from gan_core.report.plots import FidBar, fid_comparison_svg
from gan_core.report.verdicts import (
    NOT_RECORDED,
    STOPPED,
    Level,
    course,
    finding_figure,
    finding_title,
    findings,
    verdict_level,
    verdict_text,
)
from gan_core.store import Build, Manifest, Store
from gan_core.versions import CODE_VERSIONS

CODE_VERSION = CODE_VERSIONS["report"]
ASSET, PARTITION = "report", "all"
PAGE = "index.html"

# A larger picture is shrunk to this many pixels and kept as WebP: grids at 256x256 would be megabytes.
MAX_PICTURE_BYTES = 300_000
MAX_PICTURE_SIZE = (1024, 1536)
# Small pictures are enlarged by a whole factor to about this width, so that 16x16 digits can be seen.
PICTURE_WIDTH = 500

logger = logging.getLogger("gan_core")


def build_report(
    store: Store,
    configs: Configs,
    leaderboard: Manifest,
    trained: dict[str, Manifest],
    samples: dict[str, Manifest],
    evaluations: dict[str, Manifest],
    references: dict[str, Manifest],
    classifiers: dict[str, Manifest],
    *,
    force: bool = False,
    emit: Callable[[str], None] = logger.info,
) -> Manifest:
    """Publish the report as `index.html`, and write it atomically to `STORE/report/index.html`.

    `trained`, `samples` and `evaluations` are keyed by experiment, `references` and `classifiers` by dataset;
    any may be missing, and the page says so. What is no longer configured is left out. Dates on the page are
    those of the manifests, so the same inputs give the same bytes. Raises `StoreError` for a picture or
    a history that is missing or does not match its manifest.
    """
    artefacts = Artefacts(
        leaderboard,
        _configured(trained, configs.experiments),
        _configured(samples, configs.experiments),
        _configured(evaluations, configs.experiments),
        _configured(references, configs.datasets),
        _configured(classifiers, configs.datasets),
    )
    inputs = artefacts.inputs()

    def build(work: Build) -> None:
        page = render_report(store, configs, artefacts)
        (work.folder / PAGE).write_bytes(page)
        work.figures = {"bytes": len(page), "experiments": len(artefacts.started)}

    manifest = store.produce(
        ASSET,
        PARTITION,
        # The dates stand on the page; they also change when an input was made again with `force`.
        config={
            "experiments": {name: item.model_dump(mode="json") for name, item in configs.experiments.items()},
            "datasets": {name: item.model_dump(mode="json") for name, item in configs.datasets.items()},
            "made": {name: item.created_at for name, item in inputs.items()},
        },
        inputs=inputs,
        code_version=CODE_VERSION,
        build=build,
        force=force,
    )
    path = store.write_atomically(f"{ASSET}/{PAGE}", store.local(manifest, PAGE).read_bytes())
    emit(f"report: {len(artefacts.started):,} experiments, {path}")
    return manifest


def render_report(store: Store, configs: Configs, artefacts: "Artefacts") -> bytes:
    """The page as UTF-8 HTML: no request leaves it, all pictures are inside."""
    frame = read_leaderboard(store, artefacts.leaderboard)
    groups = [
        _group(store, artefacts, configs.datasets.get(dataset), dataset, protocol, rows)
        for dataset, protocol, rows in leaderboard_groups(frame)
    ]
    order = {name: position for position, name in enumerate(frame["experiment"])}
    started = sorted(artefacts.started, key=lambda name: (order.get(name, len(order)), name))
    experiments = [_experiment_view(store, artefacts, configs.experiments[name]) for name in started]
    shown_datasets = sorted({configs.experiments[name].dataset for name in started})
    text = _template().render(
        groups=groups,
        experiments=experiments,
        datasets=[_dataset_view(artefacts, configs.datasets[name]) for name in shown_datasets],
        waiting=[
            (name, item.description or MISSING)
            for name, item in sorted(configs.experiments.items())
            if name not in started
        ],
        meanings=[FIGURES[name] for name in GLOSSARY],
        newest=_date(max(item.created_at for item in artefacts.inputs().values())),
        leaderboard=artefacts.leaderboard,
        missing=MISSING,
        not_recorded=NOT_RECORDED,
    )
    return text.encode()


# --- what goes onto the page ------------------------------------------------------------------------------

GLOSSARY = (
    "fid",
    "fid_test",
    "fid_floor",
    "fid_untrained",
    "kid",
    "inception_score",
    "class_accuracy",
    "verdict",
    "fid_in_training",
    "diversity",
    "images_seen",
    "images_per_second",
)
ALWAYS_SHOWN = ("images_seen", "fid", "kid", "inception_score", "images_per_second")
TABLE_COLUMNS = (
    "fid",
    "fid_untrained",
    "fid_test",
    "kid",
    "inception_score",
    "class_accuracy",
    "images_seen",
    "images_per_second",
)
FLOORS = {"fid": "fid_floor", "kid": "kid_floor"}
# The best of these is emphasised: how good the images are, not how fast they came.
COMPARED = ("fid", "fid_test", "kid", "inception_score", "class_accuracy")
SECTION_FIGURES = (
    "fid",
    "fid_test",
    "fid_floor",
    "fid_untrained",
    "kid",
    "kid_test",
    "kid_floor",
    "inception_score",
    "class_accuracy",
)


@dataclass(frozen=True)
class Artefacts:
    """The manifests that the page is made of: by experiment, then by dataset."""

    leaderboard: Manifest
    trained: dict[str, Manifest]
    samples: dict[str, Manifest]
    evaluations: dict[str, Manifest]
    references: dict[str, Manifest]
    classifiers: dict[str, Manifest]

    @property
    def started(self) -> set[str]:
        """Experiments of which there is anything to show."""
        return set(self.trained) | set(self.samples) | set(self.evaluations)

    def inputs(self) -> dict[str, Manifest]:
        """All manifests, keyed `<asset>/<partition>`."""
        groups = (self.trained, self.samples, self.evaluations, self.references, self.classifiers)
        manifests = [self.leaderboard, *(item for group in groups for item in group.values())]
        return {f"{item.asset}/{item.partition}": item for item in manifests}


@dataclass(frozen=True)
class Picture:
    """An inline picture; `width` is how wide it is shown, in CSS pixels."""

    source: str
    width: int
    enlarged: bool = False


@dataclass(frozen=True)
class Cell:
    """One number of a table; `order` sorts it, empty where there is none."""

    text: str
    order: str = ""
    best: bool = False


@dataclass(frozen=True)
class Group:
    """Experiments that may be compared: one dataset, one protocol."""

    dataset: str
    description: str
    protocol: str
    own_classifier: bool
    headings: list[str]
    rows: list[tuple[dict[str, Any], list[Cell]]]
    floor: list[str] | None
    chart: Picture | None


@dataclass(frozen=True)
class Measured:
    """What one extractor found: (label, figure) rows, and (protocol, labels of the figures under it)."""

    extractor: str | None
    figures: list[tuple[str, str]]
    protocols: list[tuple[str, str]]


@dataclass(frozen=True)
class Badge:
    """The verdict on a training in a word or two; `level` is how bad it is."""

    text: str
    level: Level


@dataclass(frozen=True)
class FindingView:
    """What one guard found: its name, what was seen, the figure behind it, and what usually helps."""

    title: str
    text: str
    figure: str
    keys: list[str]


@dataclass(frozen=True)
class ExperimentView:
    """One experiment's section. `course`: where a guard ended the run, and which generator was published."""

    name: str
    description: str
    status: str
    verdict: Badge | None
    course: list[str]
    findings: list[FindingView]
    problems: list[str]
    measured: list["Measured"]
    training: list[tuple[str, str]]
    watched: bool
    settings: list[tuple[str, str]]
    lineage: list[tuple[str, str, str]]
    grid: Picture | None = None
    progress: Picture | None = None
    curves: list[tuple[str, Picture]] = field(default_factory=list)


@dataclass(frozen=True)
class DatasetView:
    """One dataset: what it is, and what measures it."""

    name: str
    rows: list[tuple[str, str]] = field(default_factory=list)


def _group(
    store: Store,
    artefacts: Artefacts,
    dataset: Dataset | None,
    name: str,
    protocol: str,
    frame: pandas.DataFrame,
) -> Group:
    rows = frame.to_dict("records")
    for row in rows:
        row |= _extra_figures(store, artefacts, row["experiment"])
        row["badge"] = Badge(row["verdict"], verdict_level(row["verdict"]))
        row["stale"] = artefacts.leaderboard.details["stale"].get(row["experiment"])
    shown = [
        column
        for column in TABLE_COLUMNS
        if column in ALWAYS_SHOWN or any(not is_missing(row[column]) for row in rows)
    ]
    best = {column: _best(column, rows) for column in COMPARED}
    floor = {column: _first(row[source] for row in rows) for column, source in FLOORS.items()}
    return Group(
        dataset=name,
        description=dataset.description if dataset else "",
        protocol=protocol,
        own_classifier=protocol.startswith("classifier"),
        headings=[
            FIGURES[column].heading.replace(" ↓", "\u00a0↓").replace(" ↑", "\u00a0↑") for column in shown
        ],
        rows=[(row, [_cell(column, row, best.get(column)) for column in shown]) for row in rows],
        floor=None
        if floor["fid"] is None
        else [write_figure(column, floor[column]) if column in floor else "" for column in shown],
        chart=_fid_chart(rows, floor["fid"]),
    )


def _extra_figures(store: Store, artefacts: Artefacts, name: str) -> dict[str, Any]:
    """What the leaderboard has no column for, of the very evaluation that its row shows."""
    fingerprint = artefacts.leaderboard.inputs[f"evaluation/{name}"]
    evaluation = artefacts.evaluations.get(name)
    if evaluation is None or evaluation.fingerprint != fingerprint:
        evaluation = store.read_manifest("evaluation", name, fingerprint)
    figures = evaluation.figures if evaluation else {}
    names = ("fid_test", "fid_untrained", "class_accuracy", *FLOORS.values())
    return {figure: figures.get(figure) for figure in names}


def _best(column: str, rows: list[dict[str, Any]]) -> float | None:
    """The best value of a column, or None where there is nothing to compare."""
    values = [row[column] for row in rows if not is_missing(row[column])]
    if len(set(values)) < 2:
        return None
    return min(values) if FIGURES[column].better == "lower" else max(values)


def _cell(column: str, row: dict[str, Any], best: float | None) -> Cell:
    value = row[column]
    if is_missing(value):
        return Cell(MISSING)
    text = write_figure(column, value)
    if column == "inception_score":
        text = write_inception_score(value, row["inception_score_std"])
    return Cell(text, repr(float(value)), best is not None and value == best)


def _fid_chart(rows: list[dict[str, Any]], floor: float | None) -> Picture | None:
    bars = [
        FidBar(_chart_label(row), row["fid"], row["fid_untrained"])
        for row in rows
        if not is_missing(row["fid"])
    ]
    return _svg_picture(fid_comparison_svg(bars, floor), 760) if bars else None


def _chart_label(row: dict[str, Any]) -> str:
    stopped = row["badge"].level == "stopped"
    return f"{row['experiment']} {STOPPED}" if stopped else row["experiment"]


def _experiment_view(store: Store, artefacts: Artefacts, experiment: Experiment) -> ExperimentView:
    name = experiment.name
    trained, samples = artefacts.trained.get(name), artefacts.samples.get(name)
    evaluation = artefacts.evaluations.get(name)
    config = trained.config if trained else experiment.training_config()
    problems = _problems(artefacts, experiment)
    return ExperimentView(
        name=name,
        description=experiment.description,
        status=_status(trained, evaluation, problems),
        verdict=_badge(trained) if trained else None,
        course=course(trained) if trained else [],
        findings=[_finding_view(finding) for finding in findings(trained)] if trained else [],
        problems=problems,
        measured=_measured(evaluation) if evaluation else [],
        training=_training_rows(trained) if trained else [],
        watched=trained is not None and not is_missing(trained.figures.get("fid_in_training")),
        settings=_settings(config),
        lineage=_lineage(trained, samples, evaluation),
        grid=_stored_picture(store, samples, "grid.png"),
        progress=_stored_picture(store, trained, "progress.png"),
        curves=_curves(store, trained) if trained else [],
    )


def _problems(artefacts: Artefacts, experiment: Experiment) -> list[str]:
    """Missing and outdated steps of one experiment, each with what to do."""
    name = experiment.name
    trained, samples = artefacts.trained.get(name), artefacts.samples.get(name)
    evaluation = artefacts.evaluations.get(name)
    found = []
    if trained is None:
        found.append("Its training is not in the store: materialise trained_gan.")
    elif changes := config_changes(trained.config, experiment):
        found.append(
            f"Trained with an earlier configuration ({'; '.join(changes)}): materialise trained_gan again."
        )
    if samples is None:
        found.append("No samples were drawn yet: materialise samples.")
    elif trained and samples.input_versions.get("trained_gan", trained.version) != trained.version:
        found.append("The samples come from an earlier training: materialise samples again.")
    if evaluation is None:
        found.append("Not evaluated yet, so not on the leaderboard: materialise evaluation.")
        return found
    if samples and evaluation.input_versions.get("samples", samples.version) != samples.version:
        found.append("The figures are of earlier samples: materialise evaluation again.")
    if artefacts.leaderboard.inputs.get(f"evaluation/{name}") != evaluation.fingerprint:
        found.append("Evaluated after the leaderboard was made: materialise leaderboard again.")
    return found


def _badge(trained: Manifest) -> Badge:
    text = verdict_text(trained)
    return Badge(text, verdict_level(text))


def _finding_view(finding: dict[str, Any]) -> FindingView:
    return FindingView(
        finding_title(finding),
        finding["text"],
        finding_figure(finding),
        [str(key) for key in finding["keys"]],
    )


def _status(trained: Manifest | None, evaluation: Manifest | None, problems: list[str]) -> str:
    if evaluation is None:
        return "trained, not evaluated" if trained else "not trained"
    return "out of date" if problems else "evaluated"


def _figure_rows(figures: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for name in SECTION_FIGURES:
        text = write_figure(name, figures.get(name))
        if name == "inception_score":
            text = write_inception_score(figures.get(name), figures.get("inception_score_std"))
        rows.append((FIGURES[name].heading, text))
    return rows


def _measured(evaluation: Manifest) -> list[Measured]:
    """The leaderboard's extractor with all its figures, then any others with those that they have."""
    extractors = evaluation.details.get("extractors", {})
    first = next(iter(extractors.values()), {})
    protocols = first.get("protocols") or {"fid": evaluation.details["protocol"]}
    measured = [Measured(None, _figure_rows(evaluation.figures), _protocol_rows(protocols))]
    for name, values in list(extractors.items())[1:]:
        rows = [row for row in _figure_rows(values) if row[1] != MISSING]
        protocols = values.get("protocols") or {"fid": values.get("protocol", MISSING)}
        measured.append(Measured(name, rows, _protocol_rows(protocols)))
    return measured


def _protocol_rows(protocols: dict[str, str]) -> list[tuple[str, str]]:
    """(protocol, labels of its figures), each protocol once, in the order of the figures."""
    labels: dict[str, list[str]] = {}
    for name in SECTION_FIGURES:
        if name in protocols:
            labels.setdefault(protocols[name], []).append(FIGURES[name].label)
    return [(protocol, "; ".join(names)) for protocol, names in labels.items()]


def _training_rows(trained: Manifest) -> list[tuple[str, str]]:
    figures = trained.figures
    seconds = figures.get("seconds_training")
    parameters = figures.get("parameters_generator")
    watched = [
        (FIGURES[name].label, write_figure(name, figures[name]))
        for name in ("fid_in_training", "fid_best", "images_seen_best", "diversity")
        if not is_missing(figures.get(name))
    ]
    return [
        ("Images seen", write_figure("images_seen", figures.get("images_seen"))),
        *watched,
        ("Images/s", write_figure("images_per_second", figures.get("images_per_second"))),
        ("Time", MISSING if is_missing(seconds) else _duration(seconds)),
        ("Device", str(trained.details.get("device") or MISSING)),
        ("Parameters of G", MISSING if is_missing(parameters) else f"{parameters:,}"),
    ]


def _settings(config: dict[str, Any]) -> list[tuple[str, str]]:
    """The configuration in words, a row a section; what is switched off is left out."""
    rows = []
    for key, value in config.items():
        if key == "optimizers":
            rows += [(f"{_words(network)} optimizer", _describe(_own(of))) for network, of in value.items()]
        elif key == "objective":
            rows.append(("objective", _describe({**value, "name": objective_name(value)})))
        elif value not in (None, False, []):
            rows.append((_words(key), _describe(value)))
    return [(label[0].upper() + label[1:], value) for label, value in rows]


def _own(optimizer: dict[str, Any]) -> dict[str, Any]:
    """An optimiser's settings without those that only another one reads."""
    foreign = foreign_settings(optimizer["name"])
    return {key: value for key, value in optimizer.items() if key not in foreign}


def _describe(value: Any) -> str:
    if isinstance(value, dict):
        if value.get("name") == "none":
            return "none"
        parts = [str(value["name"])] if value.get("name") else []
        parts += [
            _words(key) if inner is True else f"{_words(key)} {_describe(inner)}"
            for key, inner in value.items()
            if key != "name" and inner not in (None, False, 0, [])
        ]
        return " · ".join(parts) or MISSING
    if isinstance(value, (list, tuple)):
        return ", ".join(_describe(part) for part in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _words(key: str) -> str:
    return {"n_critic": "D steps per G step"}.get(key, key.replace("_", " "))


def _lineage(*manifests: Manifest | None) -> list[tuple[str, str, str]]:
    """(asset, short fingerprint, date) from the shards to the evaluation, as far as they are known."""
    trained = manifests[0]
    shards = trained.inputs.get("image_shards") if trained else None
    chain = [("image_shards", shards[:12] if shards else MISSING, "")]
    for asset, manifest in zip(("trained_gan", "samples", "evaluation"), manifests, strict=True):
        if manifest:
            chain.append((asset, manifest.fingerprint[:12], _date(manifest.created_at)))
        else:
            chain.append((asset, MISSING, ""))
    return chain


def _dataset_view(artefacts: Artefacts, dataset: Dataset) -> DatasetView:
    channels = "greyscale" if dataset.channels == 1 else "colour"
    rows = [
        ("Images", f"{dataset.image_size} × {dataset.image_size} pixels, {channels}"),
        ("What it is", dataset.description or MISSING),
        ("Crop", _words(dataset.crop)),
    ]
    classifier = artefacts.classifiers.get(dataset.name)
    reference = artefacts.references.get(dataset.name)
    if classifier:
        accuracy = write_figure("class_accuracy", classifier.figures.get("accuracy_test"))
        task = _words(str(classifier.details.get("task", "")))
        rows.append(("Classifier", f"{accuracy} right on test images{f', task: {task}' if task else ''}"))
    else:
        rows.append(("Classifier", "not trained"))
    for label, manifest in (("classifier", classifier), ("reference statistics", reference)):
        text = f"{manifest.fingerprint[:12]}, {_date(manifest.created_at)}" if manifest else MISSING
        rows.append((f"Fingerprint of {label}", text))
    return DatasetView(dataset.name, rows)


# --- pictures ---------------------------------------------------------------------------------------------


def _stored_picture(store: Store, manifest: Manifest | None, name: str) -> Picture | None:
    if manifest is None or name not in manifest.files:
        return None
    path = store.local(manifest, name)
    with Image.open(path) as image:
        width = image.width
        content, kind = path.read_bytes(), "png"
        if len(content) > MAX_PICTURE_BYTES:
            content, kind = _shrunk(image), "webp"
    factor = max(1, PICTURE_WIDTH // width)
    return Picture(_inline(content, f"image/{kind}"), width * factor, enlarged=factor > 1)


def _shrunk(image: Image.Image) -> bytes:
    smaller = image.convert("RGB")
    smaller.thumbnail(MAX_PICTURE_SIZE, Image.Resampling.LANCZOS)
    output = io.BytesIO()
    smaller.save(output, "WEBP", quality=82, method=4)
    return output.getvalue()


def _curves(store: Store, trained: Manifest) -> list[tuple[str, Picture]]:
    """(title, picture) of every curve that there are rows for."""
    history, evaluations = read_curves(store, trained)
    return [
        (panel.title, _svg_picture(svg(panel_figure(panel, history, evaluations)), 480))
        for panel in panels_of(history, evaluations)
    ]


def _svg_picture(content: bytes, width: int) -> Picture:
    return Picture(_inline(content, "image/svg+xml"), width)


def _inline(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


# --- small things -----------------------------------------------------------------------------------------


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _with_code
    return environment.get_template("template.html")


def _with_code(text: str) -> Markup:
    """Escaped text with what stands between backticks as code."""
    parts = [
        Markup("<code>{}</code>" if i % 2 else "{}").format(part) for i, part in enumerate(text.split("`"))
    ]
    return Markup("").join(parts)


def _configured(manifests: dict[str, Manifest], configured: dict[str, Any]) -> dict[str, Manifest]:
    return {name: manifests[name] for name in sorted(manifests) if name in configured}


def _first(values) -> Any:
    return next((value for value in values if not is_missing(value)), None)


def _date(created_at: str) -> str:
    """`2026-01-31T12:00:00+00:00` as `2026-01-31 12:00 UTC`; manifests are always in UTC."""
    return f"{created_at[:10]} {created_at[11:16]} UTC" if created_at else MISSING


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else format_seconds(seconds)
