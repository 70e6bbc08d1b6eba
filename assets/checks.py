"""Asset checks: what must hold of an artefact, looked at again in the store."""

import dagster as dg

from gan_core.store import Manifest, Store

MAX_UNDECODABLE_SHARE = 0.01
MAX_CLASS_RATIO = 10.0
WARN = dg.AssetCheckSeverity.WARN


def dataset_checks(partitions: dg.PartitionsDefinition) -> list[dg.AssetChecksDefinition]:
    """Re-read the shards once and judge them by four checks."""

    def spec(name: str, description: str, blocking: bool = False) -> dg.AssetCheckSpec:
        return dg.AssetCheckSpec(
            name,
            asset="image_shards",
            description=description,
            blocking=blocking,
            partitions_def=partitions,
        )

    @dg.multi_asset_check(
        name="image_shards_checks",
        specs=[
            spec("shards_intact", "Every shard has its hash, its count and decodable images.", blocking=True),
            spec("few_undecodable_images", "At most 1% of the source's images do not decode.", blocking=True),
            spec("classes_balanced", "No class has more than ten times the images of another."),
            spec("splits_disjoint", "No image stands in both the train and the test split."),
        ],
    )
    def image_shards_checks(context: dg.AssetCheckExecutionContext, store: dg.ResourceParam[Store]):
        from gan_core.data.verification import verify_image_shards

        manifest = store.require("image_shards", context.partition_key)
        report = verify_image_shards(store, manifest, emit=context.log.info)
        yield _intact(report)
        yield _few_undecodable(manifest)
        yield _balanced(report)
        yield _disjoint(report)

    return [image_shards_checks]


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


def experiment_checks(partitions: dg.PartitionsDefinition) -> list[dg.AssetChecksDefinition]:
    """Whether a training and its result are sound."""

    @dg.asset_check(
        asset="trained_gan",
        partitions_def=partitions,
        description="Every loss of the history is a finite number.",
    )
    def finite_losses(
        context: dg.AssetCheckExecutionContext, store: dg.ResourceParam[Store]
    ) -> dg.AssetCheckResult:
        import numpy
        import pandas

        manifest = store.require("trained_gan", context.partition_key)
        history = pandas.read_parquet(store.local(manifest, "history.parquet"))
        losses = history.filter(regex="loss|penalty").to_numpy(dtype=float)
        bad = int((~numpy.isfinite(losses)).any(axis=1).sum())
        diverged = manifest.details.get("stopped_by") == "not_finite"
        metadata = {"rows": len(history), "rows_not_finite": bad, "ended_by_it": diverged}
        return dg.AssetCheckResult(passed=bad == 0 and not diverged, metadata=metadata)

    @dg.asset_check(
        asset="trained_gan",
        partitions_def=partitions,
        description="The guards found nothing wrong with the training; else they say what usually helps.",
    )
    def training_is_healthy(
        context: dg.AssetCheckExecutionContext, store: dg.ResourceParam[Store]
    ) -> dg.AssetCheckResult:
        from gan_core.report.verdicts import HEALTHY, verdict_markdown, verdict_text

        manifest = store.require("trained_gan", context.partition_key)
        verdict = verdict_text(manifest)
        return dg.AssetCheckResult(
            passed=verdict == HEALTHY,
            severity=WARN,
            metadata={"verdict": verdict, "findings": dg.MetadataValue.md(verdict_markdown(manifest))},
        )

    @dg.asset_check(
        asset="evaluation",
        partitions_def=partitions,
        description="The FID is under half of the untrained generator's, by the same protocol.",
    )
    def better_than_untrained(
        context: dg.AssetCheckExecutionContext, store: dg.ResourceParam[Store]
    ) -> dg.AssetCheckResult:
        figures = store.require("evaluation", context.partition_key).figures
        fid, untrained = figures["fid"], figures["fid_untrained"]
        return dg.AssetCheckResult(
            passed=fid < untrained / 2,
            severity=WARN,
            metadata={"fid": fid, "fid_untrained": untrained},
        )

    return [finite_losses, training_is_healthy, better_than_untrained]
