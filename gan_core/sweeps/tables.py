"""A sweep that has ended, as tables for a terminal."""

from rich.console import RenderableType

from gan_core.evaluation.figures import FIGURES, MISSING
from gan_core.planning.tables import text_table
from gan_core.store import Manifest
from gan_core.sweeps.running import SweepResult
from gan_core.sweeps.study import DONE, PRUNED, Trial


def sweep_parts(result: SweepResult, manifest: Manifest, most: int = 10) -> list[RenderableType]:
    """The best trials, how much each key matters, and the sentence that sums it up."""
    figure = FIGURES[manifest.details["figure"]]
    sign = 1.0 if figure.better == "lower" else -1.0
    done = [trial for trial in result.trials if trial.state == DONE]
    done.sort(key=lambda trial: (trial.demotion, sign * trial.figure))
    keys = list(done[0].values) if done else []
    table = text_table("", figure.heading, *keys)
    for trial in done[:most]:
        below = " (ranks below)" if trial.demotion else ""
        table.add_row(trial.name, f"{figure.write(trial.figure)}{below}", *_cells(trial, keys))
    parts: list[RenderableType] = [table, ""] if done else []
    shares = manifest.details["importances"]
    if shares:
        told = ", ".join(f"{key} {share:.0%}" for key, share in shares.items())
        parts.append(f"what of the differences each key explains: {told}")
    parts.append(_summary(result, manifest))
    return parts


def _cells(trial: Trial, keys: list[str]) -> list[str]:
    return [MISSING if trial.values[key] is None else str(trial.values[key]) for key in keys]


def _summary(result: SweepResult, manifest: Manifest) -> str:
    counts = [(result.count(DONE), "done"), (result.count(PRUNED), "pruned"), (len(result.failed), "failed")]
    trials = ", ".join(f"{count:,} {word}" for count, word in counts if count) or "none"
    best = f"; best: {result.best.name}" if result.best else ""
    return f"{manifest.figures['trials']:,} trials: {trials}{best}"
