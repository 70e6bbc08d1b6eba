"""Jobs: the runs that everything is made of, and the one that promotes."""

import dagster as dg

from assets.describing import PartitionSet, tags_of
from assets.jobs import CHAMPION_JOB, DATASET_JOB, EXPERIMENT_JOB, SWEEP_JOB, TABLES_JOB
from gan_core.config import Configs
from pipelines.kubernetes import kubernetes_tags
from pipelines.partitions import Partitions


def jobs(configs: Configs, partitions: Partitions) -> list:
    """All but `compare_experiments` take a partition."""
    return [
        dg.define_asset_job(
            DATASET_JOB,
            dg.AssetSelection.groups("datasets"),
            config=_tagged(configs, "datasets", partitions.datasets),
            description="One dataset from its source to shards, classifier and reference statistics.",
        ),
        dg.define_asset_job(
            EXPERIMENT_JOB,
            dg.AssetSelection.groups("experiments"),
            config=_tagged(configs, "experiments", partitions.experiments),
            description="One experiment from shards to trained GAN, samples and evaluation.",
        ),
        dg.define_asset_job(
            SWEEP_JOB,
            dg.AssetSelection.groups("sweeps"),
            config=_tagged(configs, "sweeps", partitions.sweeps),
            description="One sweep: its dataset, its trials, each a run of its own, and the tables.",
        ),
        dg.define_asset_job(
            TABLES_JOB,
            dg.AssetSelection.groups("results"),
            description="The leaderboard, the answers to questions and the report over all experiments.",
        ),
        dg.define_asset_job(
            CHAMPION_JOB,
            dg.AssetSelection.groups("champions"),
            config=_tagged(configs, "datasets", partitions.datasets),
            description="The best of a dataset on the leaderboard, promoted where it passes all checks.",
        ),
    ]


def _tagged(
    configs: Configs, kind: PartitionSet, partitions: dg.PartitionsDefinition
) -> dg.PartitionedConfig:
    """No configuration of its own for any partition, but the tags that its runs are filtered by, and that
    they ask for GPUs by."""

    def tags(name: str) -> dict[str, str]:
        asked = (
            configs.experiments[name].tags if kind == "experiments" and name in configs.experiments else ()
        )
        return {**tags_of(configs, kind, name), **kubernetes_tags(asked)}

    return dg.PartitionedConfig(
        partitions,
        run_config_for_partition_key_fn=lambda name: {},
        tags_for_partition_key_fn=tags,
    )
