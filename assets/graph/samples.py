"""The asset `samples`."""

from typing import Any

from assets.conditions import follow_inputs
from assets.factory import StepRun, declare
from assets.recording import stored_picture
from gan_core import steps
from gan_core.store import Manifest


def shown(run: StepRun, manifest: Manifest) -> dict[str, Any]:
    return {"grid": stored_picture(run.store, manifest, "grid.png")}


@declare(
    partitions="experiments",
    kinds={"pytorch", "webdataset"},
    deps=["trained_gan"],
    pool="gpu",
    automation=follow_inputs(),
    step=lambda run: steps.samples(
        run.experiment, run.dataset, run.input("trained_gan"), run.input("image_shards")
    ),
    metadata=shown,
)
def samples(run: StepRun) -> Manifest:
    """What the generator draws: a grid from fixed latents, and the images that evaluation measures."""
    from gan_core.sampling import draw_samples

    return draw_samples(
        run.store,
        run.experiment,
        run.dataset,
        run.input("trained_gan"),
        run.input("image_shards"),
        force=run.force,
        emit=run.emit,
    )
