"""What a page shows of one experiment, read from its manifests."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gan_core.config import Experiment, config_changes
from gan_core.errors import DamagedError, StoreError
from gan_core.evaluation.evidence import pictures_of
from gan_core.evaluation.figures import FIGURES, MISSING, figure_of, is_missing, write_figure
from gan_core.evaluation.metrics import METRICS, Metric, metric_of_figure
from gan_core.leaderboard.folding import RANKED_BY
from gan_core.leaderboard.tables import with_interval
from gan_core.leaderboard.verdicts import (
    course,
    finding_figure,
    finding_title,
    findings,
    verdict_level,
    verdict_text,
)
from gan_core.report.artefacts import OF_A_RESULT, Artefacts
from gan_core.report.charts import Chart
from gan_core.report.curves import training_charts
from gan_core.report.views.pictures import Picture, stored_picture
from gan_core.report.views.table import Badge
from gan_core.report.views.words import date_in_words, duration_in_words, settings_in_words
from gan_core.store import Manifest, Store
from gan_core.store.provenance import commit_in_words
from gan_core.store.reading import reading


@dataclass(frozen=True)
class Measured:
    """What one extractor found: (label, figure) rows, and (protocol, labels of the figures under it)."""

    extractor: str | None
    figures: list[tuple[str, str]]
    protocols: list[tuple[str, str]]


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
    curves: list[Chart] = field(default_factory=list)
    behind: list[tuple[str, Picture]] = field(default_factory=list)
    """Pictures that a metric draws, with what they show."""


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
    trained, samples = artefacts.of("trained_gan", name), artefacts.of("samples", name)
    evaluation = artefacts.of("evaluation", name)
    damaged = [problem for asset in OF_A_RESULT if (problem := artefacts.problem(asset, name))]
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
    drawn = shown(training_charts, trained) if trained else None
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
        settings=settings_in_words(trained.config if trained else experiment.training_config()),
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
    trained, samples = artefacts.of("trained_gan", name), artefacts.of("samples", name)
    evaluation = artefacts.of("evaluation", name)
    found = []

    def lacks(asset: str, manifest: Manifest | None) -> bool:
        return manifest is None and not artefacts.problem(asset, name)

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
        ("Time", MISSING if is_missing(seconds) else duration_in_words(seconds)),
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
