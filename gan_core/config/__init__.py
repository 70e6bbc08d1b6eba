"""The schema of the YAML files in `configs/`: datasets, experiments, grids of experiments, sweeps,
questions, schedules, notifications, what is kept of the store.

Everything is validated before any work starts. A wrong file raises one `ConfigError` that lists each
mistake with its file, its line, the value found and what would be right. This package imports neither torch
nor dagster: definitions load it at every start.
"""

from gan_core.config.base import AbsentMeans, AlwaysCounts, Config, Name
from gan_core.config.datasets import Dataset, EvaluationConfig, SourceConfig, Split
from gan_core.config.experiments import (
    Experiment,
    Length,
    config_changes,
    recorded_experiment,
    require_same_configuration,
)
from gan_core.config.grids import load_experiments
from gan_core.config.keeping import Keep, KeepPolicy
from gan_core.config.loading import (
    STORE_FILE,
    Configs,
    Mistake,
    default_config_folder,
    load_configs,
    trial_maker,
)
from gan_core.config.mistakes import unknown
from gan_core.config.networks import Architecture, Latent, Output
from gan_core.config.notifications import Notifications
from gan_core.config.objective import Conditioning, Objective
from gan_core.config.optimizers import OPTIMIZERS, Optimizer, Optimizers, foreign_settings
from gan_core.config.questions import Question
from gan_core.config.run_schedules import RunSchedule
from gan_core.config.schedules import Cosine, Schedules
from gan_core.config.starters import write_starter
from gan_core.config.sweeps import Sweep

__all__ = [
    "OPTIMIZERS",
    "STORE_FILE",
    "AbsentMeans",
    "AlwaysCounts",
    "Architecture",
    "Conditioning",
    "Config",
    "Configs",
    "Cosine",
    "Dataset",
    "EvaluationConfig",
    "Experiment",
    "Keep",
    "KeepPolicy",
    "Latent",
    "Length",
    "Mistake",
    "Name",
    "Notifications",
    "Objective",
    "Optimizer",
    "Optimizers",
    "Output",
    "Question",
    "RunSchedule",
    "Schedules",
    "SourceConfig",
    "Split",
    "Sweep",
    "config_changes",
    "default_config_folder",
    "foreign_settings",
    "load_configs",
    "load_experiments",
    "recorded_experiment",
    "require_same_configuration",
    "trial_maker",
    "unknown",
    "write_starter",
]
