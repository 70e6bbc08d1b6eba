"""The asset `evaluation`, with its check."""

from typing import Any

import dagster as dg

from assets.conditions import follow_inputs
from assets.factory import StepRun, declare
from gan_core import steps
from gan_core.store import Manifest


def better_than_untrained(run: StepRun, manifest: Manifest) -> dg.AssetCheckResult:
    """The FID is under half of the untrained generator's, by the same protocol."""
    fid, untrained = manifest.figures["fid"], manifest.figures["fid_untrained"]
    return dg.AssetCheckResult(
        passed=fid < untrained / 2,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"fid": fid, "fid_untrained": untrained},
    )


def shown(run: StepRun, manifest: Manifest) -> dict[str, Any]:
    return {"protocol": manifest.details["protocol"]}


@declare(
    partitions="experiments",
    kinds={"pytorch", "numpy"},
    deps=["samples", "reference_statistics", "classifier"],
    pool="gpu",
    automation=follow_inputs(),
    step=lambda run: steps.evaluation(
        run.dataset, run.input("samples"), run.input("reference_statistics"), run.input("classifier")
    ),
    metadata=shown,
    checks=[better_than_untrained],
)
def evaluation(run: StepRun) -> Manifest:
    """Inception Score, FID and KID of the samples, each with the protocol it was measured by, beside the
    untrained generator and the floor that real images reach."""
    from gan_core.evaluation.evaluate import evaluate_samples

    return evaluate_samples(
        run.store,
        run.dataset,
        run.input("samples"),
        run.input("reference_statistics"),
        run.input("classifier"),
        force=run.force,
        emit=run.emit,
    )
