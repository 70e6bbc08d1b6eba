"""The asset `sweep`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.factory import StepRun, declare
from assets.observation import observe
from assets.sweeping import make_sweep
from gan_core.errors import TrainingError
from gan_core.store import Manifest

if TYPE_CHECKING:
    from gan_core.sweeps.study import Study, Trial


def shown(run: StepRun, manifest: Manifest) -> dict[str, Any]:
    """The trials, and how much each key matters."""
    details = manifest.details
    importances = "\n".join(f"- {key}: {share:.0%}" for key, share in details["importances"].items())
    return {
        "best": details["best"] or "none",
        "importances": dg.MetadataValue.md(importances or "too few trials to tell"),
        "trials_table": _table(details["trials"], details["figure"]),
    }


def _table(trials: list[dict[str, Any]], figure: str) -> dg.TableMetadataValue:
    rows = [
        {
            "trial": trial["name"],
            "state": trial["state"],
            figure: "" if trial["figure"] is None else f"{trial['figure']:.4g}",
            **{key: str(value) for key, value in trial["values"].items()},
        }
        for trial in trials
    ]
    columns = [dg.TableColumn(name) for name in (rows[0] if rows else ["trial"])]
    return dg.MetadataValue.table([dg.TableRecord(row) for row in rows], dg.TableSchema(columns))


def _progress(study: "Study") -> dict[str, Any]:
    best: Trial | None = study.best
    counts = {state: sum(one.state == state for one in study.trials) for state in ("done", "pruned")}
    of_best = {"best": best.name, f"best_{study.sweep.figure}": float(best.figure)} if best else {}
    return {**counts, "trials": study.sweep.count, **of_best}


def saved(run: StepRun) -> str:
    """What an interrupted sweep has left."""
    return f"Every trial of {run.partition} that was begun is kept, with its checkpoint"


@declare(partitions="sweeps", kinds={"optuna"}, metadata=shown, saved=saved)
def sweep(run: StepRun) -> Manifest:
    """A search over configurations by Optuna. Its trials are partitions of the experiments, made by runs of
    their own, and are in the leaderboard; a sweep that was stopped or killed goes on where it was."""
    result, manifest = make_sweep(
        run.store,
        run.configs,
        run.partition,
        Path(run.context.instance.root_directory),
        emit=run.emit,
        observe=lambda study: observe(run.context, _progress(study)),
    )
    if result.failed:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in result.failed.items())
        raise TrainingError(
            f"{len(result.failed):,} of {len(result.trials):,} trials failed, and are tried again by the "
            f"next run: {reasons}"
        )
    return manifest
