"""Samples from elsewhere, as their page shows them."""

from dataclasses import dataclass, field

from gan_core.errors import DamagedError, StoreError
from gan_core.evaluation.evidence import pictures_of
from gan_core.evaluation.figures import count
from gan_core.evaluation.metrics import METRICS
from gan_core.leaderboard.verdicts import verdict_level, verdict_text
from gan_core.report.charts import Chart
from gan_core.report.site import Site, dataset_path
from gan_core.report.views.experiments.classes import shares_chart
from gan_core.report.views.experiments.figures import KeyFigure, Measured, key_figures, measured
from gan_core.report.views.experiments.lineage import Link, lineage
from gan_core.report.views.experiments.run import PictureBehind, picture_title
from gan_core.report.views.pictures import Picture, stored_picture
from gan_core.report.views.table import Badge
from gan_core.store import Manifest
from gan_core.store.reading import reading


@dataclass(frozen=True)
class ExternalView:
    """Images that nobody here trained a generator for. `notes`: what was noticed when they were measured."""

    name: str
    description: str
    dataset: str
    dataset_page: str
    source: str
    images: str
    verdict: Badge | None = None
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    key_figures: list[KeyFigure] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    behind: list[PictureBehind] = field(default_factory=list)
    shares: Chart | None = None
    real: Picture | None = None
    lineage: list[Link] = field(default_factory=list)


def external_view(site: Site, evaluation: Manifest, dataset: str) -> ExternalView:
    """The page of one row; what cannot be read is said on it."""
    plain = {
        "name": evaluation.partition,
        "description": str(evaluation.config.get("description", "")),
        "dataset": dataset,
        "dataset_page": dataset_path(dataset),
        "source": str(evaluation.config.get("source", "")),
        "images": count(evaluation.config.get("samples", 0)),
    }
    try:
        with reading(f"{evaluation.asset}/{evaluation.partition}"):
            return _whole_view(site, evaluation, dataset, plain)
    except (DamagedError, StoreError) as error:
        return ExternalView(**plain, problems=[str(error)])


def _whole_view(site: Site, evaluation: Manifest, dataset: str, plain: dict[str, str]) -> ExternalView:
    store = site.store
    text = verdict_text(None, evaluation)
    shards = site.artefacts.of("image_shards", dataset)
    classes = [str(name) for name in (shards.details.get("classes") if shards else None) or ()]
    left_out = evaluation.details.get("left_out", [])
    return ExternalView(
        **plain,
        verdict=Badge(text, verdict_level(text)),
        notes=[
            *evaluation.details.get("warnings", []),
            *(f"left out, as it could not be read: {name}" for name in left_out),
        ],
        key_figures=key_figures({"": evaluation}),
        measured=measured([evaluation]),
        behind=[
            PictureBehind(METRICS[metric].question, picture_title(METRICS[metric]), picture)
            for metric, file in pictures_of(evaluation).items()
            if (picture := stored_picture(store, evaluation, file))
        ],
        shares=shares_chart(store, [evaluation], classes),
        real=site.real_images.sheet(shards),
        lineage=lineage(store, dataset, [evaluation]),
    )
