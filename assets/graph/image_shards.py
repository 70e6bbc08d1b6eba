"""The asset `image_shards`. Its checks, which read all shards again, are `assets.shard_checks`."""

from typing import Any

import dagster as dg

from assets.conditions import follow_changed_inputs
from assets.factory import StepRun, declare
from assets.recording import inline_picture
from gan_core import steps
from gan_core.store import Manifest


def shown(run: StepRun, manifest: Manifest) -> dict[str, Any]:
    from gan_core.data.shards import preview

    return {
        "preview": inline_picture(preview(run.store, manifest), f"images of {run.partition}"),
        "splits": dg.MetadataValue.json(manifest.details["splits"]),
        "undecodable_images": dg.MetadataValue.json(manifest.details["undecodable"]),
    }


@declare(
    partitions="datasets",
    kinds={"python", "webdataset"},
    deps=["raw_images"],
    automation=follow_changed_inputs(),
    step=lambda run: steps.image_shards(run.dataset, run.input("raw_images")),
    metadata=shown,
)
def image_shards(run: StepRun) -> Manifest:
    """The images cropped, resized and stored losslessly in WebDataset tars, byte-identical for
    identical input. Every training and every metric reads these."""
    from gan_core.data.shards import write_image_shards

    return write_image_shards(run.store, run.dataset, run.input("raw_images"), force=run.force, emit=run.emit)
