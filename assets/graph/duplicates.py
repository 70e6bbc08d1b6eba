"""The asset `duplicates`, with its check."""

from typing import Any

import dagster as dg

from assets.conditions import follow_inputs
from assets.factory import StepRun, declare
from assets.recording import stored_picture
from gan_core import steps
from gan_core.store import Manifest

# CIFAR-10 has 0.5% and 1.0% by the default threshold.
MOST_DUPLICATES, MOST_LEAKS = 0.05, 0.01


def few_near_duplicates(run: StepRun, manifest: Manifest) -> dg.AssetCheckResult:
    """At most 5% of the train images are near-duplicates of another one and stay in the shards, and at most
    1% of the test images have one in train; passes where none were asked for."""
    if not manifest.details["asked"]:
        return dg.AssetCheckResult(passed=True, description="not asked for", metadata={"asked_for": False})
    figures = manifest.figures
    stay = 0.0 if run.dataset.removes_duplicates else figures["duplicate_share"]
    leaks = figures["leak_share"] or 0.0
    return dg.AssetCheckResult(
        passed=stay <= MOST_DUPLICATES and leaks <= MOST_LEAKS,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{stay:.1%} near-duplicates stay, {leaks:.1%} of the test images have one in train",
        metadata={
            "asked_for": True,
            "left_out_of_the_shards": run.dataset.removes_duplicates,
            "share_that_stays": stay,
            "leak_share": leaks,
            "first_leaks": manifest.details["first_leaks"],
        },
    )


def shown(run: StepRun, manifest: Manifest) -> dict[str, Any]:
    if not manifest.details["asked"]:
        return {"asked_for": "no: set `deduplicate` in the dataset's file to look for near-duplicates"}
    pictures = {name: stored_picture(run.store, manifest, name) for name in _pictures(manifest)}
    return {"pairs_by_distance": dg.MetadataValue.json(manifest.details["pairs_by_distance"]), **pictures}


def _pictures(manifest: Manifest) -> list[str]:
    return [name for name in manifest.files if name.endswith(".png")]


@declare(
    partitions="datasets",
    kinds={"python"},
    deps=["raw_images"],
    automation=follow_inputs(),
    step=lambda run: steps.duplicates(run.dataset, run.input("raw_images")),
    metadata=shown,
    checks=[few_near_duplicates],
)
def duplicates(run: StepRun) -> Manifest:
    """Near-duplicates among the train images by a perceptual hash, and test images that have one in train;
    only where the dataset's `deduplicate` asks for it. With `remove: true` the shards leave them out."""
    from gan_core.data.duplicates import find_duplicates

    return find_duplicates(run.store, run.dataset, run.input("raw_images"), force=run.force, emit=run.emit)
