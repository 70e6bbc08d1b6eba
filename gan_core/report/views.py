"""What the report shows, read from manifests: tables of what compares, experiments, datasets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas
from pydantic import BaseModel

from gan_core.config import Dataset, Experiment, config_changes, foreign_settings
from gan_core.errors import DamagedError, StoreError
from gan_core.evaluation.evidence import pictures_of
from gan_core.evaluation.extractors import EXTRACTORS
from gan_core.evaluation.figures import FIGURES, MISSING, figure_of, is_missing, percent, write_figure
from gan_core.evaluation.judging.verdicts import STOPPED
from gan_core.evaluation.metrics import METRICS, Metric, interval_names, metric_of_figure
from gan_core.leaderboard.folding import RANKED_BY
from gan_core.leaderboard.tables import interval_text, shown_figures, with_interval
from gan_core.leaderboard.verdicts import (
    Level,
    course,
    finding_figure,
    finding_title,
    findings,
    verdict_level,
    verdict_text,
)
from gan_core.objectives import objective_name
from gan_core.progress import format_seconds
from gan_core.report.pictures import Picture, curves, stored_picture, svg_picture
from gan_core.report.plots import FidBar, fid_comparison_svg
from gan_core.store import Manifest, Store
from gan_core.store.provenance import commit_in_words
from gan_core.store.reading import reading

OF_AN_EXPERIMENT = ("trained_gan", "samples", "evaluation")


@dataclass(frozen=True)
class Artefacts:
    """The manifests that the page is made of: by experiment, then by dataset."""

    leaderboard: Manifest
    trained: dict[str, Manifest]
    samples: dict[str, Manifest]
    evaluations: dict[str, Manifest]
    references: dict[str, Manifest]
    classifiers: dict[str, Manifest]
    analyses: dict[str, Manifest] = field(default_factory=dict)
    """By experiment: what was looked at beside the figures."""

    unreadable: Mapping[str, str] = field(default_factory=dict)
    """By `<asset>/<partition>`, what is wrong with an artefact that is there."""
    answers: dict[str, Manifest] = field(default_factory=dict)
    """By question."""

    @property
    def started(self) -> set[str]:
        """Experiments of which there is anything to show, be it that something is damaged."""
        damaged = (name.partition("/") for name in self.unreadable)
        of_experiments = {name for asset, _, name in damaged if asset in OF_AN_EXPERIMENT}
        return set(self.trained) | set(self.samples) | set(self.evaluations) | of_experiments

    def inputs(self) -> dict[str, Manifest]:
        """All manifests, keyed `<asset>/<partition>`."""
        groups = (
            self.trained,
            self.samples,
            self.evaluations,
            self.references,
            self.classifiers,
            self.analyses,
            self.answers,
        )
        manifests = [self.leaderboard, *(item for group in groups for item in group.values())]
        return {f"{item.asset}/{item.partition}": item for item in manifests}


# --- what the template gets -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """One number of a table, `below` it its interval; `order` sorts it, empty where there is none."""

    text: str
    order: str = ""
    best: bool = False
    below: str = ""


@dataclass(frozen=True)
class Member:
    """One seed of a row: its name, its FID, whether it has a section of its own, why it is out of date."""

    name: str
    fid: str
    shown: bool
    stale: str | None


@dataclass(frozen=True)
class Group:
    """Experiments that may be compared: one dataset, one protocol."""

    dataset: str
    description: str
    protocol: str
    extractor: str | None  # where its figures do not compare with published ones
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
    problems: list[str]
    verdict: Badge | None = None
    course: list[str] = field(default_factory=list)
    findings: list[FindingView] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    training: list[tuple[str, str]] = field(default_factory=list)
    watched: bool = False
    settings: list[tuple[str, str]] = field(default_factory=list)
    lineage: list[tuple[str, str, str]] = field(default_factory=list)
    grid: Picture | None = None
    progress: Picture | None = None
    curves: list[tuple[str, Picture]] = field(default_factory=list)
    behind: list[tuple[str, Picture]] = field(default_factory=list)
    """Pictures that a metric draws, with what they show."""


@dataclass(frozen=True)
class DatasetView:
    """One dataset: what it is, and what measures it."""

    name: str
    rows: list[tuple[str, str]] = field(default_factory=list)


# --- tables of what compares ------------------------------------------------------------------------------

SPEED = ("images_seen", "images_per_second")


def group_view(
    artefacts: Artefacts,
    dataset: Dataset | None,
    name: str,
    protocol: str,
    frame: pandas.DataFrame,
    seeds: pandas.DataFrame,
) -> Group:
    """The table and the chart of the rows of one dataset and protocol; `seeds`: the table of seeds."""
    shown = [*shown_figures(frame, variants=True), *SPEED]
    rows = frame.to_dict("records")
    for row in rows:
        row["badge"] = Badge(row["verdict"], verdict_level(row["verdict"]))
        row["rank"] = MISSING if is_missing(row["rank"]) else int(row["rank"])
        row["members"] = _members(artefacts, row["members"].split(), seeds)
        stale = [f"{member.name}: {member.stale}" for member in row["members"] if member.stale]
        row["stale"] = "; ".join(stale)
    best = {column: _best(column, rows) for column in shown if column not in SPEED}
    floors = _floors(shown, rows)
    return Group(
        dataset=name,
        description=dataset.description if dataset else "",
        protocol=protocol,
        extractor=_incomparable_extractor(protocol),
        headings=[
            FIGURES[column].heading.replace(" ↓", "\u00a0↓").replace(" ↑", "\u00a0↑") for column in shown
        ],
        rows=[(row, [_cell(column, row, best.get(column)) for column in shown]) for row in rows],
        floor=[floors.get(column, "") for column in shown] if RANKED_BY in floors else None,
        chart=_fid_chart(rows),
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


def _members(artefacts: Artefacts, names: list[str], seeds: pandas.DataFrame) -> list[Member]:
    """The seeds behind a row, each with its own figure and where it is shown."""
    fids = dict(zip(seeds["experiment"], seeds[RANKED_BY], strict=True))
    stale = artefacts.leaderboard.details.get("stale", {})
    return [
        Member(
            name,
            write_figure(RANKED_BY, {RANKED_BY: fids.get(name)}),
            name in artefacts.started,
            stale.get(name),
        )
        for name in names
    ]


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


def _fid_chart(rows: list[dict[str, Any]]) -> Picture | None:
    bars = [
        FidBar(
            _chart_label(row),
            row["fid"],
            _first([row["fid_untrained"]]),
            tuple(None if is_missing(row[end]) else row[end] for end in interval_names(RANKED_BY)),
            best=row["rank"] == 1,
        )
        for row in rows
        if not is_missing(row["fid"])
    ]
    floor = _first(row["fid_floor"] for row in rows)
    return svg_picture(fid_comparison_svg(bars, floor), 760) if bars else None


def _chart_label(row: dict[str, Any]) -> str:
    stopped = row["badge"].level == "stopped"
    return f"{row['experiment']} {STOPPED}" if stopped else row["experiment"]


# --- experiments ------------------------------------------------------------------------------------------


def experiment_view(store: Store, artefacts: Artefacts, experiment: Experiment) -> ExperimentView:
    """The section of one experiment; where one of its manifests was edited, that and what to do."""
    try:
        with reading(f"experiment {experiment.name}"):
            return _whole_view(store, artefacts, experiment)
    except DamagedError as error:
        return ExperimentView(
            experiment.name, experiment.description, status="damaged", problems=[str(error)]
        )


def _whole_view(store: Store, artefacts: Artefacts, experiment: Experiment) -> ExperimentView:
    name = experiment.name
    trained, samples = artefacts.trained.get(name), artefacts.samples.get(name)
    evaluation = artefacts.evaluations.get(name)
    damaged = [
        artefacts.unreadable[f"{asset}/{name}"]
        for asset in OF_AN_EXPERIMENT
        if f"{asset}/{name}" in artefacts.unreadable
    ]
    problems = _problems(artefacts, experiment)

    def shown(draw: Callable[..., Any], *of: Any) -> Any:
        """A picture; None, and one more problem, where its file is missing or damaged."""
        try:
            return draw(store, *of)
        except StoreError as error:
            damaged.append(str(error))
            return None

    grid = shown(stored_picture, samples, "grid.png")
    progress = shown(stored_picture, trained, "progress.png")
    drawn = shown(curves, trained) if trained else None
    pictures = [
        (_picture_title(METRICS[metric]), shown(stored_picture, evaluation, file))
        for metric, file in (pictures_of(evaluation) if evaluation else {}).items()
    ]
    # Only an evaluation of this very training says whether it learned anything.
    judged = evaluation if _is_of(evaluation, samples, trained) else None
    return ExperimentView(
        name=name,
        description=experiment.description,
        status="damaged" if damaged else _status(trained, evaluation, problems),
        verdict=_badge(trained, judged) if trained else None,
        course=course(trained) if trained else [],
        findings=[_finding_view(finding) for finding in findings(trained, judged)] if trained else [],
        problems=[*problems, *damaged],
        measured=_measured(evaluation) if evaluation else [],
        training=_training_rows(trained) if trained else [],
        watched=trained is not None and not is_missing(trained.figures.get("fid_in_training")),
        settings=_settings(trained.config if trained else experiment.training_config()),
        lineage=_lineage(trained, samples, evaluation),
        grid=grid,
        progress=progress,
        curves=drawn or [],
        behind=[(title, picture) for title, picture in pictures if picture],
    )


def _picture_title(metric: Metric) -> str:
    return metric.picture_title or metric.figures[metric.main].label


def _is_of(evaluation: Manifest | None, samples: Manifest | None, trained: Manifest | None) -> bool:
    """Whether an evaluation is of these samples, and those are of this training."""
    if not (evaluation and samples and trained):
        return False
    return (
        evaluation.input_versions.get("samples") == samples.version
        and samples.input_versions.get("trained_gan") == trained.version
    )


def _is_from(manifest: Manifest, **inputs: Manifest) -> bool:
    """Whether it was made from these, as far as it says."""
    return all(
        manifest.input_versions.get(name, given.version) == given.version for name, given in inputs.items()
    )


def _problems(artefacts: Artefacts, experiment: Experiment) -> list[str]:
    """Missing and outdated steps of one experiment, each with what to do."""
    name = experiment.name
    trained, samples = artefacts.trained.get(name), artefacts.samples.get(name)
    evaluation = artefacts.evaluations.get(name)
    found = []

    def lacks(asset: str, manifest: Manifest | None) -> bool:
        return manifest is None and f"{asset}/{name}" not in artefacts.unreadable

    if lacks("trained_gan", trained):
        found.append("Its training is not in the store: train it.")
    elif trained and (changes := config_changes(trained.config, experiment)):
        found.append(f"Trained with an earlier configuration ({'; '.join(changes)}): train it again.")
    if lacks("samples", samples):
        found.append("No samples were drawn yet: draw them.")
    elif (
        trained and samples and samples.input_versions.get("trained_gan", trained.version) != trained.version
    ):
        found.append("The samples come from an earlier training: draw them again.")
    if evaluation is None:
        found.append("Not evaluated yet, so not on the leaderboard: evaluate it.")
        return found
    if samples and not _is_from(evaluation, samples=samples):
        found.append("The figures are of earlier samples: evaluate it again.")
    if artefacts.leaderboard.inputs.get(f"evaluation/{name}") != evaluation.fingerprint:
        found.append("Evaluated after the leaderboard was made: make the leaderboard again.")
    return found


def _badge(trained: Manifest, evaluation: Manifest | None) -> Badge:
    text = verdict_text(trained, evaluation)
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
    """(heading, text) of every figure that was to be measured; spread and interval stand behind it, and a
    variant that does not apply is left out."""
    behind = {FIGURES[name].spread for name in _metric_figures()}
    behind |= {end for metric in METRICS.values() for end in metric.bounds}
    return [
        (FIGURES[name].heading, with_interval(name, figures))
        for name in _metric_figures()
        if name in figures and name not in behind and not _is_empty_variant(name, figures)
    ]


def _is_empty_variant(name: str, figures: dict[str, Any]) -> bool:
    return name not in metric_of_figure(name).figures and is_missing(figures[name])


def _metric_figures() -> list[str]:
    return [figure for metric in METRICS.values() for figure in metric.all_figures]


def _measured(evaluation: Manifest) -> list[Measured]:
    """The leaderboard's extractor with all its figures, then any others with those that they have."""
    for name in evaluation.figures:
        figure_of(evaluation, name)
    extractors = evaluation.details.get("extractors", {})
    first = next(iter(extractors.values()), {})
    protocols = first.get("protocols") or {RANKED_BY: evaluation.details["protocol"]}
    measured = [Measured(None, _figure_rows(evaluation.figures), _protocol_rows(protocols))]
    for name, values in list(extractors.items())[1:]:
        rows = [row for row in _figure_rows(values) if row[1] != MISSING]
        protocols = values.get("protocols") or {RANKED_BY: values.get("protocol", MISSING)}
        measured.append(Measured(name, rows, _protocol_rows(protocols)))
    return measured


