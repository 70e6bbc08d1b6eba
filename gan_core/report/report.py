"""The report: one HTML page with every experiment's samples, curves and figures, readable offline."""

import functools
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from gan_core.config import Configs
from gan_core.errors import StoreError
from gan_core.evaluation.figures import FIGURES, MISSING
from gan_core.evaluation.metrics import METRICS
from gan_core.leaderboard.leaderboard import NO_MANIFESTS, read_leaderboard, read_seeds
from gan_core.leaderboard.publishing import NOTHING, produce_table, prune
from gan_core.leaderboard.tables import leaderboard_groups
from gan_core.leaderboard.training_figures import TRAINING_FIGURES
from gan_core.leaderboard.verdicts import NOT_RECORDED
from gan_core.report.analyses import analyses_view
from gan_core.report.answers import AnswerView, answer_view, with_bold
from gan_core.report.views import (
    Artefacts,
    dataset_view,
    date_in_words,
    experiment_view,
    group_view,
)
from gan_core.store import Build, Manifest, Store
from gan_core.versions import CODE_VERSIONS

CODE_VERSION = CODE_VERSIONS["report"]
ASSET, PARTITION = "report", "all"
PAGE = "index.html"
# Figures of a training that the glossary explains; the others explain themselves beside these.
EXPLAINED = ("verdict", "fid_in_training", "diversity", "images_seen", "images_per_second")

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
    analyses: Mapping[str, Manifest] = NO_MANIFESTS,
    answers: Mapping[str, Manifest] = NO_MANIFESTS,
    unreadable: Mapping[str, str] = NOTHING,
    force: bool = False,
    emit: Callable[[str], None] = logger.info,
) -> Manifest:
    """Publish the report as `index.html`, and write it atomically to `STORE/report/index.html`.

    `trained`, `samples`, `evaluations` and `analyses` are keyed by experiment, `references` and `classifiers`
    by dataset, `answers` by question; any may be missing, and the page says so, or why it is `unreadable`
    (what `Store.all_current` calls damaged). What is no longer configured is left out. Dates on the page are
    those of the manifests, so the same inputs give the same bytes. Old versions of the artefact are removed.
    A picture or a history that is missing or does not match its manifest is a problem of its experiment's
    section, which says what to do.
    """
    artefacts = Artefacts(
        leaderboard,
        _configured(trained, configs.experiments),
        _configured(samples, configs.experiments),
        _configured(evaluations, configs.experiments),
        _configured(references, configs.datasets),
        _configured(classifiers, configs.datasets),
        _configured(analyses, configs.experiments),
        unreadable,
        _configured(answers, configs.questions),
    )
    inputs = artefacts.inputs()

    def build(work: Build) -> None:
        page = render_report(store, configs, artefacts)
        (work.folder / PAGE).write_bytes(page)
        work.figures = {"bytes": len(page), "experiments": len(artefacts.started)}

    manifest = produce_table(
        store,
        ASSET,
        PARTITION,
        # The dates stand on the page; they also change when an input was made again with `force`.
        config={
            "experiments": {name: item.model_dump(mode="json") for name, item in configs.experiments.items()},
            "datasets": {name: item.model_dump(mode="json") for name, item in configs.datasets.items()},
            "made": {name: item.created_at for name, item in inputs.items()},
            **({"unreadable": dict(unreadable)} if unreadable else {}),
        },
        inputs=inputs,
        code_version=CODE_VERSION,
        build=build,
        force=force,
    )
    path = store.write_atomically(f"{ASSET}/{PAGE}", store.local(manifest, PAGE).read_bytes())
    prune(store, manifest)
    emit(f"report: {len(artefacts.started):,} experiments, {path}")
    return manifest


def render_report(store: Store, configs: Configs, artefacts: Artefacts) -> bytes:
    """The page as UTF-8 HTML: no request leaves it, all pictures are inside."""
    frame = read_leaderboard(store, artefacts.leaderboard)
    seeds = read_seeds(store, artefacts.leaderboard)
    groups = [
        group_view(artefacts, configs.datasets.get(dataset), dataset, protocol, rows, seeds)
        for dataset, protocol, rows in leaderboard_groups(frame)
    ]
    members = [name for names in frame["members"] for name in names.split()]
    order = {name: position for position, name in enumerate(members)}
    started = sorted(artefacts.started, key=lambda name: (order.get(name, len(order)), name))
    experiments = [experiment_view(store, artefacts, configs.experiments[name]) for name in started]
    analyses = {
        name: analyses_view(store, artefacts.analyses.get(name), artefacts.trained.get(name))
        for name in started
    }
    answers = [_shown_answer(store, item) for item in artefacts.answers.values()]
    shown_datasets = sorted({configs.experiments[name].dataset for name in started})
    text = _template().render(
        groups=groups,
        answers=[item for item in answers if item],
        experiments=experiments,
        analyses=analyses,
        datasets=[dataset_view(artefacts, configs.datasets[name]) for name in shown_datasets],
        waiting=[
            (name, item.description or MISSING)
            for name, item in sorted(configs.experiments.items())
            if name not in started
        ],
        meanings=_meanings(frame),
        damaged=artefacts.leaderboard.details.get("damaged", {}),
        newest=date_in_words(max(item.created_at for item in artefacts.inputs().values())),
        leaderboard=artefacts.leaderboard,
        missing=MISSING,
        not_recorded=NOT_RECORDED,
    )
    return text.encode()


def _shown_answer(store: Store, answer: Manifest) -> AnswerView | None:
    """None for a damaged one, which is made again in a moment."""
    try:
        return answer_view(store, answer)
    except StoreError as error:
        logger.warning("%s: it is left out of the report", error)
        return None


def _meanings(frame) -> list[Any]:
    """The glossary: every figure of a metric that was measured and is explained, then the training's."""
    measured = [
        name
        for metric in METRICS.values()
        for name in metric.all_figures
        if not frame.empty and not frame[name].isna().all() and FIGURES[name].better is not None
    ]
    return [FIGURES[name] for name in measured] + [TRAINING_FIGURES[name] for name in EXPLAINED]


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _with_code
    environment.filters["bold"] = with_bold
    return environment.get_template("page.html")


def _with_code(text: str) -> Markup:
    """Escaped text with what stands between backticks as code."""
    parts = [
        Markup("<code>{}</code>" if i % 2 else "{}").format(part) for i, part in enumerate(text.split("`"))
    ]
    return Markup("").join(parts)


def _configured(manifests: Mapping[str, Manifest], configured: dict[str, Any]) -> dict[str, Manifest]:
    return {name: manifests[name] for name in sorted(manifests) if name in configured}
