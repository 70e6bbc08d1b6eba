"""The asset `evaluation`, with its check."""

from typing import Any

import dagster as dg

from assets.conditions import follow_inputs
from assets.factory import StepRun, declare
from assets.recording import stored_picture
from gan_core import steps
from gan_core.evaluation.judging.verdicts import is_better_than_untrained
from gan_core.leaderboard.verdicts import verdict_markdown, verdict_text
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
    return dg.AssetCheckResult(
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=metadata["verdict"],
        metadata=metadata,
    )


def shown(run: StepRun, manifest: Manifest) -> dict[str, Any]:
    from gan_core.evaluation.evidence import pictures_of

    pictures = {
        f"{metric} picture": stored_picture(run.store, manifest, file)
        for metric, file in pictures_of(manifest).items()
    }
    words = {"protocol": manifest.details["protocol"], "verdict": verdict_text(_trained(run), manifest)}
    return {**words, **pictures}


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
    """Every figure of the samples (FID, KID, Inception Score, quality, coverage, copying) with its interval
    and the protocol that it was measured by, beside the untrained generator."""
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
