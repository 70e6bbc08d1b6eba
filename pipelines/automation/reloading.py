"""The sensor that has new configuration files read: it presses *Reload definitions*.

Partitions are those of the files when the definitions were loaded; only a reload of the code location makes
others known, and only the web server can be asked for one.
"""

import os
from pathlib import Path

import dagster as dg
import requests

from gan_core.config import Configs
from gan_core.config.folder_state import folder_state

LOOK_SECONDS = 30
SECONDS = 20  # the new definitions take some to load
UI_VARIABLE = "GAN_UI"  # set by `python -m pipelines dev`
MUTATION = """mutation Reload($name: String!) {
  reloadRepositoryLocation(repositoryLocationName: $name) {
    __typename
    ... on ReloadNotSupported { message }
    ... on RepositoryLocationNotFound { message }
    ... on UnauthorizedError { message }
  }
}"""
DONE = "WorkspaceLocationEntry"


def reload_sensor(folder: Path, loaded: str, configs: Configs) -> dg.SensorDefinition:
    """`loaded` is the state of the folder that these definitions were made of."""

    @dg.sensor(
        name="new_configurations",
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Reloads the definitions when a configuration file is new, gone or changed.",
    )
    def new_configurations(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        state = folder_state(folder)
        if state == loaded:
            return dg.SkipReason("the files are those that were read")
        if state == context.cursor:
            return dg.SkipReason("a reload was asked for already: see *Deployment* for how it ended")
        ui = os.environ.get(UI_VARIABLE) or configs.notifications.ui
        if not ui:
            return dg.SkipReason(f"files changed: press *Reload definitions*, or set {UI_VARIABLE}")
        problem = ask_for_reload(ui, context.code_location_origin.location_name)
        if problem:
            return dg.SkipReason(
                f"files changed, but {ui} did not reload: {problem}: press *Reload definitions*"
            )
        return dg.SensorResult(
            skip_reason=dg.SkipReason("files changed: the definitions are read again"), cursor=state
        )

    return new_configurations


def ask_for_reload(ui: str, location: str) -> str | None:
    """Have the web server at `ui` reload a code location; what kept it from that, None where nothing did.

    That it goes on for longer than is waited for is no problem.
    """
    content = {"query": MUTATION, "variables": {"name": location}}
    try:
        answer = requests.post(f"{ui}/graphql", json=content, timeout=SECONDS)
    except requests.ReadTimeout:
        return None
    except requests.RequestException as error:
        return type(error).__name__
    try:
        result = answer.json()["data"]["reloadRepositoryLocation"]
    except (ValueError, KeyError, TypeError):
        return f"its answer ({answer.status_code}) is not that of Dagster's GraphQL"
    return None if result["__typename"] == DONE else result.get("message", result["__typename"])
