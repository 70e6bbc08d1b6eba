"""A page for each group of experiments, its seeds side by side, and one for samples from elsewhere."""

from collections.abc import Iterator
from typing import Any

from gan_core.report.artefacts import OF_A_RESULT
from gan_core.report.page import Page
from gan_core.report.pages import page_kind
from gan_core.report.site import Group, Site, experiment_path, external_path, play_path, versions
from gan_core.report.views.experiments.external import external_view
from gan_core.report.views.experiments.group import group_view


@page_kind("experiments")
def pages(site: Site) -> Iterator[Page]:
    for group in site.groups.values():
        yield _page(site, group)
    for name in site.artefacts.external:
        yield _external_page(site, name)


def _page(site: Site, group: Group) -> Page:
    play = next((play_path(name) for name in group.members if name in site.played), None)
    return site.page(
        experiment_path(group.name),
        "experiments/group.html",
        group.name,
        {**_made_from(site, group), "play": play},
        lambda: {"item": group_view(site, group), "play": play},
    )


def _external_page(site: Site, name: str) -> Page:
    evaluation = site.artefacts.external[name]
    dataset = str(evaluation.config.get("dataset", ""))
    made_from = {"evaluation": versions({name: evaluation}), "dataset": _of_dataset(site, dataset)}
    return site.page(
        external_path(name),
        "experiments/external.html",
        name,
        made_from,
        lambda: {"item": external_view(site, evaluation, dataset)},
    )


def _made_from(site: Site, group: Group) -> dict[str, Any]:
    artefacts = site.artefacts
    return {
        "dataset": _of_dataset(site, site.configs.experiments[group.members[0]].dataset),
        "members": {
            name: {
                "experiment": site.configs.experiments[name].model_dump(mode="json"),
                "artefacts": versions(artefacts.of_partition("experiments", name)),
                "unreadable": [artefacts.problem(asset, name) for asset in OF_A_RESULT],
                "ranked": artefacts.leaderboard.inputs.get(f"evaluation/{name}"),
            }
            for name in group.members
        },
    }


def _of_dataset(site: Site, dataset: str) -> dict[str, list[str]]:
    """Of its artefacts there are real images, the classes' names and the lineage on a page."""
    return versions(site.artefacts.of_partition("datasets", dataset))
