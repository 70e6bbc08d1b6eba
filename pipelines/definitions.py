"""What Dagster loads: all assets over the configurations that are valid; what is wrong is shown."""

import os

import dagster as dg

import assets.graph  # noqa: F401  declares the assets
from assets.factory import asset_definitions
from assets.jobs import CHAMPION_JOB
from assets.shard_checks import shard_checks
from gan_core.config import Configs, default_config_folder, load_configs
from gan_core.config.folder_state import folder_state
from pipelines.automation.notifications import notifications_sensor
from pipelines.automation.pruning import prune_history
from pipelines.automation.reloading import reload_sensor
from pipelines.automation.schedules import experiments_sensor, schedules
from pipelines.automation.sources import sources_sensor
from pipelines.champions import champions_sensor
from pipelines.configurations import (
    configurations_asset,
    configurations_check,
    configurations_sensor,
    warn,
)
from pipelines.disk_use import measure_store
from pipelines.jobs import jobs
from pipelines.logs import console
from pipelines.lost_runs import lost_runs
from pipelines.partitions import partitions_of
from pipelines.resources import store_resource
from pipelines.runs.choosing import choose_experiments, chosen_sensor

OWNERS = ["team:gan-pipelines"]


def build_definitions(configs: Configs, state: str | None = None) -> dg.Definitions:
    """All assets, checks, jobs, schedules and sensors over `configs`.

    `state` is that of the configuration folder when it was read; None: as it is now. What cannot be used is
    left out, and shown as the check of the asset `configurations`.
    """
    mistakes = [line for mistake in configs.mistakes for line in mistake.message.splitlines()]
    mistakes += configs.notifications.problems(os.environ)
    warn(mistakes)
    folder = default_config_folder()
    partitions = partitions_of(configs)
    declared = [
        *asset_definitions(
            partitions.datasets,
            partitions.experiments,
            partitions.sweeps,
            partitions.dataset_of_experiment,
        ),
        configurations_asset(str(folder), configs, mistakes),
    ]
    all_jobs = {job.name: job for job in jobs(configs, partitions)}
    return dg.Definitions(
        assets=dg.map_asset_specs(lambda spec: spec.replace_attributes(owners=OWNERS), declared),
        asset_checks=[shard_checks(partitions.datasets), configurations_check(mistakes)],
        jobs=[*all_jobs.values(), choose_experiments, measure_store, prune_history],
        schedules=schedules(configs),
        sensors=[
            configurations_sensor(configs, mistakes),
            experiments_sensor(configs, all_jobs),
            chosen_sensor(configs, all_jobs),
            notifications_sensor(configs, mistakes),
            sources_sensor(configs, all_jobs),
            reload_sensor(folder, state or folder_state(folder), configs),
            champions_sensor(configs, all_jobs[CHAMPION_JOB]),
            lost_runs,
            dg.AutomationConditionSensorDefinition(
                "follow_new_data",
                target=dg.AssetSelection.all(),
                default_status=dg.DefaultSensorStatus.RUNNING,
                description=(
                    "Evaluates what was trained, and makes again what stands on changed content; "
                    "does nothing where an input came back identical."
                ),
            ),
        ],
        resources={"store": store_resource, "configs": configs},
        loggers={"console": console},
        executor=dg.multiprocess_executor.configured(
            # forkserver starts a step in about 1.5 s; spawn would import everything anew.
            {"start_method": {"forkserver": {"preload_modules": ["pipelines.definitions"]}}}
        ),
    )


state = folder_state(default_config_folder())  # before they are read: what changes meanwhile is read again
configs = load_configs()
defs = build_definitions(configs, state)
