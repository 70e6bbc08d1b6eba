"""The asset `reference_statistics`."""

from assets.conditions import follow_inputs
from assets.factory import StepRun, declare
from gan_core import steps
from gan_core.store import Manifest


@declare(
    partitions="datasets",
    kinds={"pytorch", "numpy"},
    deps=["image_shards", "classifier"],
    pool="gpu",
    automation=follow_inputs(),
    step=lambda run: steps.reference_statistics(
        run.dataset, run.input("image_shards"), run.input("classifier")
    ),
)
def reference_statistics(run: StepRun) -> Manifest:
    """What FID and KID compare with: mean and covariance of the real images' features, each split, and
    the floor: what real images score against real images."""
    from gan_core.evaluation.reference import compute_reference_statistics

    return compute_reference_statistics(
        run.store,
        run.dataset,
        run.input("image_shards"),
        run.input("classifier"),
        force=run.force,
        emit=run.emit,
    )
