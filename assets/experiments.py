"""From shards to a trained GAN, its samples and their evaluation."""

from typing import Any

import dagster as dg

from assets.conditions import follow_changed_inputs, follow_inputs
from assets.interrupts import stoppable
from assets.observation import observation, observe
from assets.recording import StepConfig, inline_picture, materialized, stored_picture
from assets.several_processes import TrainingTask, number_of_processes, run_task, train_in_processes
from gan_core.config import Configs
from gan_core.store import Manifest, Store
from gan_core.versions import CODE_VERSIONS

GROUP = "experiments"


class TrainingStepConfig(StepConfig):
    """Run configuration of a training."""

    observe_seconds: float = 15.0
    """How often losses and samples are shown while it trains: each time is a row in Dagster's database."""

    processes: int | None = None
    """In how many processes it trains, each on a GPU of its own where there are GPUs. By default
    GAN_PROCESSES, else 1: in the step's own process."""


def experiment_assets(
    experiments: dg.PartitionsDefinition, dataset_of_experiment: dg.PartitionMapping
) -> list[dg.AssetsDefinition]:
    """The three assets with one partition an experiment."""

    def of_dataset(asset: str) -> dg.AssetDep:
        return dg.AssetDep(asset, partition_mapping=dataset_of_experiment)

    @dg.asset(
        deps=[of_dataset("image_shards"), of_dataset("classifier")],
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
        with stoppable(context):
            manifest = _train(context, config, store, configs)
        return materialized(context, store, manifest, _training_metadata(store, manifest))

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
        with stoppable(context):
            manifest = draw_samples(
                store,
                experiment,
                configs.datasets[experiment.dataset],
                store.require("trained_gan", experiment.name),
                store.require("image_shards", experiment.dataset),
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
        with stoppable(context):
            manifest = evaluate_samples(
                store,
                configs.datasets[experiment.dataset],
                store.require("samples", experiment.name),
                store.require("reference_statistics", experiment.dataset),
                store.require("classifier", experiment.dataset),
                force=config.force,
                emit=context.log.info,
            )
        from gan_core.report.verdicts import verdict_text

        verdict = verdict_text(store.current("trained_gan", experiment.name), manifest)
        metadata = {"protocol": manifest.details["protocol"], "verdict": verdict}
        return materialized(context, store, manifest, metadata)

    return [trained_gan, samples, evaluation]


def _train(
    context: dg.AssetExecutionContext, config: TrainingStepConfig, store: Store, configs: Configs
) -> Manifest:
    """Train this partition's experiment, in this process or in several."""
    experiment = configs.experiments[context.partition_key]
    task = TrainingTask(
        store=store.url,
        cache=str(store.cache),
        experiment=experiment,
        dataset=configs.datasets[experiment.dataset],
        shards=store.require("image_shards", experiment.dataset),
        classifier=store.require("classifier", experiment.dataset),
        force=config.force,
        # What a forced attempt has done is not to be done again by its retry.
        resume="dagster/retry_number" in context.run.tags,
        observe_seconds=config.observe_seconds,
    )
    processes = number_of_processes(config.processes)
    if processes > 1:
        return train_in_processes(context, store, task, processes)
    return run_task(
        task,
        store,
        emit=context.log.info,
        observe=lambda snapshot: observe(context, observation(snapshot)),
    )


def _training_metadata(store: Store, manifest: Manifest) -> dict[str, Any]:
    """The verdict, the guards' findings, the curves and the samples of a training that has ended."""
    from gan_core.report.curves import read_curves, training_figure
    from gan_core.report.drawing import png
    from gan_core.report.verdicts import verdict_markdown, verdict_text

    return {
        "verdict": verdict_text(manifest),
        "findings": dg.MetadataValue.md(verdict_markdown(manifest)),
        "curves": inline_picture(png(training_figure(*read_curves(store, manifest))), "curves"),
        "samples_over_time": stored_picture(store, manifest, "progress.png"),
    }
