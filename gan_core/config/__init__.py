"""The schema of the YAML files in `configs/`: datasets, experiments, grids of experiments.

Everything is validated before any work starts. A wrong file raises one `ConfigError` that lists each
mistake with its file, its line, the value found and what would be right. This package imports neither torch
nor dagster: definitions load it at every start.
"""

from gan_core.config.base import Config, Name
from gan_core.config.datasets import Dataset, EvaluationConfig, SourceConfig, Split
from gan_core.config.experiments import (
    ARCHITECTURE_SIZES,
    FOREIGN_SETTINGS,
    Architecture,
    Conditioning,
    Experiment,
    Latent,
    Length,
    Objective,
    Optimizer,
    Optimizers,
    Output,
)
from gan_core.config.loading import (
    Configs,
    Nightly,
    default_config_folder,
    load_configs,
    load_dataset,
    load_experiments,
)
from gan_core.config.mistakes import unknown

__all__ = [
    "ARCHITECTURE_SIZES",
    "Architecture",
    "Conditioning",
    "Config",
    "Configs",
    "Dataset",
    "EvaluationConfig",
    "Experiment",
    "FOREIGN_SETTINGS",
    "Latent",
    "Length",
    "Name",
    "Nightly",
    "Objective",
    "Optimizer",
    "Optimizers",
    "Output",
    "SourceConfig",
    "Split",
    "default_config_folder",
    "load_configs",
    "load_dataset",
    "load_experiments",
    "unknown",
]
