"""The schedules of `configs/schedules/`, each off until it is switched on.

To train takes two steps, because a run has one partition and an experiment must not start on yesterday's
shards. Nothing is trained again where the data came back identical: the steps return what is there.
"""

import dagster as dg

from gan_core.config import Configs, RunSchedule
from gan_core.store import default_store
from pipelines.automation.pruning import PRUNE_JOB, prune_config
from pipelines.automation.rounds import is_in_progress, round_of, tags_of_round
from pipelines.jobs import DATASET_JOB, EXPERIMENT_JOB

# What a schedule that evaluates makes, of all that `run_experiment` would.
MEASURED = ("samples", "evaluation", "analysis")


def schedules(configs: Configs) -> list[dg.ScheduleDefinition]:
    """One for each file, called after it: `weekly_evaluation_schedule`."""
    return [_schedule(configs, item) for item in configs.schedules.values()]


def _schedule(configs: Configs, item: RunSchedule) -> dg.ScheduleDefinition:
    job, requests = {
        "train": (DATASET_JOB, _datasets),
        "evaluate": (EXPERIMENT_JOB, _evaluations),
        "prune": (PRUNE_JOB, _pruning),
    }[item.does]

    @dg.schedule(
        name=f"{item.name.replace('-', '_')}_schedule",
        job_name=job,
        cron_schedule=item.cron,
        execution_timezone=item.timezone,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=item.description or DESCRIPTIONS[item.does],
        metadata={"experiments": [one.name for one in item.chosen(configs.experiments.values())]},
    )
    def tick(context: dg.ScheduleEvaluationContext):
        if is_in_progress(context.instance, configs, item.name):
            return dg.SkipReason("what the last tick has begun goes on: this one begins nothing")
        at = context.scheduled_execution_time.strftime("%Y-%m-%dT%H:%M")
        return requests(configs, item, at)

    return tick


DESCRIPTIONS = {
    "train": "Refreshes the datasets of its experiments, then trains these.",
    "evaluate": "Draws from its experiments' trained GANs and measures them, by their datasets' protocols.",
    "prune": "Removes what Dagster has recorded of old runs.",
}
Requests = list[dg.RunRequest] | dg.SkipReason


def _datasets(configs: Configs, item: RunSchedule, at: str) -> Requests:
    names = {experiment.dataset for experiment in item.chosen(configs.experiments.values())}
    if not names:
        return dg.SkipReason(f"configs/schedules names no experiment that there is for `{item.name}`")
    return [_request(item, at, name) for name in sorted(names)]


def _evaluations(configs: Configs, item: RunSchedule, at: str) -> Requests:
    chosen = [experiment.name for experiment in item.chosen(configs.experiments.values())]
    trained = default_store().all_current("trained_gan", chosen)
    if not trained:
        return dg.SkipReason(f"none of the {len(chosen):,} experiments of `{item.name}` is trained")
    config = _forced(MEASURED) if item.force else {}
    selection = [dg.AssetKey(asset) for asset in MEASURED]
    return [_request(item, at, name, run_config=config, asset_selection=selection) for name in trained]


def _pruning(configs: Configs, item: RunSchedule, at: str) -> Requests:
    return [_request(item, at, None, run_config=prune_config(item.older_than))]


def experiments_sensor(configs: Configs, jobs: dict[str, object]) -> dg.SensorDefinition:
    """When the refresh of a dataset by a schedule succeeded: one run for each of its experiments on it."""

    @dg.run_status_sensor(
        name="scheduled_experiments",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[jobs[DATASET_JOB]],
        request_job=jobs[EXPERIMENT_JOB],
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Trains the experiments of a schedule once their dataset was refreshed by it.",
    )
    def scheduled_experiments(context: dg.RunStatusSensorContext):
        found = round_of(context.dagster_run.tags)
        if found is None:
            return dg.SkipReason("that run was started by no schedule")
        name, at = found
        if name not in configs.schedules:
            return dg.SkipReason(f"there is no schedule `{name}` any more")
        item = configs.schedules[name]
        dataset = context.dagster_run.tags["dagster/partition"]
        config = _forced(["trained_gan"]) if item.force else {}
        return [
            _request(item, at, experiment.name, run_config=config)
            for experiment in item.chosen(configs.experiments.values())
            if experiment.dataset == dataset
        ]

    return scheduled_experiments


def _request(item: RunSchedule, at: str, partition: str | None, **settings) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{item.name}-{at}-{partition}",
        partition_key=partition,
        tags=tags_of_round(item.name, at),
        **settings,
    )


def _forced(assets) -> dict:
    return {"ops": {asset: {"config": {"force": True}} for asset in assets}}