def _protocol_rows(protocols: dict[str, str]) -> list[tuple[str, str]]:
    """(protocol, labels of its figures), each protocol once, in the order of the figures."""
    labels: dict[str, list[str]] = {}
    for name in _metric_figures():
        if name in protocols and FIGURES[name].better is not None:
            labels.setdefault(protocols[name], []).append(FIGURES[name].label)
    return [(protocol, "; ".join(names)) for protocol, names in labels.items()]


def _training_rows(trained: Manifest) -> list[tuple[str, str]]:
    figures = trained.figures
    seconds = figures.get("seconds_training")
    parameters = figures.get("parameters_generator")
    watched = [
        (FIGURES[name].label, write_figure(name, figures))
        for name in ("fid_in_training", "fid_best", "images_seen_best", "diversity")
        if not is_missing(figures.get(name))
    ]
    return [
        ("Images seen", write_figure("images_seen", figures)),
        *watched,
        ("Images/s", write_figure("images_per_second", figures)),
        ("Time", MISSING if is_missing(seconds) else _duration(seconds)),
        ("Device", str(trained.details.get("device") or MISSING)),
        *_how_it_was_made(trained.provenance),
        ("Parameters of G", MISSING if is_missing(parameters) else f"{parameters:,}"),
    ]


def _how_it_was_made(provenance: dict[str, Any]) -> list[tuple[str, str]]:
    """Commit, packages and machine; nothing where an earlier version did not record them."""
    if not provenance:
        return []
    machine = provenance["machine"]
    parts = [
        machine["processor"],
        f"{machine['cores']} cores",
        f"{machine['memory_bytes'] / 2**30:.0f} GiB",
        *machine["gpus"],
        machine["system"],
    ]
    packages = (f"{name} {version}" for name, version in provenance["packages"].items())
    return [
        ("Commit", commit_in_words(provenance) or MISSING),
        ("Machine", ", ".join(part for part in parts if part)),
        ("Packages", ", ".join(packages)),
    ]


