"""A group of experiments that differ in their seed only, as its page shows it."""

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from gan_core.errors import DamagedError, StoreError
from gan_core.evaluation.figures import MISSING
from gan_core.objectives import objective_name
from gan_core.report.charts import Chart
from gan_core.report.site import Group, Site, dataset_path
from gan_core.report.views.experiments.classes import ConfusionView, confusion_view, shares_chart
from gan_core.report.views.experiments.figures import (
    KeyFigure,
    Measured,
    by_protocol,
    key_figures,
    measured,
)
from gan_core.report.views.experiments.lineage import Link, lineage, surroundings
from gan_core.report.views.experiments.recipe import Recipe, recipe
from gan_core.report.views.experiments.run import RunView, run_view
from gan_core.report.views.experiments.training import training_charts
from gan_core.report.views.pictures import Picture
from gan_core.store import Manifest, Store
from gan_core.store.reading import reading


@dataclass(frozen=True)
class Evaluated:
    """What was measured of some seeds (`runs`: their labels) by one `protocol`."""

    protocol: str
    runs: list[str]
    key_figures: list[KeyFigure] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    confusion: ConfusionView | None = None
    shares: Chart | None = None


@dataclass(frozen=True)
class GroupView:
    """The page of a group. `kind`: (what, value) that say what it is; `dataset_page` where its dataset is
    shown. `evaluated`: by protocol. `training` has a row (label, a value each run); `problems` are those
    that no single run has. `other_names`: (a name, that of the same training whose figures count)."""

    name: str
    description: str
    kind: list[tuple[str, str]]
    dataset_page: str
    runs: list[RunView]
    problems: list[str]
    other_names: list[tuple[str, str]] = field(default_factory=list)
    evaluated: list[Evaluated] = field(default_factory=list)
    real: Picture | None = None
    curves: list[Chart] = field(default_factory=list)
    training: list[tuple[str, list[str]]] = field(default_factory=list)
    recipe: Recipe | None = None
    lineage: list[Link] = field(default_factory=list)
    surroundings: list[tuple[str, str]] = field(default_factory=list)

    @property
    def states(self) -> list[tuple[str, RunView]]:
        """What is to be said of the runs: (labels, one of them), those of which the same is to be said
        together."""
        found: dict[str, tuple[list[str], RunView]] = {}
        for run in self.runs:
            said = repr((run.status, run.problems, run.verdict, run.course, run.findings))
            found.setdefault(said, ([], run))[0].append(run.label)
        return [(", ".join(labels), run) for labels, run in found.values()]

    @property
    def several(self) -> bool:
        """Whether there is more than one seed."""
        return len(self.runs) > 1


class _Problems:
    """What could not be shown, in the order in which it was tried."""

    def __init__(self):
        self.found: list[str] = []

    def without(self, make: Callable[[], Any], instead: Any = None, *, manifests_of: str = "") -> Any:
        """What is made, or `instead` and one more problem; of what only reads the manifests of something."""
        try:
            with reading(manifests_of) if manifests_of else contextlib.nullcontext():
                return make()
        except (DamagedError, StoreError) as error:
            if str(error) not in self.found:
                self.found.append(str(error))
            return instead


