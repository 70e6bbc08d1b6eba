"""From shards to a trained GAN, its samples and their evaluation."""

import dagster as dg

from assets.conditions import follow_changed_inputs, follow_inputs
from assets.recording import StepConfig, inline_picture, materialized, stored_picture
from gan_core.config import Configs
from gan_core.store import Store
from gan_core.versions import CODE_VERSIONS

GROUP = "experiments"


class TrainingStepConfig(StepConfig):
    """Run configuration of a training."""

    observe_seconds: float = 15.0
    """How often losses and samples are shown while it trains: each time is a row in Dagster's database."""


def experiment_assets(
    experiments: dg.PartitionsDefinition, dataset_of_experiment: dg.PartitionMapping
) -> list[dg.AssetsDefinition]:
    """The three assets with one partition an experiment."""

    def of_dataset(asset: str) -> dg.AssetDep:
        return dg.AssetDep(asset, partition_mapping=dataset_of_experiment)

    @dg.asset(
        deps=[of_dataset("image_shards")],
        partitions_def=experiments,
        group_name=GROUP,
        kinds={"pytorch"},
        pool="gpu",
        code_version=CODE_VERSIONS["trained_gan"],
        automation_condition=follow_changed_inputs(),
        description=(
            "Generator and discriminator, trained as the experiment's YAML says. Shows losses and samples "
            "while it runs; a run that was stopped or killed goes on from its last checkpoint."
        ),
    )
    def trained_gan(
        context: dg.AssetExecutionContext,
        config: TrainingStepConfig,
        store: dg.ResourceParam[Store],
        configs: dg.ResourceParam[Configs],
    ) -> dg.MaterializeResult:
        from gan_core.training import train_gan

        experiment = configs.experiments[context.partition_key]
        manifest = train_gan(
            store,
            experiment,
            configs.datasets[experiment.dataset],
            store.require("image_shards", experiment.dataset),
            force=config.force,
            emit=context.log.info,
            observe=lambda snapshot: _observe(context, snapshot),
            observe_interval=config.observe_seconds,
        )
        return materialized(
            context, store, manifest, {"samples_over_time": stored_picture(store, manifest, "progress.png")}
        )

    @dg.asset(
        deps=[trained_gan],
        partitions_def=experiments,
        group_name=GROUP,
        kinds={"pytorch", "webdataset"},
        pool="gpu",
        code_version=CODE_VERSIONS["samples"],
        automation_condition=follow_inputs(),
        description=(
            "What the generator draws: a grid from fixed latents, and the images that evaluation measures."
        ),
    )
    def samples(
        context: dg.AssetExecutionContext,
        config: StepConfig,
        store: dg.ResourceParam[Store],
        configs: dg.ResourceParam[Configs],
    ) -> dg.MaterializeResult:
        from gan_core.sampling import draw_samples

        experiment = configs.experiments[context.partition_key]
        manifest = draw_samples(
            store,
            experiment,
            configs.datasets[experiment.dataset],
            store.require("trained_gan", experiment.name),
            force=config.force,
            emit=context.log.info,
        )
        return materialized(context, store, manifest, {"grid": stored_picture(store, manifest, "grid.png")})

    @dg.asset(
        deps=[samples, of_dataset("reference_statistics"), of_dataset("classifier")],
        partitions_def=experiments,
        group_name=GROUP,
        kinds={"pytorch", "numpy"},
        pool="gpu",
        code_version=CODE_VERSIONS["evaluation"],
        automation_condition=follow_inputs(),
        description=(
            "Inception Score, FID and KID of the samples, each with the protocol it was measured by, beside "
            "the untrained generator and the floor that real images reach."
        ),
    )
    def evaluation(
        context: dg.AssetExecutionContext,
        config: StepConfig,
        store: dg.ResourceParam[Store],
        configs: dg.ResourceParam[Configs],
    ) -> dg.MaterializeResult:
        from gan_core.evaluation.evaluate import evaluate_samples

        experiment = configs.experiments[context.partition_key]
        manifest = evaluate_samples(
            store,
            configs.datasets[experiment.dataset],
            store.require("samples", experiment.name),
            store.require("reference_statistics", experiment.dataset),
            store.require("classifier", experiment.dataset),
            force=config.force,
            emit=context.log.info,
        )
        return materialized(context, store, manifest, {"protocol": manifest.details["protocol"]})

    return [trained_gan, samples, evaluation]


def _observe(context: dg.AssetExecutionContext, snapshot) -> None:
    """Show a training's figures, curves and samples in the UI while it runs."""
    import pandas

    from gan_core.images import grid_png
    from gan_core.report.plots import loss_curves_png

    metadata: dict = {
        "images_seen": snapshot.images_seen,
        "total_images": snapshot.total_images,
        "images_per_second": float(snapshot.images_per_second),
        "seconds_left": float(snapshot.seconds_left),
        **{name: float(value) for name, value in snapshot.losses.items()},
    }
    if snapshot.samples is not None:
        metadata["samples"] = inline_picture(grid_png(snapshot.samples, columns=8), "samples")
    if snapshot.history:
        curves = loss_curves_png(pandas.DataFrame(snapshot.history), width=480, height=240)
        metadata["losses"] = inline_picture(curves, "losses")
    context.log_event(
        dg.AssetObservation(context.asset_key, partition=context.partition_key, metadata=metadata)
    )
