"""One file of a few experiments, to be sent to somebody: their table, their curves over each other, and what
each one is."""

from collections.abc import Sequence
from dataclasses import replace

from gan_core.errors import StoreError
from gan_core.report.charts import Chart, Series, over_images_seen
from gan_core.report.page import render_page
from gan_core.report.site import Group, Site
from gan_core.report.views.experiments.group import GroupView, group_view
from gan_core.report.views.table import TableView, table_view

# More than that few mail servers take.
MOST_BYTES = 20_000_000


def single_page(site: Site, names: Sequence[str]) -> bytes:
    """The page of these experiments, with the seeds that are in their rows.

    Raises `StoreError` where the store holds nothing of them, or where the file would be too large to send.
    """
    groups = [group for group in site.groups.values() if set(group.members) & set(names)]
    if not groups:
        raise StoreError(
            f"the store {site.store.url} holds nothing of {_few(names)}: train what you want to share, or "
            "name others (`python -m gan_core list` names them)"
        )
    content = _render(site, groups)
    if len(content) > MOST_BYTES:
        raise StoreError(
            f"the file would have {len(content) / 1e6:,.1f} MB, and at most {MOST_BYTES / 1e6:.0f} MB can be "
            f"sent by mail: name fewer than these {len(groups):,} configurations"
        )
    return content


def _render(site: Site, groups: list[Group]) -> bytes:
    views = [group_view(site, group) for group in groups]
    tables = _tables(site, {group.name for group in groups})
    places = (("Figures", "#figures"), *((view.name, f"#{view.name}") for view in views))
    return render_page(
        "single/page.html",
        views[0].name if len(views) == 1 else f"{len(views)} configurations",
        places,
        path="single.html",
        tables=tables,
        items=views,
        curves=_over_each_other(views),
    )


def _tables(site: Site, names: set[str]) -> list[TableView]:
    """The rows of these alone, which lead to their sections in place of pages."""
    found = []
    for number, (dataset, protocol, frame) in enumerate(site.tables(), start=1):
        rows = frame[frame["experiment"].isin(names)]
        if len(rows):
            view = table_view(site, number, dataset, protocol, rows)
            found.append(replace(view, rows=[replace(row, path=f"#{row.experiment}") for row in view.rows]))
    return found


def _over_each_other(views: list[GroupView]) -> list[Chart]:
    """Of each kind of curve one chart with the lines of all; nothing to compare of a single configuration."""
    if len(views) < 2:
        return []
    charts: dict[str, tuple[Chart, list[Series]]] = {}
    for view in views:
        for chart in view.curves:
            lines = charts.setdefault(chart.title, (chart, []))[1]
            for line in chart.series:
                alone = len({line.part_of or line.label for line in chart.series}) == 1
                of = view.name if alone else f"{view.name}, {line.part_of or line.label}"
                label = f"{view.name}, {line.label}" if line.part_of else of
                lines.append(replace(line, label=label, part_of=of if line.part_of else ""))
    return [
        replace(chart, alt=over_images_seen(lines, chart.title), note="", series=tuple(lines), marks=())
        for chart, lines in charts.values()
    ]


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:3])
    return f"{shown} and {len(names) - 3:,} more" if len(names) > 3 else shown
