"""Partitions: one a configuration, so that a backfill over partitions is one over configurations."""

from dataclasses import dataclass

import dagster as dg

from gan_core.config import Configs


@dataclass(frozen=True)
class Partitions:
    """The partition sets and how two of them join: an experiment depends on its dataset. The trials of a
    sweep are among the experiments from the start, so that its progress is theirs."""

    datasets: dg.StaticPartitionsDefinition
    experiments: dg.StaticPartitionsDefinition
    sweeps: dg.StaticPartitionsDefinition
    dataset_of_experiment: dg.StaticPartitionMapping


def partitions_of(configs: Configs) -> Partitions:
    """The partition sets that the YAML files name."""
    by_dataset = {name: list(experiments) for name, experiments in configs.experiments_by_dataset.items()}
    for trial, sweep in configs.sweep_of.items():
        if trial not in configs.experiments:  # not chosen yet
            by_dataset[configs.experiments[configs.sweeps[sweep].base].dataset].append(trial)
    return Partitions(
        datasets=dg.StaticPartitionsDefinition(sorted(configs.datasets)),
        experiments=dg.StaticPartitionsDefinition(sorted({*configs.experiments, *configs.sweep_of})),
        sweeps=dg.StaticPartitionsDefinition(sorted(configs.sweeps)),
        dataset_of_experiment=dg.StaticPartitionMapping(by_dataset),
    )
