"""Runs of this process where the UI's timeline shows them.

The Overview shows the runs of the jobs of a code location; a run that was started in Python says of no
location that it is one of it, and is left out there.
"""

import contextlib
import functools
from collections.abc import Iterator

import dagster as dg
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.remote_origin import RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.workspace.load import location_origins_from_yaml_paths

from pipelines.instance import REPOSITORY

WORKSPACE = REPOSITORY / "workspace.yaml"


@contextlib.contextmanager
def shown_in_timeline(instance: dg.DagsterInstance, job: str) -> Iterator[None]:
    """Runs of `job` that are created in here belong to the location that `workspace.yaml` names.

    `execute_in_process` offers no other place to say so than where it creates the run.
    """
    (location,) = location_origins_from_yaml_paths([str(WORKSPACE)])
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME), job)
    create = functools.partial(instance.create_run_for_job, remote_job_origin=origin)
    vars(instance)["create_run_for_job"] = create
    try:
        yield
    finally:
        del vars(instance)["create_run_for_job"]
