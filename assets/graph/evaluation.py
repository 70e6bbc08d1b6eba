"""The asset `evaluation`, with its check."""

from typing import Any

import dagster as dg

from assets.conditions import follow_inputs
from assets.factory import StepRun, declare
from gan_core import steps
from gan_core.evaluation.verdicts import is_better_than_untrained
from gan_core.report.verdicts import verdict_markdown, verdict_text
from gan_core.store import Manifest


def better_than_untrained(run: StepRun, manifest: Manifest) -> dg.AssetCheckResult:
    """The FID is clearly below the untrained generator's, by the same protocol."""
    trained = _trained(run)
    figures = {name: manifest.figures.get(name) for name in ("fid", "fid_untrained")}
    metadata = {name: value for name, value in figures.items() if value is not None}
    metadata["verdict"] = verdict_text(trained, manifest)
    if trained:
        metadata["findings"] = dg.MetadataValue.md(verdict_markdown(trained, manifest))
    # Where there is no such figure, nothing speaks against it.
    passed = is_better_than_untrained(manifest) is not False
    return dg.AssetCheckResult(passed=passed, severity=dg.AssetCheckSeverity.WARN, metadata=metadata)


def shown(run: StepRun, manifest: Manifest) -> dict[str, Any]:
    return {"protocol": manifest.details["protocol"], "verdict": verdict_text(_trained(run), manifest)}


def _trained(run: StepRun) -> Manifest | None:
    return run.store.current("trained_gan", run.partition)


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
