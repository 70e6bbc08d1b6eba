"""The asset `classifier`."""

from assets.conditions import follow_inputs
from assets.factory import StepRun, declare
from gan_core import steps
from gan_core.store import Manifest


@declare(
    partitions="datasets",
    kinds={"pytorch"},
    deps=["image_shards"],
    pool="gpu",
    automation=follow_inputs(),
    step=lambda run: steps.classifier(run.dataset, run.input("image_shards")),
)
def classifier(run: StepRun) -> Manifest:
    """A small network trained on the dataset's own labels (without labels: to tell an image's rotation).
    Its features measure generated images offline; its figures do not compare with those of papers, which
    use Inception."""
    from gan_core.evaluation.classifier import train_classifier

    return train_classifier(run.store, run.dataset, run.input("image_shards"), force=run.force, emit=run.emit)
