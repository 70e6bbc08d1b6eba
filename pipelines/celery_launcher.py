"""Runs on machines of a Celery queue: Dagster's own launcher, which also notices that a worker is gone."""

from typing import Any

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

ANSWER_SECONDS = 5.0  # that workers have to say what they work on
LOOKS = 3  # in a row in which no worker has the run: its message may be on its way, or a worker be too busy


class WatchedCeleryRunLauncher(CeleryRunLauncher):
    """Celery keeps a task as started whose worker was killed. So run monitoring asks the workers: a run that
    none of them has, at three looks in a row, has failed, and is retried from its last checkpoint."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self._missed: dict[str, int] = {}

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        found = super().check_run_worker_health(run)
        if found.status != WorkerStatus.RUNNING:
            return found
        if run.tags[DAGSTER_CELERY_TASK_ID_TAG] in self._active():
            self._missed.pop(run.run_id, None)
            return found
        self._missed[run.run_id] = self._missed.get(run.run_id, 0) + 1
        if self._missed[run.run_id] < LOOKS:
            return found
        return CheckRunHealthResult(WorkerStatus.FAILED, "The worker of this run is gone without a word.")

    def _active(self) -> set[str]:
        """The tasks that the workers which answer are at."""
        answers = self.celery.control.inspect(timeout=ANSWER_SECONDS).active() or {}
        return {task["id"] for tasks in answers.values() for task in tasks}
