"""What of the store stays that nothing needs any more: `configs/store.yaml`."""

from typing import Annotated

from pydantic import Field, model_validator

from gan_core.config.base import Config, Contradiction
from gan_core.config.mistakes import unknown
from gan_core.versions import CODE_VERSIONS

Days = Annotated[float, Field(ge=0, le=36_500)]


class Keep(Config):
    """Which versions of an artefact stay beside the current one: the newest few, and the young ones."""

    versions: int = Field(default=1, ge=0, le=1_000_000)
    days: Days = 30.0


class KeepPolicy(Config):
    """`configs/store.yaml`.

    `keep` is for all assets, `assets` for those that it names. After `unfinished_days` without a change, what
    a step that was stopped could go on from (checkpoints, finished shards) goes as well.
    """

    keep: Keep = Keep()
    assets: dict[str, Keep] = {}
    unfinished_days: Days = 30.0

    @model_validator(mode="after")
    def _known_assets(self):
        for name in self.assets:
            if name not in CODE_VERSIONS:
                raise Contradiction(f"assets.{name}", unknown("no asset is named", name, CODE_VERSIONS))
        return self

    def of(self, asset: str) -> Keep:
        """What is kept of an asset."""
        return self.assets.get(asset, self.keep)
