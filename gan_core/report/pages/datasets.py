"""A page for each dataset, and their list."""

from collections.abc import Iterator
from typing import Any

from gan_core.errors import StoreError
from gan_core.report.page import Page
from gan_core.report.pages import page_kind
from gan_core.report.site import Site, dataset_path, experiment_path, versions
from gan_core.report.views.dataset import dataset_view
from gan_core.report.views.pictures import Picture


@page_kind("datasets", title="Datasets", position=30)
def pages(site: Site) -> Iterator[Page]:
    names = shown_datasets(site)
    made_from = {
        "datasets": {name: site.configs.datasets[name].description for name in names},
        "shards": {name: _shards(site, name) for name in names},
        "experiments": {name: len(_experiments(site, name)) for name in names},
    }
    yield site.page(
        "datasets.html",
        "datasets/list.html",
        "Datasets",
        made_from,
        lambda: {"datasets": [_entry(site, name) for name in names]},
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


def _page(site: Site, name: str) -> Page:
    dataset, artefacts = site.configs.datasets[name], site.artefacts
    experiments = _experiments(site, name)
    made_from = {
        "dataset": dataset.model_dump(mode="json"),
        "artefacts": versions(artefacts.of_partition("datasets", name)),
        "unreadable": {
            place: reason for place, reason in artefacts.unreadable.items() if place.endswith(f"/{name}")
        },
        "experiments": experiments,
    }
    return site.page(
        dataset_path(name),
        "datasets/dataset.html",
        name,
        made_from,
        lambda: {"item": dataset_view(site, dataset, experiments)},
    )


def _experiments(site: Site, name: str) -> list[tuple[str, str]]:
    """(group, its page) of the experiments shown that are of a dataset, by name."""
    groups = (
        group.name
        for group in site.groups.values()
        if site.configs.experiments[group.members[0]].dataset == name
    )
    return [(group, experiment_path(group)) for group in sorted(groups)]


def _shards(site: Site, name: str) -> list[str] | None:
    shards = site.artefacts.of("image_shards", name)
    return shards and [shards.version, shards.created_at]


def _entry(site: Site, name: str) -> dict[str, Any]:
    dataset, shards = site.configs.datasets[name], site.artefacts.of("image_shards", name)
    return {
        "name": name,
        "path": dataset_path(name),
        "description": dataset.description,
        "size": dataset.image_size,
        "images": shards and shards.figures.get("images_train"),
        "experiments": len(_experiments(site, name)),
        "picture": _thumbnail(site, name),
    }


def _thumbnail(site: Site, name: str) -> Picture | None:
    """None too where the shards cannot be read, which the dataset's own page says."""
    try:
        return site.real_images.thumbnail(site.artefacts.of("image_shards", name))
    except StoreError:
        return None
