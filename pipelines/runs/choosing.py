"""The job `choose_experiments`: which experiments are meant, and what they would take; if asked for, their
runs, by a sensor, as only the daemon can launch runs."""

import dagster as dg

from assets.jobs import DATASET_JOB, EXPERIMENT_JOB
from gan_core.config import Configs
from gan_core.planning import make_plan
from gan_core.planning.choosing import Choice
from gan_core.planning.tables import plan_markdown, total_text
from gan_core.store import Store
from pipelines.configurations import ASSET
from pipelines.runs.records import failed_experiments

CHOOSE_JOB = "choose_experiments"
CHOICE_TAG = "gan-pipelines/choice"
# What the observation says of the names, and whether they are launched.
CHOSEN, LAUNCHED = "chosen", "launched"


class ChoiceConfig(dg.Config):
    """Run configuration of `choose_experiments`. Without any of these, every experiment is chosen."""

    experiments: list[str] = []
    """Names, or patterns such as `demo-*`."""

    dataset: str | None = None
    architecture: str | None = None
    objective: str | None = None
    tags: list[str] = []
    """Words of an experiment's `tags`, or values of its configuration such as `seed=0`."""

    failed: bool = False
    """Only those whose newest run failed or was canceled, or whose dataset's did."""

    launch: bool = False
    """Launch what is shown: a run for each dataset, then one for each experiment."""

    @property
    def choice(self) -> Choice:
        return Choice(
            tuple(self.experiments), self.dataset, self.architecture, self.objective, tuple(self.tags)
        )


@dg.op
def choose(
    context: dg.OpExecutionContext,
    config: ChoiceConfig,
    store: dg.ResourceParam[Store],
    configs: dg.ResourceParam[Configs],
) -> None:
    """Show what the chosen experiments would take, as an observation of `configurations`."""
    names = config.choice.names(configs)
    if config.failed:
        names = failed_experiments(context.instance, configs, names)
    plan = make_plan(store, configs, names)
    if config.failed:  # what was made since by another way is no longer missing
        names = [item.name for item in plan.experiments if item.made]
        plan = make_plan(store, configs, names)
    context.log.info(f"{len(names):,} experiments: {total_text(plan)}")
    metadata = {
        "in_short": total_text(plan),
        "plan": dg.MetadataValue.md(plan_markdown(plan)),
        CHOSEN: dg.MetadataValue.json(names),
        LAUNCHED: config.launch,
    }
    context.log_event(dg.AssetObservation(ASSET, metadata=metadata))


@dg.job(
    name=CHOOSE_JOB,
    description=(
        "Shows what experiments would take, chosen by name, pattern, dataset, architecture, objective or "
        "tag: what is trained, resumed or reused, for how long and with how much memory. With `launch: "
        "true` the sensor `chosen_experiments` then launches them."
    ),
)
def choose_experiments():
    choose()


def chosen_sensor(configs: Configs, jobs: dict[str, object]) -> dg.SensorDefinition:
    """Runs of what was chosen and is to be launched: first of the datasets, then of each experiment whose
    dataset is ready."""

    @dg.run_status_sensor(
        name="chosen_experiments",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[choose_experiments, jobs[DATASET_JOB]],
        request_jobs=[jobs[DATASET_JOB], jobs[EXPERIMENT_JOB]],
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Launches what a run of `{CHOOSE_JOB}` has chosen, where its configuration says so.",
    )
    def chosen_experiments(context: dg.RunStatusSensorContext):
        run = context.dagster_run
        choice = run.run_id if run.job_name == CHOOSE_JOB else run.tags.get(CHOICE_TAG)
        if choice is None:
            return dg.SkipReason("that dataset was prepared for no choice")
        names = [name for name in _launched(context.instance, choice) if name in configs.experiments]
        if run.job_name == CHOOSE_JOB:
            datasets = sorted({configs.experiments[name].dataset for name in names})
            return [_request(DATASET_JOB, choice, dataset) for dataset in datasets]
        dataset = run.tags["dagster/partition"]
        return [
            _request(EXPERIMENT_JOB, choice, name)
            for name in names
            if configs.experiments[name].dataset == dataset
        ]

    return chosen_experiments


def _launched(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """What a run has chosen and is to be launched, as it has shown it."""
    for event in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION):
        metadata = event.asset_observation.metadata
        if CHOSEN in metadata and metadata[LAUNCHED].value:
            return list(metadata[CHOSEN].value)
    return []


def _request(job: str, choice: str, partition: str) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{choice}-{job}-{partition}",
        job_name=job,
        partition_key=partition,
        tags={CHOICE_TAG: choice},
    )