def _settings(config: dict[str, Any]) -> list[tuple[str, str]]:
    """The configuration in words, one row per section; what is switched off is left out, a number is not."""
    rows = []
    for key, value in config.items():
        if key == "optimizers":
            rows += [(f"{_words(network)} optimizer", _describe(_own(of))) for network, of in value.items()]
        elif key == "objective":
            rows.append(("objective", _describe({**value, "name": objective_name(value)})))
        elif isinstance(value, dict):
            rows.append((_words(key), _describe(value, _defaults(key))))
        elif not (value is None or value is False or value == []):
            rows.append((_words(key), _describe(value)))
    return [(label[0].upper() + label[1:], value) for label, value in rows]


def _own(optimizer: dict[str, Any]) -> dict[str, Any]:
    """An optimiser's settings without those that only another one reads."""
    foreign = foreign_settings(optimizer["name"])
    return {key: value for key, value in optimizer.items() if key not in foreign}


def _defaults(section: str) -> dict[str, Any]:
    """The values of a section that is not given."""
    default = Experiment.model_fields[section].default if section in Experiment.model_fields else None
    return default.model_dump(mode="json") if isinstance(default, BaseModel) else {}


def _describe(value: Any, defaults: dict[str, Any] | None = None) -> str:
    """A value in words; of a section, what is 0, empty or false is left out where it is so by default."""
    if isinstance(value, dict):
        if value.get("name") == "none":
            return "none"
        parts = [str(value["name"])] if value.get("name") else []
        parts += [
            _words(key) if inner is True else f"{_words(key)} {_describe(inner)}"
            for key, inner in value.items()
            if key != "name" and (inner or (defaults or {}).get(key))
        ]
        return " · ".join(parts) or MISSING
    if isinstance(value, (list, tuple)):
        return ", ".join(_describe(part) for part in value) or "none"
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
            chain.append((asset, manifest.fingerprint[:12], date_in_words(manifest.created_at)))
        else:
            chain.append((asset, MISSING, ""))
    return chain


