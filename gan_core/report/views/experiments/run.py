"""One experiment of a group: what is wrong with it, its verdict, its pictures, how it was trained."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gan_core.config import Experiment, config_changes
from gan_core.errors import DamagedError, StoreError
from gan_core.evaluation.evidence import pictures_of
from gan_core.evaluation.figures import FIGURES, MISSING, is_missing, write_figure
from gan_core.evaluation.metrics import METRICS, Metric, Question
from gan_core.leaderboard.verdicts import (
    course,
    finding_figure,
    finding_title,
    findings,
    verdict_level,
    verdict_text,
)
from gan_core.report.artefacts import OF_A_RESULT, Artefacts
from gan_core.report.curves import read_curves
from gan_core.report.views.analyses import AnalysesView, analyses_view
from gan_core.report.views.experiments.figures import key_figures, measured
from gan_core.report.views.experiments.lineage import surroundings
from gan_core.report.views.experiments.training import StripView, Tables, strip_view
from gan_core.report.views.pictures import Picture, stored_picture
from gan_core.report.views.table import Badge
from gan_core.report.views.words import duration_in_words, settings_in_words
from gan_core.store import Manifest, Store
from gan_core.store.reading import reading


@dataclass(frozen=True)
class FindingView:
    """What one guard found: its name, what was seen, the figure behind it, and what usually helps."""

    title: str
    text: str
    figure: str
    keys: list[str]


@dataclass(frozen=True)
class PictureBehind:
    """What a metric draws: which question it belongs to, and what it shows."""

    question: Question
    title: str
    picture: Picture


@dataclass(frozen=True)
class RunView:
    """One experiment. `label`: what tells it from the others of its group. `course`: where a guard ended the
    run, and which generator was published. `tables`: its history and its evaluations. `is_edited`: one of its
    manifests was, so that nothing else of it can be shown."""

    name: str
    label: str
    status: str
    problems: list[str]
    verdict: Badge | None = None
    course: list[str] = field(default_factory=list)
    findings: list[FindingView] = field(default_factory=list)
    training: list[tuple[str, str]] = field(default_factory=list)
    grid: Picture | None = None
    strip: StripView | None = None
    behind: list[PictureBehind] = field(default_factory=list)
    analyses: AnalysesView | None = None
    tables: Tables | None = None
    is_edited: bool = False


def run_view(store: Store, artefacts: Artefacts, experiment: Experiment, label: str = "") -> RunView:
    """One experiment, labelled by its seed unless told otherwise; where one of its manifests was edited, that
    and what to do."""
    label = label or f"seed {experiment.seed}"
    try:
        with reading(f"experiment {experiment.name}"):
            return _whole_view(store, artefacts, experiment, label)
    except DamagedError as error:
        return RunView(experiment.name, label, status="damaged", problems=[str(error)], is_edited=True)


def _whole_view(store: Store, artefacts: Artefacts, experiment: Experiment, label: str) -> RunView:
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
    strip = shown(strip_view, trained)
    tables = shown(read_curves, trained) if trained else None
    _check(experiment, trained, evaluation)
    pictures = [
        (METRICS[metric], shown(stored_picture, evaluation, file))
        for metric, file in (pictures_of(evaluation) if evaluation else {}).items()
    ]
    # Only an evaluation of this very training says whether it learned anything.
    judged = evaluation if _is_of(evaluation, samples, trained) else None
    return RunView(
        name=name,
        label=label,
        status="damaged" if damaged else _status(trained, evaluation, problems),
        verdict=_badge(trained, judged) if trained else None,
        course=course(trained) if trained else [],
        findings=[_finding_view(finding) for finding in findings(trained, judged)] if trained else [],
        problems=[*problems, *damaged],
        training=training_rows(trained) if trained else [],
        grid=grid,
        strip=strip,
        behind=[
            PictureBehind(metric.question, picture_title(metric), picture)
            for metric, picture in pictures
            if picture
        ],
        analyses=analyses_view(store, artefacts.of("analysis", name), trained),
        tables=tables,
    )


def _check(experiment: Experiment, trained: Manifest | None, evaluation: Manifest | None) -> None:
    """Read what the page reads of all seeds together, so that a manifest that was edited is known to be this
    run's."""
    if evaluation:
        measured([evaluation])
        key_figures({"": evaluation})
    if trained:
        settings_in_words(trained.config)
        surroundings([trained])


def picture_title(metric: Metric) -> str:
    """What the picture of a metric shows."""
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


def training_rows(trained: Manifest) -> list[tuple[str, str]]:
    """What a training took, and what it measured of itself."""
    figures = trained.figures
    seconds, evaluating = (figures.get(name) for name in ("seconds_training", "seconds_evaluating"))
    watched = [
        (FIGURES[name].label, write_figure(name, figures))
        for name in ("fid_in_training", "fid_best", "images_seen_best", "diversity")
        if not is_missing(figures.get(name))
    ]
    parameters = [
        (f"Parameters of {network[0].upper()}", f"{count:,}")
        for network in ("generator", "discriminator")
        if not is_missing(count := figures.get(f"parameters_{network}"))
    ]
    return [
        ("Images seen", write_figure("images_seen", figures)),
        *watched,
        ("Images/s", write_figure("images_per_second", figures)),
        ("Time", MISSING if is_missing(seconds) else duration_in_words(seconds)),
        *(
            []
            if is_missing(evaluating)
            else [("of which in-training evaluation", duration_in_words(evaluating))]
        ),
        *parameters,
    ]
