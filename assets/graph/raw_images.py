"""The asset `raw_images`."""

from assets.factory import StepRun, declare
from assets.recording import StepConfig
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
    return collect_raw_images(
        run.store,
        run.dataset,
        locations={split: place for split, place in given.items() if place},
        force=run.force,
        emit=run.emit,
    )