# --- datasets and small things ----------------------------------------------------------------------------


def dataset_view(artefacts: Artefacts, dataset: Dataset) -> DatasetView:
    channels = "greyscale" if dataset.channels == 1 else "colour"
    rows = [
        ("Images", f"{dataset.image_size} × {dataset.image_size} pixels, {channels}"),
        ("What it is", dataset.description or MISSING),
        ("Crop", _words(dataset.crop)),
    ]
    classifier = artefacts.classifiers.get(dataset.name)
    reference = artefacts.references.get(dataset.name)
    if classifier:
        accuracy = classifier.figures.get("accuracy_test")
        accuracy = MISSING if is_missing(accuracy) else percent(accuracy)
        task = _words(str(classifier.details.get("task", "")))
        rows.append(("Classifier", f"{accuracy} right on test images{f', task: {task}' if task else ''}"))
    elif f"classifier/{dataset.name}" not in artefacts.unreadable:
        rows.append(("Classifier", "not trained"))
    for label, manifest in (("classifier", classifier), ("reference statistics", reference)):
        text = f"{manifest.fingerprint[:12]}, {date_in_words(manifest.created_at)}" if manifest else MISSING
        rows.append((f"Fingerprint of {label}", text))
    rows += [
        (f"Damaged: {name.partition('/')[0]}", reason)
        for name, reason in sorted(artefacts.unreadable.items())
        if name.partition("/")[0] not in OF_AN_EXPERIMENT and name.partition("/")[2] == dataset.name
    ]
    return DatasetView(dataset.name, rows)


def date_in_words(created_at: str) -> str:
    """`2026-01-31T12:00:00+00:00` as `2026-01-31 12:00 UTC`; manifests are always in UTC."""
    return f"{created_at[:10]} {created_at[11:16]} UTC" if created_at else MISSING


def _first(values) -> Any:
    return next((value for value in values if not is_missing(value)), None)


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else format_seconds(seconds)