def group_view(site: Site, group: Group) -> GroupView:
    """Everything that there is of a group; what cannot be read is said on it."""
    store, artefacts = site.store, site.artefacts
    experiments = {name: site.configs.experiments[name] for name in group.members}
    first = experiments[group.members[0]]
    other_names = site.other_names(group.members)
    runs = [
        run_view(store, artefacts, item, f"seed {item.seed}, as {name}" if name in other_names else "")
        for name, item in experiments.items()
    ]
    # Of a run with an edited manifest nothing else is to be trusted; of one training one name counts.
    readable = [run for run in runs if not run.is_edited]
    again = site.other_names(run.name for run in readable)
    counted = [run for run in readable if run.name not in again]
    whole = {run.name: run.label for run in counted}
    manifests = {asset: _by_label(site, asset, whole) for asset in ("trained_gan", "samples", "evaluation")}
    trained, evaluations = manifests["trained_gan"], manifests["evaluation"]
    shards = artefacts.of("image_shards", first.dataset)
    names = [str(name) for name in (shards.details.get("classes") if shards else None) or ()]
    problems = _Problems()
    what = f"experiment {group.name}"
    view = GroupView(
        name=group.name,
        description=first.description,
        kind=_kind(site, group),
        dataset_page=dataset_path(first.dataset),
        runs=runs,
        problems=problems.found,
        other_names=list(other_names.items()),
        evaluated=[
            _evaluated(store, part, len(counted), names, problems, what)
            for part in problems.without(lambda: by_protocol(evaluations), [], manifests_of=what)
        ],
        real=problems.without(lambda: site.real_images.sheet(shards, _classes_of_grid(manifests["samples"]))),
        curves=training_charts(
            {run.label: run.tables for run in counted if run.tables}, several=len(counted) > 1
        ),
        training=_training(runs),
        recipe=problems.without(
            lambda: recipe(
                group.name,
                [item for name, item in experiments.items() if name not in other_names],
                _by_name(site, whole),
            ),
            manifests_of=what,
        )
        if whole
        else None,
        lineage=lineage(store, first.dataset, [item for of in manifests.values() for item in of.values()]),
        surroundings=problems.without(lambda: surroundings(trained.values()), [], manifests_of=what),
    )
    said = {problem for run in runs for problem in run.problems}
    problems.found[:] = [problem for problem in problems.found if problem not in said]
    return view


def _evaluated(
    store: Store,
    evaluations: dict[str, Manifest],
    seeds: int,
    classes: list[str],
    problems: _Problems,
    what: str,
) -> Evaluated:
    """`evaluations`: by the label of their run, of one protocol, and of some of so many `seeds`."""
    all_of_them = list(evaluations.values())
    return Evaluated(
        protocol=all_of_them[0].details["protocol"],
        runs=list(evaluations),
        key_figures=problems.without(lambda: key_figures(evaluations, seeds), [], manifests_of=what),
        measured=problems.without(lambda: measured(all_of_them, seeds), [], manifests_of=what),
        confusion=problems.without(lambda: confusion_view(store, all_of_them, classes)),
        shares=problems.without(lambda: shares_chart(store, all_of_them, classes)),
    )


def _by_label(site: Site, asset: str, labels: dict[str, str]) -> dict[str, Any]:
    found = {label: site.artefacts.of(asset, name) for name, label in labels.items()}
    return {label: manifest for label, manifest in found.items() if manifest}


def _by_name(site: Site, names: Iterable[str]) -> dict[str, Manifest]:
    return {name: trained for name in names if (trained := site.artefacts.of("trained_gan", name))}


def _classes_of_grid(samples: dict[str, Any]) -> list[int]:
    return next(iter(samples.values())).details.get("grid_classes", []) if samples else []


def _kind(site: Site, group: Group) -> list[tuple[str, str]]:
    first = site.configs.experiments[group.members[0]]
    conditioning = first.conditioning.name
    seeds = list(dict.fromkeys(str(site.configs.experiments[name].seed) for name in group.members))
    return [
        ("architecture", first.architecture.name),
        ("objective", objective_name(first.objective.model_dump(mode="json"))),
        ("conditioning", "unconditional" if conditioning == "none" else conditioning),
        ("seed" if len(seeds) == 1 else "seeds", ", ".join(seeds)),
    ]


def _training(runs: list[RunView]) -> list[tuple[str, list[str]]]:
    """(label, a text each run) of whatever one of them has."""
    labels = dict.fromkeys(label for run in runs for label, _ in run.training)
    return [(label, [dict(run.training).get(label, MISSING) for run in runs]) for label in labels]
