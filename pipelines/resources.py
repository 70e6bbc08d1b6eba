"""Resources: the artefact store, handed to every asset."""

import dagster as dg

from gan_core.errors import ConfigError
from gan_core.secrets import has_secret, masked
from gan_core.store import Store, default_store


@dg.resource(
    config_schema={"url": dg.Field(str, is_required=False)},
    description="The artefact store: `url`, else GAN_STORE, else the folder `store` of the clone.",
)
def store_resource(context: dg.InitResourceContext) -> Store:
    """A store opened in the step's own process: fsspec's connections do not survive a fork."""
    url = context.resource_config.get("url")
    if url and has_secret(url):
        raise ConfigError(
            f"the store's `url` in the run configuration is {masked(url)}, a URL with a password, which "
            "Dagster keeps with this run: delete the run, and set GAN_STORE in the environment instead"
        )
    return Store(url) if url else default_store()
