"""The artefact `sweep`: what became of its trials, which one is best, how much each key matters."""

import csv
import io

from gan_core.config.sweeps import Sweep
from gan_core.leaderboard.publishing import produce_table, prune
from gan_core.store import Build, Manifest, Store
from gan_core.sweeps.study import DONE, PRUNED, UNFINISHED, Study, Trial
from gan_core.versions import CODE_VERSIONS

ASSET, CSV = "sweep", "trials.csv"


def publish_sweep(store: Store, study: Study) -> Manifest:
    """Publish `trials.csv`, a row for each trial. Figures: trials, done, pruned, unfinished, and of the best
    one its figure as `best_<figure>`. Details: figure, sampler, best (its name), importances (by key, shares
    of 1), trials. Old versions of the artefact are removed."""
    sweep, trials = study.sweep, study.trials

    def build(work: Build) -> None:
        best = study.best
        (work.folder / CSV).write_text(_csv(sweep, trials), encoding="utf-8", newline="")
        counts = {state: sum(one.state == state for one in trials) for state in (DONE, PRUNED, UNFINISHED)}
        work.figures = {"trials": sweep.count, **counts}
        if best:
            work.figures[f"best_{sweep.figure}"] = best.figure
        work.details = {
            "figure": sweep.figure,
            "sampler": sweep.sampler,
            "best": best and best.name,
            "importances": study.importances(),
            "trials": [_record(trial) for trial in trials],
        }

    manifest = produce_table(
        store,
        ASSET,
        sweep.name,
        config={
            "sweep": sweep.model_dump(mode="json"),
            "version": study.maker.version,
            "trials": [_record(trial) for trial in trials],
        },
        inputs=_evaluations(store, trials),
        code_version=CODE_VERSIONS[ASSET],
        build=build,
        force=False,
    )
    prune(store, manifest, read_by=("report",))
    return manifest


def _evaluations(store: Store, trials: list[Trial]) -> dict[str, Manifest]:
    damaged: dict[str, str] = {}  # the leaderboard says so
    found = store.all_current("evaluation", [trial.name for trial in trials if trial.state == DONE], damaged)
    return {f"evaluation/{name}": manifest for name, manifest in found.items()}


def _record(trial: Trial) -> dict:
    words = {"failed": trial.failed} if trial.failed else {}
    return {
        "name": trial.name,
        "state": trial.state,
        "figure": trial.figure,
        "demotion": trial.demotion,
        "values": trial.values,
        **words,
    }


def _csv(sweep: Sweep, trials: list[Trial]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", sweep.figure, "demotion", *sweep.space])
    for trial in trials:
        values = [trial.values[key] for key in sweep.space]
        writer.writerow([trial.name, trial.state, trial.figure, trial.demotion, *values])
    return text.getvalue()
