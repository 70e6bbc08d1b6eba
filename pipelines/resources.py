"""Resources: the artefact store, handed to every asset."""

import dagster as dg

from gan_core.store import Store, default_store


@dg.resource(
    config_schema={"url": dg.Field(str, is_required=False)},
    description="The artefact store: `url`, else GAN_STORE, else the folder `store` of the clone.",
)
def store_resource(context: dg.InitResourceContext) -> Store:
    """A store opened in the step's own process: fsspec's connections do not survive a fork."""
    url = context.resource_config.get("url")
    return Store(url) if url else default_store()
