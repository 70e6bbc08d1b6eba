"""Partitions: one a configuration, so that a backfill over partitions is one over configurations."""

from dataclasses import dataclass

import dagster as dg

from gan_core.config import Configs


@dataclass(frozen=True)
class Partitions:
    """The two partition sets and how they join: an experiment depends on its dataset."""

    datasets: dg.StaticPartitionsDefinition
    experiments: dg.StaticPartitionsDefinition
    dataset_of_experiment: dg.StaticPartitionMapping


def partitions_of(configs: Configs) -> Partitions:
    """The partition sets that the YAML files name."""
    return Partitions(
        datasets=dg.StaticPartitionsDefinition(sorted(configs.datasets)),
        experiments=dg.StaticPartitionsDefinition(sorted(configs.experiments)),
        dataset_of_experiment=dg.StaticPartitionMapping(configs.experiments_by_dataset),
    )
