"""What is shown of a training while it runs, the most telling first."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import dagster as dg

from assets.recording import glance, inline_picture
from gan_core.progress import format_seconds

READABLE_PIXELS = 64  # an image's side, at least
COLUMNS = 8


def observation(snapshot) -> dict[str, Any]:
    """A `TrainingSnapshot` as metadata: samples, curves and time left, then figures and warnings."""
    import pandas

    from gan_core.glances import images_at_a_glance
    from gan_core.images import enlargement, grid_png
    from gan_core.leaderboard.verdicts import markdown_list
    from gan_core.report.curves import training_figure
    from gan_core.report.drawing import png

    metadata: dict[str, Any] = {}
    if snapshot.samples is not None:
        metadata["samples"] = glance(partial(images_at_a_glance, snapshot.samples), "samples")
    history = pandas.DataFrame(snapshot.history)
    metadata |= losses_at_a_glance(history.to_dict("list"))
    metadata["time_left"] = _time_left(snapshot)
    if snapshot.samples is not None:
        scale = enlargement(snapshot.samples.shape[-1], READABLE_PIXELS)
        large = grid_png(snapshot.samples, columns=COLUMNS, scale=scale)
        metadata["all_samples"] = inline_picture(large, "samples")
    if snapshot.history or snapshot.evaluations:
        figure = training_figure(history, pandas.DataFrame(snapshot.evaluations))
        metadata["all_curves"] = inline_picture(png(figure), "curves")
    metadata |= {
        "images_seen": snapshot.images_seen,
        "total_images": snapshot.total_images,
        "images_per_second": float(snapshot.images_per_second),
        "seconds_left": float(snapshot.seconds_left),
        **{name: float(value) for name, value in snapshot.losses.items()},
        "warnings": dg.MetadataValue.md(markdown_list(snapshot.warnings) or "none"),
    }
    if snapshot.evaluations:
        latest = snapshot.evaluations[-1]
        named = {name: name for name in ("diversity", "precision", "recall")} | {"fid": "fid_in_training"}
        metadata |= {named[name]: float(latest[name]) for name in named if latest.get(name) is not None}
    return metadata


def losses_at_a_glance(history: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """The curves of both losses as metadata; nothing where there is no line to draw yet."""
    from gan_core.glances import curves_at_a_glance

    losses = {name: history[name] for name in ("d_loss", "g_loss") if len(history.get(name, ())) > 1}
    if not losses:
        return {}
    return {"curves": glance(partial(curves_at_a_glance, losses), "losses over images seen")}


def observe(context: dg.AssetExecutionContext, metadata: dict[str, Any]) -> None:
    """Show it in the UI, now."""
    context.log_event(
        dg.AssetObservation(context.asset_key, partition=context.partition_key, metadata=metadata)
    )


def _time_left(snapshot) -> str:
    share = snapshot.images_seen / snapshot.total_images
    return (
        f"{format_seconds(snapshot.seconds_left)} left: {snapshot.images_seen:,} of "
        f"{snapshot.total_images:,} images ({min(share, 1):.0%}), {snapshot.images_per_second:,.0f} a second"
    )
