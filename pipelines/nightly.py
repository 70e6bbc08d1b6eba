"""Nightly retraining: refresh the data, then train what `configs/nightly.yaml` names.

Two steps, because a run has one partition and an experiment must not start on yesterday's shards. Nothing is
trained again where the data came back identical: the steps return what is there.
"""

import dagster as dg

from gan_core.config import Configs, Experiment
from gan_core.errors import ConfigError
from pipelines.jobs import DATASET_JOB, EXPERIMENT_JOB

NIGHT_TAG = "nightly_retraining"


def nightly_schedule(configs: Configs) -> dg.ScheduleDefinition:
    """One `prepare_dataset` run for each dataset of the nightly experiments; off until switched on.

    Raises `ConfigError` for a `cron` that is none.
    """

    def refresh(context: dg.ScheduleEvaluationContext):
        night = context.scheduled_execution_time.strftime("%Y-%m-%dT%H:%M")
        datasets = {experiment.dataset for experiment in _nightly(configs)}
        if not datasets:
            return dg.SkipReason("configs/nightly.yaml names no experiment that there is")
        return [
            dg.RunRequest(run_key=f"{night}-{dataset}", partition_key=dataset, tags={NIGHT_TAG: night})
            for dataset in sorted(datasets)
        ]

    try:
        schedule = dg.schedule(
            name="nightly_retraining",
            job_name=DATASET_JOB,
            cron_schedule=configs.nightly.cron,
            execution_timezone=configs.nightly.timezone,
            default_status=dg.DefaultScheduleStatus.STOPPED,
            description="Refreshes the datasets of the nightly experiments, then trains these.",
        )
        return schedule(refresh)
    except dg.DagsterInvalidDefinitionError as error:
        raise ConfigError(
            f"nightly.yaml: cron is `{configs.nightly.cron}`, which is not minute, hour, day, month and "
            'weekday such as "0 2 * * *"'
        ) from error


def nightly_experiments_sensor(configs: Configs, jobs: dict[str, object]) -> dg.SensorDefinition:
    """When the nightly refresh of a dataset succeeded: one run for each nightly experiment on it."""

    @dg.run_status_sensor(
        name="nightly_experiments",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[jobs[DATASET_JOB]],
        request_job=jobs[EXPERIMENT_JOB],
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Trains the nightly experiments once their dataset was refreshed by the schedule.",
    )
    def nightly_experiments(context: dg.RunStatusSensorContext):
        night = context.dagster_run.tags.get(NIGHT_TAG)
        if not night:
            return dg.SkipReason("that run was not started by nightly_retraining")
        dataset = context.dagster_run.tags["dagster/partition"]
        names = [experiment.name for experiment in _nightly(configs) if experiment.dataset == dataset]
        return [
            dg.RunRequest(run_key=f"{night}-{name}", partition_key=name, tags={NIGHT_TAG: night})
            for name in names
        ]

    return nightly_experiments


def _nightly(configs: Configs) -> list[Experiment]:
    """The experiments of `nightly.yaml`; a name that there is none of is one of the mistakes."""
    return [configs.experiments[name] for name in configs.nightly.experiments if name in configs.experiments]
