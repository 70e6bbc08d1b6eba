"""Resources: the artefact store, handed to every asset."""

import os
from pathlib import Path

import dagster as dg

from gan_core.store import Store

REPOSITORY = Path(__file__).resolve().parent.parent


def open_store(url: str | None = None) -> Store:
    """The store at `url`, else at GAN_STORE, else in the folder `store` of the repository."""
    return Store(url or os.environ.get("GAN_STORE") or REPOSITORY / "store")


@dg.resource(
    config_schema={"url": dg.Field(str, is_required=False)},
    description="The artefact store: `url`, else GAN_STORE, else the folder `store` of the repository.",
)
def store_resource(context: dg.InitResourceContext) -> Store:
    """A store opened in the step's own process: fsspec's connections do not survive a fork."""
    return open_store(context.resource_config.get("url"))
