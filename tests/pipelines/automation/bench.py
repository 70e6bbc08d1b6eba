"""A small project under a folder, its definitions, and runs of it that are only recorded."""

import datetime
import json
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from gan_core.config import Configs, load_configs
from pipelines.definitions import build_definitions

NIGHTLY = {
    "name": "nightly",
    "does": "train",
    "cron": "0 2 * * *",
    "timezone": "Europe/Berlin",
    "experiments": ["plain", "other"],
}
TICK = "2026-01-02T02:00"


@dataclass
class Bench:
    folder: Path
    loaded: dg.Definitions | None = None

    def write(self, kind: str, content: dict) -> None:
        path = self.folder / "configs" / kind / f"{content.get('name', kind)}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        self.loaded = None

    def notify(self, **sections) -> None:
        """`configs/notifications.yaml`."""
        (self.folder / "configs" / "notifications.yaml").write_text(json.dumps(sections))
        self.loaded = None

    @property
    def configs(self) -> Configs:
        return load_configs(self.folder / "configs")

    @property
    def definitions(self) -> dg.Definitions:
        """As the files are now."""
        self.loaded = self.loaded or build_definitions(self.configs)
        return self.loaded

    def tick(self, instance: dg.DagsterInstance, schedule: str = "nightly"):
        """What the schedule asks for at 02:00 on 2 January."""
        loaded = self.definitions
        at = datetime.datetime.fromisoformat(TICK).replace(tzinfo=datetime.UTC)
        context = dg.build_schedule_context(
            instance=instance, scheduled_execution_time=at, repository_def=loaded.get_repository_def()
        )
        name = f"{schedule.replace('-', '_')}_schedule"
        return loaded.resolve_schedule_def(name).evaluate_tick(context)

    def requests(self, instance: dg.DagsterInstance, name: str, run: dg.DagsterRun) -> list[dg.RunRequest]:
        """What the sensor `name` asks for when a run has succeeded."""
        sensor = self.definitions.resolve_sensor_def(name)
        event = dg.DagsterEvent(event_type_value="PIPELINE_SUCCESS", job_name=run.job_name)
        context = dg.build_run_status_sensor_context(
            sensor_name=sensor.name, dagster_instance=instance, dagster_run=run, dagster_event=event
        )
        found = sensor(context)
        return found if isinstance(found, list) else []

    def run(
        self,
        instance: dg.DagsterInstance,
        job: str,
        partition: str,
        status: dg.DagsterRunStatus = dg.DagsterRunStatus.SUCCESS,
        **tags: str,
    ) -> dg.DagsterRun:
        """A recorded run, in this state."""
        run = instance.create_run_for_job(
            self.definitions.resolve_job_def(job), tags={"dagster/partition": partition, **tags}
        )
        if status == dg.DagsterRunStatus.SUCCESS:
            event = dg.DagsterEvent(event_type_value="PIPELINE_SUCCESS", job_name=job)
            instance.report_dagster_event(event, run.run_id)
        elif status == dg.DagsterRunStatus.FAILURE:
            instance.report_run_failed(run)
        elif status == dg.DagsterRunStatus.STARTED:
            event = dg.DagsterEvent(event_type_value="PIPELINE_START", job_name=job)
            instance.report_dagster_event(event, run.run_id)
        return instance.get_run_by_id(run.run_id)
