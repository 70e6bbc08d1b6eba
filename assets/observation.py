"""What is shown of a training while it runs."""

from typing import Any

import dagster as dg

from assets.recording import inline_picture


def observation(snapshot) -> dict[str, Any]:
    """A `TrainingSnapshot` as metadata: figures, the guards' warnings, curves and samples."""
    import pandas

    from gan_core.images import grid_png
    from gan_core.leaderboard.verdicts import markdown_list
    from gan_core.report.curves import training_figure
    from gan_core.report.drawing import png

    metadata: dict[str, Any] = {
        "images_seen": snapshot.images_seen,
        "total_images": snapshot.total_images,
        "images_per_second": float(snapshot.images_per_second),
        "seconds_left": float(snapshot.seconds_left),
        **{name: float(value) for name, value in snapshot.losses.items()},
        "warnings": dg.MetadataValue.md(markdown_list(snapshot.warnings) or "none"),
    }
    if snapshot.evaluations:
        latest = snapshot.evaluations[-1]
        named = {"fid": "fid_in_training", "diversity": "diversity"}
        metadata |= {named[name]: float(latest[name]) for name in named if name in latest}
    if snapshot.samples is not None:
        metadata["samples"] = inline_picture(grid_png(snapshot.samples, columns=8), "samples")
    if snapshot.history or snapshot.evaluations:
        tables = pandas.DataFrame(snapshot.history), pandas.DataFrame(snapshot.evaluations)
        metadata["curves"] = inline_picture(png(training_figure(*tables)), "curves")
    return metadata


def observe(context: dg.AssetExecutionContext, metadata: dict[str, Any]) -> None:
    """Show it in the UI, now."""
    context.log_event(
        dg.AssetObservation(context.asset_key, partition=context.partition_key, metadata=metadata)
    )
