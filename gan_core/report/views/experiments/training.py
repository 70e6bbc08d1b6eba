"""The course of a training: its curves, seeds folded, and its samples over time."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas

from gan_core.report.charts import Chart, over_images_seen
from gan_core.report.curves import PANELS, Panel, panel_chart
from gan_core.report.views.pictures import Picture, stored_picture
from gan_core.store import Manifest, Store

STRIP = "progress.png"
Tables = tuple[pandas.DataFrame, pandas.DataFrame]
"""The history and the evaluations of a training."""


@dataclass(frozen=True)
class StripView:
    """The samples of the fixed latents over time; `player`: what is where in the picture, for who plays it
    moment by moment, None of a training that does not say."""

    picture: Picture
    player: dict[str, Any] | None


def strip_view(store: Store, trained: Manifest | None) -> StripView | None:
    """None where a training left no picture. Raises `StoreError` for a damaged one."""
    drawn = stored_picture(store, trained, STRIP)
    if drawn is None:
        return None
    described = trained.details.get("progress")
    return StripView(drawn, described if described and len(described["images_seen"]) > 1 else None)


def training_charts(tables: Mapping[str, Tables], *, several: bool = False) -> list[Chart]:
    """Every panel that there are rows for; `tables` by what each run is called.

    Of several runs the mean, and a band from the lowest to the highest; where they were not measured at the
    same moments, a line each: a mean would jump wherever one of them has no value. The chart's note says so,
    and, where it is of one of `several` seeds, of which.
    """
    charts = []
    for panel in PANELS:
        found = {label: _rows(panel, *table) for label, table in tables.items()}
        rows = {label: table for label, table in found.items() if table is not None}
        if len(rows) == 1 and several:
            charts.append(replace(_panel(panel, rows), note=f"of {next(iter(rows))}"))
        elif rows:
            charts.append(_panel(panel, rows))
    return charts


def _panel(panel: Panel, rows: dict[str, pandas.DataFrame]) -> Chart:
    first, *others = rows.values()
    if not others:
        return panel_chart(panel, first)
    if all(first["images_seen"].tolist() == other["images_seen"].tolist() for other in others):
        several = [table[["images_seen", *panel.lines]] for table in rows.values()]
        chart = panel_chart(panel, _mean(several), _bounds(several))
        return replace(chart, note=f"mean; band: lowest to highest of {len(rows)} seeds")
    lines = [
        replace(line, label=f"{line.label}, {label}", part_of=line.label)
        for label, table in rows.items()
        for line in panel_chart(panel, table).series
    ]
    return replace(
        panel_chart(panel, first),
        alt=over_images_seen(lines, panel.title),
        note=f"a line for each of {len(rows)} seeds",
        series=tuple(lines),
        marks=(),
    )


def _rows(panel: Panel, history: pandas.DataFrame, evaluations: pandas.DataFrame) -> pandas.DataFrame | None:
    table = history if panel.source == "history" else evaluations
    there = len(table) and all(column in table for column in ("images_seen", *panel.lines))
    return table if there and not all(table[line].isna().all() for line in panel.lines) else None


def _mean(tables: list[pandas.DataFrame]) -> pandas.DataFrame:
    return pandas.concat(tables).groupby("images_seen").mean().reset_index()


def _bounds(tables: list[pandas.DataFrame]) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    moments = pandas.concat(tables).groupby("images_seen")
    return moments.min().reset_index(), moments.max().reset_index()
