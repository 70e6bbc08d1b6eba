"""The asset `raw_images`."""

from assets.factory import StepRun, declare
from assets.recording import StepConfig
from gan_core.errors import ConfigError
from gan_core.secrets import has_secret, masked
from gan_core.store import Manifest


class RawImagesConfig(StepConfig):
    """Where the images are, if not where the dataset's YAML or the environment says."""

    train: str | None = None
    """fsspec URL or path of the train split, or of the whole source."""
    test: str | None = None
    """fsspec URL or path of the test split."""


@declare(partitions="datasets", kinds={"python"}, config=RawImagesConfig)
def raw_images(run: StepRun) -> Manifest:
    """The images as they come: downloaded (resumably, checksummed) or found on disk or in a bucket,
    each one listed with its class and its sha256. Its version is the content, not the place."""
    from gan_core.data.raw import collect_raw_images

    given = {"train": run.config.train, "test": run.config.test}
    for split, place in given.items():
        _refuse_secret(split, place or "", run.dataset.source_variable)
    return collect_raw_images(
        run.store,
        run.dataset,
        locations={split: place for split, place in given.items() if place},
        force=run.force,
        emit=run.emit,
    )


def _refuse_secret(split: str, place: str, variable: str) -> None:
    """Dagster keeps a run's configuration, and the steps that read the images later do not have it."""
    if has_secret(place):
        raise ConfigError(
            f"`{split}` in the run configuration is {masked(place)}, a URL with a password or a signature, "
            f"which Dagster keeps with this run: delete the run, and set {variable}_{split.upper()} to the "
            "URL in the environment instead"
        )
