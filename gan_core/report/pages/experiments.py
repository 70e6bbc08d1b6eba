"""A page for each group of experiments, its seeds one below the other."""

from collections.abc import Iterator
from typing import Any

from gan_core.leaderboard.verdicts import NOT_RECORDED
from gan_core.report.artefacts import OF_A_RESULT
from gan_core.report.page import Page
from gan_core.report.pages import page_kind
from gan_core.report.site import Group, Site, experiment_path, versions
from gan_core.report.views.analyses import analyses_view
from gan_core.report.views.experiment import experiment_view


@page_kind("experiments")
def pages(site: Site) -> Iterator[Page]:
    for group in site.groups.values():
        path = experiment_path(group.name)
        yield site.page(path, "experiments.html", group.name, _made_from(site, group), _viewer(site, group))


def _viewer(site: Site, group: Group):
    return lambda: group_view(site, group)


def group_view(site: Site, group: Group) -> dict[str, Any]:
    """What the template of a group gets."""
    artefacts = site.artefacts
    return {
        "group": group,
        "not_recorded": NOT_RECORDED,
        "experiments": [
            experiment_view(site.store, artefacts, site.configs.experiments[name]) for name in group.members
        ],
        "analyses": {
            name: analyses_view(site.store, artefacts.of("analysis", name), artefacts.of("trained_gan", name))
            for name in group.members
        },
    }


def _made_from(site: Site, group: Group) -> dict[str, Any]:
    artefacts = site.artefacts
    return {
        "members": {
            name: {
                "experiment": site.configs.experiments[name].model_dump(mode="json"),
                "artefacts": versions(artefacts.of_partition("experiments", name)),
                "unreadable": [artefacts.problem(asset, name) for asset in OF_A_RESULT],
                "ranked": artefacts.leaderboard.inputs.get(f"evaluation/{name}"),
            }
            for name in group.members
        }
    }
