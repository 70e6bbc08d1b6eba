"""Runs on machines of a Celery queue: Dagster's own launcher, which also notices that a worker is gone."""

from typing import Any

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

ANSWER_SECONDS = 5.0  # that a worker has to say what it works on
LOOKS = 3  # in a row at which a worker did not say that it has the run: it may be too busy to answer


class WatchedCeleryRunLauncher(CeleryRunLauncher):
    """Celery keeps a task as started whose worker was killed. So run monitoring asks the worker: a run that
    it has not, at three looks in a row, has failed, and is retried from its last checkpoint.

    *Terminate* is an interrupt, as it is elsewhere: the training saves a checkpoint.
    """

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self._missed: dict[str, int] = {}

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        found = super().check_run_worker_health(run)
        if found.status != WorkerStatus.RUNNING or self._is_at_work(run):
            self._missed.pop(run.run_id, None)
            return found
        self._missed[run.run_id] = self._missed.get(run.run_id, 0) + 1
        if self._missed[run.run_id] < LOOKS:
            return found
        return CheckRunHealthResult(WorkerStatus.FAILED, "The worker of this run is gone without a word.")

    def terminate(self, run_id: str) -> bool:
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        task = run.tags[DAGSTER_CELERY_TASK_ID_TAG]
        self.celery.AsyncResult(task).revoke(terminate=True)
        return True

    def _is_at_work(self, run: dg.DagsterRun) -> bool:
        """Whether the worker that began the run says that it is at it."""
        task = self.celery.AsyncResult(run.tags[DAGSTER_CELERY_TASK_ID_TAG])
        begun = task.info
        if not isinstance(begun, dict):  # it has just ended
            return True
        worker = begun["hostname"]
        answers = self.celery.control.inspect(destination=[worker], timeout=ANSWER_SECONDS).active() or {}
        return task.id in {each["id"] for each in answers.get(worker, [])}
