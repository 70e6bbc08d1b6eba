"""A page for each dataset, and their list."""

from collections.abc import Iterator

from gan_core.report.page import Page
from gan_core.report.pages import page_kind
from gan_core.report.site import Site, versions
from gan_core.report.views.dataset import dataset_view


@page_kind("datasets", title="Datasets", position=30)
def pages(site: Site) -> Iterator[Page]:
    names = shown_datasets(site)
    described = {name: site.configs.datasets[name].description for name in names}
    yield site.page(
        "datasets.html", "datasets.html", "Datasets", {"datasets": described}, lambda: {"datasets": described}
    )
    for name in names:
        yield _page(site, name)


def shown_datasets(site: Site) -> list[str]:
    """The datasets of which anything was made, or that an experiment shown is of."""
    used = {
        site.configs.experiments[member].dataset for group in site.groups.values() for member in group.members
    }
    return [
        name
        for name in sorted(site.configs.datasets)
        if name in used or site.artefacts.of_partition("datasets", name)
    ]


def dataset_path(name: str) -> str:
    return f"datasets/{name}.html"


def _page(site: Site, name: str) -> Page:
    dataset, artefacts = site.configs.datasets[name], site.artefacts
    made_from = {
        "dataset": dataset.model_dump(mode="json"),
        "artefacts": versions(artefacts.of_partition("datasets", name)),
        "unreadable": {
            place: reason for place, reason in artefacts.unreadable.items() if place.endswith(f"/{name}")
        },
    }
    return site.page(
        dataset_path(name),
        "dataset.html",
        name,
        made_from,
        lambda: {"item": dataset_view(artefacts, dataset)},
    )
