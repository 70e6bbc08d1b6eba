"""The asset `image_shards`. Its checks, which read all shards again, are `assets.shard_checks`."""

from typing import Any

import dagster as dg

from assets.conditions import follow_changed_inputs
from assets.factory import StepRun, declare
from assets.recording import inline_picture
from gan_core import steps
from gan_core.store import Manifest

SHOWN_CLASSES = 100


def shown(run: StepRun, manifest: Manifest) -> dict[str, Any]:
    from gan_core.data.shards import preview

    return {
        "preview": inline_picture(preview(run.store, manifest), f"images of {run.partition}"),
        "splits": dg.MetadataValue.json(_few_classes(manifest.details["splits"])),
        "undecodable_images": dg.MetadataValue.json(manifest.details["undecodable"]),
    }


def _duplicates(run: StepRun) -> Manifest | None:
    """What the shards leave out; stores from before there was such a step do without it."""
    return run.input("duplicates") if run.dataset.removes_duplicates else None


def _few_classes(splits: dict[str, Any]) -> dict[str, Any]:
    """The splits, with the smallest and the largest of very many classes."""
    return {
        split: {**described, "classes": _ends(described["classes"])} for split, described in splits.items()
    }


def _ends(counts: dict[str, int]) -> dict[str, int]:
    if len(counts) <= SHOWN_CLASSES:
        return counts
    order = sorted(counts, key=counts.__getitem__)
    return {"number of classes": len(counts), **{name: counts[name] for name in (order[0], order[-1])}}


@declare(
    partitions="datasets",
    kinds={"python", "webdataset"},
    deps=["raw_images", "duplicates"],
    automation=follow_changed_inputs(),
    step=lambda run: steps.image_shards(run.dataset, run.input("raw_images"), _duplicates(run)),
    metadata=shown,
)
def image_shards(run: StepRun) -> Manifest:
    """The images cropped, resized and stored losslessly in WebDataset tars, byte-identical for
    identical input, without near-duplicates where the dataset says so. Every training and every metric reads
    these."""
    from gan_core.data.shards import write_image_shards

    return write_image_shards(
        run.store,
        run.dataset,
        run.input("raw_images"),
        _duplicates(run),
        force=run.force,
        emit=run.emit,
    )
