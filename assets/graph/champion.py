"""The asset `champion`, with the checks that hold a promotion back."""

from typing import Any

import dagster as dg

from assets.factory import StepRun, declare
from assets.failures import Refused
from assets.recording import stored_picture
from gan_core.champions.looks import last_look
from gan_core.champions.reigns import ASSET, reign_of
from gan_core.errors import EvaluationError
from gan_core.store import Manifest

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


def same_protocol(run: StepRun, manifest: Manifest | None) -> dg.AssetCheckResult:
    """The challenger and today's champion were measured by one protocol."""
    return _found(run, "same_protocol", ERROR)


def better(run: StepRun, manifest: Manifest | None) -> dg.AssetCheckResult:
    """The test of their difference shows that the challenger is better than today's champion; else that one
    stays, which is a warning and no failure."""
    return _found(run, "better", WARN)


def sound_samples(run: StepRun, manifest: Manifest | None) -> dg.AssetCheckResult:
    """Neither the guards nor the figures of the challenger's samples say that it failed, collapsed or
    copies."""
    return _found(run, "sound_samples", ERROR)


def finite_weights(run: StepRun, manifest: Manifest | None) -> dg.AssetCheckResult:
    """The challenger's weights load, and all are finite."""
    return _found(run, "finite_weights", ERROR)


def _found(run: StepRun, name: str, severity: dg.AssetCheckSeverity) -> dg.AssetCheckResult:
    """What the last look found, which was this step's."""
    look = last_look(run.store, run.partition)
    check = look and look.check(name)
    if not check:
        return dg.AssetCheckResult(passed=True, description=look.reason if look else "no look yet")
    return dg.AssetCheckResult(passed=check.passed, severity=severity, description=check.found)


def shown(run: StepRun, manifest: Manifest) -> dict[str, Any]:
    from gan_core.champions.words import champion_text, history_text

    reign = reign_of(manifest)
    return {
        "experiment": reign.experiment,
        "since": reign.since,
        "champion": dg.MetadataValue.md(f"```text\n{champion_text(run.store, manifest)}\n```"),
        "history": dg.MetadataValue.md(f"```text\n{history_text(manifest)}\n```"),
        "grid": stored_picture(run.store, manifest, "bundle/grid.png"),
        "protocol": reign.protocol,
    }


@declare(
    partitions="datasets",
    group="champions",
    kinds={"onnx"},
    deps=["leaderboard"],
    metadata=shown,
    checks=[same_protocol, better, sound_samples, finite_weights],
    blocking=True,
)
def champion(run: StepRun) -> Manifest:
    """The best generator of a dataset as a bundle at the address `champion:<dataset>`: promoted where it
    passes all checks, else the one before stays. With `force` also what was taken back, or where the one
    before was measured by another protocol."""
    from gan_core.champions.promoting import promote

    look = promote(
        run.store, run.configs, run.partition, run.input("leaderboard"), force=run.force, emit=run.emit
    )
    found = run.store.current(ASSET, run.partition)
    if found is None:
        error = Refused if look.checks else EvaluationError
        raise error(f"{run.partition} has no champion: {look.reason}")
    found.reused = not look.promoted
    return found
