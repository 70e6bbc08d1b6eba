"""The report as a whole: what all of its pages are made from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas

from gan_core.config import Configs
from gan_core.leaderboard.leaderboard import read_leaderboard, read_seeds
from gan_core.leaderboard.tables import leaderboard_groups
from gan_core.report.artefacts import Artefacts
from gan_core.report.page import Navigation, Page, render_page
from gan_core.report.views.real_images import RealImages
from gan_core.store import Manifest, Store

# So many rows of each table, the best first, have a page that draws in the browser: one takes seconds to make
# and 4 MB to hold.
PLAYED = 3


@dataclass(frozen=True)
class Group:
    """Experiments that differ in their seed only: one row of a table, one page. `members`: their names."""

    name: str
    members: tuple[str, ...]


@dataclass(frozen=True)
class Site:
    """The store, the configurations and the artefacts, with what several pages need of them."""

    store: Store
    configs: Configs
    artefacts: Artefacts
    navigation: Navigation = ()

    @cached_property
    def table(self) -> pandas.DataFrame:
        """The leaderboard."""
        return read_leaderboard(self.store, self.artefacts.leaderboard)

    @cached_property
    def seeds(self) -> pandas.DataFrame:
        """The table of seeds behind it."""
        return read_seeds(self.store, self.artefacts.leaderboard)

    @cached_property
    def row_of(self) -> dict[str, dict[str, Any]]:
        """By experiment, the row of the leaderboard that it is in."""
        rows = self.table.to_dict("records")
        return {member: row for row in rows for member in row["members"].split()}

    @cached_property
    def seed_rows(self) -> dict[str, dict[str, Any]]:
        """By experiment, its own row of the table of seeds."""
        return {row["experiment"]: row for row in self.seeds.to_dict("records")}

    def tables(self) -> Iterator[tuple[str, str, pandas.DataFrame]]:
        """(dataset, protocol, rows) of what may be compared."""
        return leaderboard_groups(self.table)

    @cached_property
    def groups(self) -> dict[str, Group]:
        """By name, best of each table first; then, each on its own, experiments that have no row."""
        found: dict[str, list[str]] = {}
        for name, members in zip(self.table["experiment"], self.table["members"], strict=True):
            shown = [member for member in members.split() if member in self.artefacts.started]
            if shown:
                found.setdefault(name, []).extend(shown)
        with_row = {member for members in found.values() for member in members}
        rest = sorted(self.artefacts.started - with_row)
        return {name: Group(name, tuple(members)) for name, members in found.items()} | {
            name: Group(name, (name,)) for name in rest
        }

    @cached_property
    def played(self) -> tuple[str, ...]:
        """Experiments whose generators draw in the browser: the first seed of each table's best rows."""
        best = self.table.groupby(["dataset", "protocol"], sort=False).head(PLAYED)["experiment"]
        first = [self.groups[name].members[0] for name in dict.fromkeys(best) if name in self.groups]
        return tuple(name for name in first if self.artefacts.of("trained_gan", name))

    @cached_property
    def _group_of(self) -> dict[str, str]:
        return {member: group.name for group in self.groups.values() for member in group.members}

    @cached_property
    def real_images(self) -> RealImages:
        """Pictures of the datasets' own images."""
        return RealImages(self.store)

    def other_names(self, members: Iterable[str]) -> dict[str, str]:
        """Of experiments that differ in their seed only, those whose seed another one had before: by name,
        that one. They are the same training under another name, which counts once."""
        first: dict[int, str] = {}
        found = {}
        for name in members:
            if name in self.configs.experiments:
                other = first.setdefault(self.configs.experiments[name].seed, name)
                found |= {name: other} if other != name else {}
        return found

    def row_path(self, name: str) -> str | None:
        """The page of a row of the leaderboard, be it of samples from elsewhere; None where there is none."""
        if name in self.groups:
            return experiment_path(name)
        return external_path(name) if name in self.artefacts.external else None

    def place(self, experiment: str) -> str | None:
        """Where an experiment is shown, below `STORE/report`; None where it is not."""
        group = self._group_of.get(experiment)
        return None if group is None else f"{experiment_path(group)}#{experiment}"

    def page(self, path: str, template: str, title: str, made_from: dict[str, Any], view) -> Page:
        """A page of this site; `view` gives what the template is filled with, and is called last."""
        return Page(
            path,
            {"navigation": self.navigation, "title": title, **made_from},
            lambda: render_page(template, title, self.navigation, path=path, site=self, **view()),
        )


def experiment_path(group: str) -> str:
    """The page of a group of experiments."""
    return f"experiments/{group}.html"


def play_path(experiment: str) -> str:
    """The page on which the generator of an experiment draws."""
    return f"play/{experiment}.html"


def external_path(name: str) -> str:
    """The page of samples from elsewhere."""
    return f"external/{name}.html"


def dataset_path(name: str) -> str:
    """The page of a dataset."""
    return f"datasets/{name}.html"


def versions(manifests: dict[str, Manifest]) -> dict[str, list[str]]:
    """What a page that shows these artefacts is made from: the date too, which also changes when one was made
    again with force."""
    return {f"{item.asset}/{item.partition}": [item.version, item.created_at] for item in manifests.values()}
