"""Jobs: the three runs that everything is made of."""

import dagster as dg

from pipelines.partitions import Partitions

DATASET_JOB = "prepare_dataset"
EXPERIMENT_JOB = "run_experiment"
TABLES_JOB = "compare_experiments"


def jobs(partitions: Partitions) -> list:
    """`prepare_dataset` and `run_experiment` take a partition, `compare_experiments` none."""
    return [
        dg.define_asset_job(
            DATASET_JOB,
            dg.AssetSelection.groups("datasets"),
            partitions_def=partitions.datasets,
            description="One dataset from its source to shards, classifier and reference statistics.",
        ),
        dg.define_asset_job(
            EXPERIMENT_JOB,
            dg.AssetSelection.groups("experiments"),
            partitions_def=partitions.experiments,
            description="One experiment from shards to trained GAN, samples and evaluation.",
        ),
        dg.define_asset_job(
            TABLES_JOB,
            dg.AssetSelection.groups("results"),
            description="The leaderboard, the answers to questions and the report over all experiments.",
        ),
    ]
