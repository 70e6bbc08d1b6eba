"""The checks of `image_shards`: all shards are read again, once for all four.

A step of their own, so that they can be asked for alone, of shards that lie there for months. A run that only
found the shards unchanged repeats what was found when these were made.
"""

from collections.abc import Iterator

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
)

from assets.failures import failure
from assets.recording import last_materialization
from gan_core.store import Manifest, Store

ASSET = dg.AssetKey("image_shards")
CHECKED = "version_checked"

MAX_UNDECODABLE_SHARE = 0.01
MAX_CLASS_RATIO = 10.0
WARN = dg.AssetCheckSeverity.WARN


def shard_checks(partitions: dg.PartitionsDefinition) -> dg.AssetChecksDefinition:
    """The four checks, in one step."""

    def spec(name: str, description: str, blocking: bool = False) -> dg.AssetCheckSpec:
        return dg.AssetCheckSpec(
            name, asset=ASSET, description=description, blocking=blocking, partitions_def=partitions
        )

    specs = [
        spec("shards_intact", "Every shard has its hash, its count and decodable images.", blocking=True),
        spec("few_undecodable_images", "At most 1% of the source's images do not decode.", blocking=True),
        spec("classes_balanced", "No class has more than ten times the images of another."),
        spec("splits_disjoint", "No image stands in both the train and the test split."),
    ]

    @dg.multi_asset_check(name="image_shards_checks", specs=specs)
    def image_shards_checks(context: dg.AssetCheckExecutionContext, store: dg.ResourceParam[Store]):
        try:
            yield from results(context, store)
            return
        except Exception as error:  # Dagster keeps it with all of its causes
            shown = failure(context, error)
        raise shown

    def results(context: dg.AssetCheckExecutionContext, store: Store) -> Iterator[dg.AssetCheckResult]:
        manifest = store.require("image_shards", context.partition_key)
        known = _found_before(context, manifest, specs)
        if known:
            context.log.info("these shards were checked when they were made: repeating what was found")
            yield from known
        else:
            context.log.info("reading all shards again")
            for result in _check(context, store, manifest):
                yield result.with_metadata({**result.metadata, CHECKED: manifest.version})

    return image_shards_checks


def _check(
    context: dg.AssetCheckExecutionContext, store: Store, manifest: Manifest
) -> list[dg.AssetCheckResult]:
    from gan_core.data.verification import verify_image_shards

    report = verify_image_shards(store, manifest, emit=context.log.info)
    return [_intact(report), _few_undecodable(manifest), _balanced(report), _disjoint(report)]


def _found_before(
    context: dg.AssetCheckExecutionContext, manifest: Manifest, specs: list[dg.AssetCheckSpec]
) -> list[dg.AssetCheckResult]:
    """What was found of these very shards, where this run only reused them; else nothing.

    Broken ones are read again: they may have been mended.
    """
    made = last_materialization(context, ASSET)
    if (
        made is None
        or made.run_id != context.run.run_id
        or not made.asset_materialization.metadata["reused"].value
    ):
        return []
    evaluations = [_last_evaluation(context, spec.key) for spec in specs]
    if not all(found and _is_of(found, manifest) for found in evaluations) or not evaluations[0].passed:
        return []
    return [
        dg.AssetCheckResult(
            check_name=found.check_name, passed=found.passed, severity=found.severity, metadata=found.metadata
        )
        for found in evaluations
    ]


def _last_evaluation(
    context: dg.AssetCheckExecutionContext, key: dg.AssetCheckKey
) -> dg.AssetCheckEvaluation | None:
    records = context.instance.event_log_storage.get_asset_check_execution_history(
        key,
        limit=1,
        status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
        partition_filter=PartitionKeyFilter(key=context.partition_key),
    )
    return records[0].evaluation if records else None


def _is_of(found: dg.AssetCheckEvaluation, manifest: Manifest) -> bool:
    version = found.metadata.get(CHECKED)
    return version is not None and version.value == manifest.version


def _intact(report) -> dg.AssetCheckResult:
    metadata = {"images": report.images, "problems": report.problems}
    return dg.AssetCheckResult(passed=report.sound, check_name="shards_intact", metadata=metadata)


def _few_undecodable(manifest: Manifest) -> dg.AssetCheckResult:
    undecodable = manifest.figures["undecodable"]
    images = sum(split["images"] for split in manifest.details["splits"].values())
    share = undecodable / (images + undecodable)
    return dg.AssetCheckResult(
        passed=share <= MAX_UNDECODABLE_SHARE,
        check_name="few_undecodable_images",
        metadata={
            "undecodable": undecodable,
            "share": share,
            "first_of_them": manifest.details["undecodable"],
        },
    )


def _balanced(report) -> dg.AssetCheckResult:
    smallest, largest = report.smallest_share, report.largest_share
    unlabelled = largest is None
    return dg.AssetCheckResult(
        passed=unlabelled or largest <= MAX_CLASS_RATIO * smallest,
        check_name="classes_balanced",
        severity=WARN,
        metadata={"labels": "none"} if unlabelled else {"smallest_share": smallest, "largest_share": largest},
    )


def _disjoint(report) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=report.duplicates == 0,
        check_name="splits_disjoint",
        severity=WARN,
        metadata={"images_in_both": report.duplicates, "first_of_them": report.duplicate_keys},
    )
