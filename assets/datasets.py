"""From a source of images to shards and to what generated images are measured against."""

import dagster as dg

from assets.conditions import follow_changed_inputs, follow_inputs
from assets.interrupts import stoppable
from assets.recording import StepConfig, inline_picture, materialized
from gan_core.config import Configs
from gan_core.store import Store
from gan_core.versions import CODE_VERSIONS

GROUP = "datasets"


class RawImagesConfig(StepConfig):
    """Where the images are, if not where the dataset's YAML or the environment says."""

    train: str | None = None
    """fsspec URL or path of the train split, or of the whole source."""
    test: str | None = None
    """fsspec URL or path of the test split."""


def dataset_assets(partitions: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The four assets with one partition a dataset."""

    @dg.asset(
        partitions_def=partitions,
        group_name=GROUP,
        kinds={"python"},
        code_version=CODE_VERSIONS["raw_images"],
        description=(
            "The images as they come: downloaded (resumably, checksummed) or found on disk or in a bucket, "
            "each one listed with its class and its sha256. Its version is the content, not the place."
        ),
    )
    def raw_images(
        context: dg.AssetExecutionContext,
        config: RawImagesConfig,
        store: dg.ResourceParam[Store],
        configs: dg.ResourceParam[Configs],
    ) -> dg.MaterializeResult:
        from gan_core.data.raw import collect_raw_images

        given = {"train": config.train, "test": config.test}
        with stoppable(context):
            manifest = collect_raw_images(
                store,
                configs.datasets[context.partition_key],
                locations={split: place for split, place in given.items() if place},
                force=config.force,
                emit=context.log.info,
            )
        return materialized(context, store, manifest)

    @dg.asset(
        deps=[raw_images],
        partitions_def=partitions,
        group_name=GROUP,
        kinds={"python", "webdataset"},
        code_version=CODE_VERSIONS["image_shards"],
        automation_condition=follow_changed_inputs(),
        description=(
            "The images cropped, resized and stored losslessly in WebDataset tars, byte-identical for "
            "identical input. Every training and every metric reads these."
        ),
    )
    def image_shards(
        context: dg.AssetExecutionContext,
        config: StepConfig,
        store: dg.ResourceParam[Store],
        configs: dg.ResourceParam[Configs],
    ) -> dg.MaterializeResult:
        from gan_core.data.shards import preview, write_image_shards

        name = context.partition_key
        with stoppable(context):
            manifest = write_image_shards(
                store,
                configs.datasets[name],
                store.require("raw_images", name),
                force=config.force,
                emit=context.log.info,
            )
        return materialized(
            context,
            store,
            manifest,
            {
                "preview": inline_picture(preview(store, manifest), f"images of {name}"),
                "splits": dg.MetadataValue.json(manifest.details["splits"]),
                "undecodable_images": dg.MetadataValue.json(manifest.details["undecodable"]),
            },
        )

    @dg.asset(
        deps=[image_shards],
        partitions_def=partitions,
        group_name=GROUP,
        kinds={"pytorch"},
        pool="gpu",
        code_version=CODE_VERSIONS["classifier"],
        automation_condition=follow_inputs(),
        description=(
            "A small network trained on the dataset's own labels (without labels: to tell an image's "
            "rotation). Its features measure generated images offline; its figures do not compare with "
            "those of papers, which use Inception."
        ),
    )
    def classifier(
        context: dg.AssetExecutionContext,
        config: StepConfig,
        store: dg.ResourceParam[Store],
        configs: dg.ResourceParam[Configs],
    ) -> dg.MaterializeResult:
        from gan_core.evaluation.classifier import train_classifier

        name = context.partition_key
        with stoppable(context):
            manifest = train_classifier(
                store,
                configs.datasets[name],
                store.require("image_shards", name),
                force=config.force,
                emit=context.log.info,
            )
        return materialized(context, store, manifest)

    @dg.asset(
        deps=[image_shards, classifier],
        partitions_def=partitions,
        group_name=GROUP,
        kinds={"pytorch", "numpy"},
        pool="gpu",
        code_version=CODE_VERSIONS["reference_statistics"],
        automation_condition=follow_inputs(),
        description=(
            "What FID and KID compare with: mean and covariance of the real images' features, each split, "
            "and the floor: what real images score against real images."
        ),
    )
    def reference_statistics(
        context: dg.AssetExecutionContext,
        config: StepConfig,
        store: dg.ResourceParam[Store],
        configs: dg.ResourceParam[Configs],
    ) -> dg.MaterializeResult:
        from gan_core.evaluation.reference import compute_reference_statistics

        name = context.partition_key
        with stoppable(context):
            manifest = compute_reference_statistics(
                store,
                configs.datasets[name],
                store.require("image_shards", name),
                store.require("classifier", name),
                force=config.force,
                emit=context.log.info,
            )
        return materialized(context, store, manifest)

    return [raw_images, image_shards, classifier, reference_statistics]
