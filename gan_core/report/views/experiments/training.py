"""The course of a training: its curves, seeds folded, and its samples over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas

from gan_core.report.charts import Chart
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


def training_charts(tables: Sequence[Tables]) -> list[Chart]:
    """Every panel that there are rows for. Of several seeds the mean, and a band from the lowest to the
    highest."""
    charts = []
    for panel in PANELS:
        rows = [_rows(panel, *table) for table in tables]
        rows = [table for table in rows if table is not None]
        if len(rows) == 1:
            charts.append(panel_chart(panel, rows[0]))
        elif rows:
            charts.append(panel_chart(panel, _mean(rows), _bounds(rows)))
    return charts


def _rows(panel: Panel, history: pandas.DataFrame, evaluations: pandas.DataFrame) -> pandas.DataFrame | None:
    table = history if panel.source == "history" else evaluations
    columns = ["images_seen", *panel.lines]
    there = len(table) and all(column in table for column in columns)
    return table[columns] if there and not table[list(panel.lines)].isna().all(axis=None) else None


def _mean(tables: list[pandas.DataFrame]) -> pandas.DataFrame:
    return pandas.concat(tables).groupby("images_seen").mean().reset_index()


def _bounds(tables: list[pandas.DataFrame]) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    moments = pandas.concat(tables).groupby("images_seen")
    return moments.min().reset_index(), moments.max().reset_index()
